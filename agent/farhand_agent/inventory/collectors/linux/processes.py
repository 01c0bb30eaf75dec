"""Section `processes` (opt-in): what runs, by name.  Never a command line, never an environment."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from farhand_agent.inventory.collectors.linux.usage import boot_time
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.moments import instant
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_stat"]

# Source: proc(5), /proc/PID/stat: the name stands in brackets and may hold anything.
_STAT: Final = re.compile(r"([0-9]+) \((.*)\) ([A-Za-z]) (.+)", re.DOTALL)
_STATES: Final = {
    "R": "running", "S": "sleeping", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "zombie",
    "I": "idle", "X": "dead",
}  # fmt: skip
_UID: Final = re.compile(r"^Uid:\s+([0-9]{1,10})\b", re.MULTILINE)
_KERNEL_THREADS: Final = 2
_MAX_PROCESSES: Final = 15_000


def parse_stat(text: str, ticks: int, page: int, started: int) -> dict[str, Any] | None:
    """Return the item of a process from its /proc/PID/stat, without its user.

    Args:
        text: the file.
        ticks: of the clock per second.
        page: bytes of a page of memory.
        started: when the system started, Unix seconds.
    """
    found = _STAT.match(text)
    fields = found[4].split() if found else []
    if not found or len(fields) < 21 or not all(re.fullmatch(r"-?[0-9]+", f) for f in fields[:21]):
        return None
    return {
        "pid": int(found[1]),
        "parent_pid": int(fields[0]),
        "name": found[2],
        "user": None,
        "state": _STATES.get(found[3], found[3]),
        "threads": int(fields[16]),
        "memory_bytes": int(fields[20]) * page,
        "started_at": instant(started + int(fields[18]) / ticks) if started else None,
    }


@section("processes", platform="linux", personal=("user",), volatile=True, opt_in=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per process; the kernel's own threads are left out."""
    context.need("/proc")
    files = context.files
    started = boot_time(files.text("/proc/stat") or "") or 0
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    lines = [line.split(":") for line in (files.text("/etc/passwd") or "").split("\n")]
    names = {one[2]: one[0] for one in lines if len(one) == 7}
    items: list[dict[str, Any]] = []
    for name in files.names("/proc"):
        if not name.isdigit() or len(items) >= _MAX_PROCESSES:
            continue
        # A process may end between being listed and being read.
        item = parse_stat(files.text(f"/proc/{name}/stat") or "", ticks, page, started)
        if item is None or _KERNEL_THREADS in (item["pid"], item["parent_pid"]):
            continue
        uid = _UID.search(files.text(f"/proc/{name}/status") or "")
        item["user"] = names.get(uid[1], uid[1]) if uid else None
        items.append(item)
    return sorted(items, key=lambda one: int(one["pid"]))
