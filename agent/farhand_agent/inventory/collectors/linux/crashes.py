"""Section `crashes`: programs and kernels that died, by the dumps they left, never a dump."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.json_values import number, rows, text, whole
from farhand_agent.inventory.moments import instant
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_core_name", "parse_coredumpctl"]

_SHOWN: Final = 100
# Source: systemd-coredump: core.COMM.UID.BOOT.PID.TIMESTAMP[.zst]; the time is microseconds.
_CORE: Final = re.compile(r"core\.(.{1,64})\.[0-9]+\.[0-9a-f]{32}\.[0-9]+\.([0-9]{10,17})(?:\..+)?")
_SIGNALS: Final = {
    4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV", 24: "SIGXCPU",
    25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip


def parse_coredumpctl(document: Any) -> list[dict[str, Any]]:
    """Return one item per crash of `coredumpctl list --json=short`.

    Raises:
        Malformed: it is not what coredumpctl prints.
    """
    if not isinstance(document, list):
        raise Malformed("coredumpctl")
    items = []
    for one in rows(document):
        micros = number(one.get("time"))
        program = text(one.get("exe"))
        signal = whole(one.get("sig"))
        items.append(
            {
                "at": instant(micros / 1e6) if micros else None,
                "kind": "program",
                "program": program.rpartition("/")[2] if program else None,
                "signal": _SIGNALS.get(signal, str(signal)) if signal is not None else None,
                "path": None,
                "size_bytes": whole(one.get("size")),
            }
        )
    return items


def parse_core_name(name: str) -> tuple[str, str | None] | None:
    """Return program and time of a dump of systemd-coredump by its file's name."""
    found = _CORE.fullmatch(name)
    if not found:
        return None
    digits = int(found[2])
    # Before systemd 245 the name had seconds followed by six zeros, so both read the same.
    return found[1], instant(digits / 1e6 if digits > 10**12 else digits)


@section("crashes", platform="linux", personal=("path",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per crash, the newest first; folders that are not here hold none."""
    context.need("/var")
    items: list[dict[str, Any]] = []
    try:
        # It ends with 1 where there is none.
        outcome = context.run(["coredumpctl", "list", "--json=short", "--no-pager"], ok=(0, 1))
        if outcome.exit_code == 0 and outcome.stdout.strip():
            items += parse_coredumpctl(context.parse_json(outcome.stdout, "coredumpctl"))
    except CommandMissing:
        items += _folder(context, "/var/lib/systemd/coredump")
    items += _folder(context, "/var/crash") + _folder(context, "/sys/fs/pstore")
    items.sort(key=lambda item: item["at"] or "", reverse=True)
    return items[:_SHOWN]


def _folder(context: Context, folder: str) -> list[dict[str, Any]]:
    try:
        names = context.files.names(folder)
    except PermissionError:
        context.note(f"{folder} needs root")
        return []
    items = []
    for name in names:
        path = context.files.path(f"{folder}/{name}")
        if not (path.is_file() or (folder == "/var/crash" and path.is_dir())):
            continue
        status = path.stat()
        told = parse_core_name(name)
        # apport: _usr_bin_gedit.1000.crash; kdump: a folder named after its minute.
        apport = name.endswith(".crash")
        kernel = folder == "/sys/fs/pstore" or (folder == "/var/crash" and not apport)
        program = told[0] if told else None
        if apport:
            program = name.removesuffix(".crash").rpartition(".")[0].rpartition("_")[2]
        items.append(
            {
                "at": (told[1] if told else None) or instant(status.st_mtime),
                "kind": "kernel" if kernel else "program",
                "program": program or None,
                "signal": None,
                "path": f"{folder}/{name}",
                "size_bytes": status.st_size if path.is_file() else None,
            }
        )
    return items
