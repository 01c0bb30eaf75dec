"""Whether products are here: their programs, their packages, and whether they run.

Several sections look for a fixed list of products.  They ask the package manager once for all of
them, and the kernel for the names of what runs (never for arguments).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from farhand_agent.inventory.context import CommandFailed, Context, Malformed
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["Found", "Product", "look_for"]

# The kernel keeps this much of a program's name (TASK_COMM_LEN without its zero).
_COMM_CHARS: Final = 15


@dataclass(frozen=True, slots=True)
class Product:
    """What a product is known by; the first of `paths` that exists counts."""

    name: str
    packages: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A product that is here: its version where a package has it, and where it was found."""

    product: Product
    version: str | None
    running: bool
    path: str | None


def look_for(context: Context, products: Iterable[Product]) -> list[Found]:
    """Return those products of which there is any sign.

    Raises:
        Unsupported: there is no /proc, so nobody can tell what runs.
        CommandFailed, Malformed: a package manager is here and cannot be asked.
    """
    context.need("/proc")
    wanted = list(products)
    versions = _versions(context, [name for one in wanted for name in one.packages])
    running = _running(context)
    found = []
    for one in wanted:
        version = next((versions[name] for name in one.packages if name in versions), None)
        runs = any(name[:_COMM_CHARS] in running for name in one.processes)
        path = next((path for path in one.paths if _exists(context, path)), None)
        if version is not None or runs or path:
            found.append(Found(one, version, runs, path))
    return found


def _exists(context: Context, path: str) -> bool:
    try:
        return context.files.path(path).exists()
    except PermissionError:
        return False  # what is hidden from this user is no sign


def _running(context: Context) -> set[str]:
    files = context.files
    pids = (name for name in files.names("/proc") if name.isdigit())
    return {name for pid in pids if (name := files.line(f"/proc/{pid}/comm"))}


def _versions(context: Context, packages: list[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found: dict[str, str] = {}
    if not packages:
        return found
    readers = (
        ["dpkg-query", "-W", "-f=${Package}\t${Version}\t${db:Status-Status}\n"],
        ["rpm", "-q", "--qf", "%{NAME}\\t%{VERSION}-%{RELEASE}\\tinstalled\\n"],
    )
    for argv in readers:
        is_dpkg = argv[0] == "dpkg-query"
        try:
            # For what is not installed dpkg-query ends with 1 and rpm with how many those are.
            outcome = context.run([*argv, *packages], ok=(0, 1) if is_dpkg else range(256))
        except CommandMissing:
            continue
        text = outcome.text
        if not is_dpkg and outcome.exit_code and not text.strip():
            raise CommandFailed(argv[0], outcome.exit_code)
        lines = text.split("\n")
        if text.strip() and not any(_is_answer(line) for line in lines):
            raise Malformed(argv[0])
        for line in lines:
            fields = line.split("\t")
            if len(fields) == 3 and fields[2] == "installed" and fields[0] in packages:
                found.setdefault(fields[0], fields[1])
    return found


def _is_answer(line: str) -> bool:
    # rpm says "package X is not installed" among its answers.
    return line.count("\t") == 2 or line.endswith(" is not installed")
