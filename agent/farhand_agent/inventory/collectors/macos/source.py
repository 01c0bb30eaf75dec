"""What macOS tells: one system_profiler for all sections of a run, and sysctl's lines.

A section module says which data types it reads when it is imported, so that one call asks for all
of them and for no others: the list of applications alone takes half a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed, Unsupported
from farhand_agent.inventory.json_values import rows, text
from farhand_agent.inventory.registry import Collect, section
from farhand_agent.inventory.shared_answer import SharedAnswer

__all__ = ["WAIT_S", "macos_section", "parse_sysctl", "profile", "size_bytes", "sysctl", "tree"]

_PROFILER_S: Final = 90.0
WAIT_S: Final = 100.0
_MAX_DEPTH: Final = 12
_UNITS: Final = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}

_answers: Final[SharedAnswer[dict[str, Any]]] = SharedAnswer()
_wanted: Final[set[str]] = set()


def macos_section(
    name: str,
    *,
    types: Iterable[str] = (),
    personal: Iterable[str] = (),
    volatile: bool = False,
    opt_in: bool = False,
) -> Callable[[Collect], Collect]:
    """Register the decorated function as the collector of a section on macOS.

    Args:
        name: the section.
        types: the data types of system_profiler that it reads.
        personal, volatile, opt_in: as `registry.section`.
    """
    _wanted.update(types)
    return section(
        name, platform="macos", timeout_s=WAIT_S, personal=personal, volatile=volatile,
        opt_in=opt_in,
    )  # fmt: skip


def profile(context: Context, kind: str) -> list[dict[str, Any]]:
    """Return the entries of one data type; [] where this Mac has none.

    Raises:
        CommandMissing, CommandDenied, CommandTimeout, CommandOverflow: it did not run.
        Malformed: system_profiler printed something else.
    """
    wanted = frozenset(_wanted)

    def run() -> dict[str, Any]:
        argv = ["system_profiler", "-json", "-detailLevel", "full", *sorted(wanted)]
        document = context.run_json(argv, timeout_s=_PROFILER_S)
        if not isinstance(document, dict):
            raise Malformed("system_profiler")
        return document

    return rows(_answers.get((context.runner, wanted), run).get(kind))


def tree(entries: list[dict[str, Any]], depth: int = 0) -> list[dict[str, Any]]:
    """Return entries and all that lies in their `_items`, depth first."""
    found = []
    for one in entries:
        found.append(one)
        if depth < _MAX_DEPTH:
            found += tree(rows(one.get("_items")), depth + 1)
    return found


def parse_sysctl(output: str) -> dict[str, str]:
    """Return the `name: value` lines of sysctl."""
    pairs = (line.partition(": ") for line in output.split("\n"))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def sysctl(context: Context, *names: str) -> dict[str, str]:
    """Return kernel values by name; those that this kernel does not know are left out.

    Raises:
        Unsupported: it knows none of them.
    """
    values = parse_sysctl(context.run(["sysctl", *names], ok=(0, 1)).text)
    if not values:
        raise Unsupported("sysctl knows none of " + ", ".join(names))
    return values


def size_bytes(value: object) -> int | None:
    """Return bytes of "16 GB" or "1,5 TB", as system_profiler writes them."""
    parts = (text(value) or "").replace(",", ".").split()
    if len(parts) < 2 or parts[1].upper() not in _UNITS:
        return None
    try:
        amount = float(parts[0]) * _UNITS[parts[1].upper()]
    except ValueError:
        return None
    return int(amount) if 0 <= amount < 2**63 else None
