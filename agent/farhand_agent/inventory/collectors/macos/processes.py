"""Section `processes` (opt-in): never a command line, never an environment."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_lines
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_ps"]

_LINE: Final = re.compile(
    r"\s*([0-9]{1,10})\s+([0-9]{1,10})\s+(\S+)\s+([A-Z])\S*\s+([0-9]{1,15})\s+(.+)"
)
_STATES: Final = {
    "R": "running", "S": "sleeping", "I": "sleeping", "U": "waiting", "T": "stopped", "Z": "zombie",
}  # fmt: skip


def parse_ps(output: str) -> list[dict[str, Any]]:
    """Return one item per line of `ps -axo pid=,ppid=,user=,state=,rss=,ucomm=`."""
    return [
        {
            "pid": int(found[1]),
            "parent_pid": int(found[2]),
            "name": found[6].strip(),
            "user": found[3],
            "state": _STATES.get(found[4]),
            "threads": None,
            "memory_bytes": int(found[5]) * 1024,
            "started_at": None,
        }
        for line in output.split("\n")
        if (found := _LINE.fullmatch(line))
    ]


@macos_section("processes", personal=("user",), volatile=True, opt_in=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per process."""
    told = context.run(["ps", "-axo", "pid=,ppid=,user=,state=,rss=,ucomm="]).text
    items = parse_ps(told)
    require_lines(context, "ps", told, len(items))
    return items
