"""Section `boot`: this start; earlier ones are not written down with their year."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, sysctl
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.moments import instant

__all__ = ["boot_time", "collect"]

_SECONDS: Final = re.compile(r"sec = ([0-9]{1,12}),")


def boot_time(value: str) -> int | None:
    """Return Unix seconds of kern.boottime: "{ sec = 1763620200, usec = 0 } Thu Nov 20 ..."."""
    found = _SECONDS.search(value)
    return int(found[1]) if found else None


@macos_section("boot")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    told = sysctl(context, "kern.boottime", "kern.osrelease")
    return [
        {
            "booted_at": instant(boot_time(told.get("kern.boottime", ""))),
            "ended_at": None,
            "clean": None,
            "kernel": told.get("kern.osrelease"),
        }
    ]
