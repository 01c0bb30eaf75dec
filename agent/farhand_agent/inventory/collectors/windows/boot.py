"""Section `boot`: when Windows started and how it ended, the newest twenty times.

The event log writes 6005 when it begins with a start and 6006 when it ends with a shutdown.  A
start that is followed by another without that was not ended in order.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, when
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_STARTED, _ENDED = 6005, 6006
_SHOWN: Final = 20


@windows_section("boot", parts=("events_boot", "os"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per start, newest first."""
    events = []
    for one in told.rows("events_boot"):
        at, number = when(one.get("TimeCreated")), whole(one.get("Id"))
        if at and number:
            # At the same second the end of the last start is told before this one.
            events.append((at, number == _STARTED, number))
    items: list[dict[str, Any]] = []
    for at, _, number in sorted(events):
        if number == _STARTED:
            if items and items[-1]["clean"] is None:
                items[-1]["clean"] = False
            items.append({"booted_at": at, "ended_at": None, "clean": None, "kernel": None})
        elif number == _ENDED and items:
            items[-1]["ended_at"], items[-1]["clean"] = at, True
    if items:
        items[-1]["kernel"] = said(told.also_row("os").get("Version"))
    return items[::-1][:_SHOWN]
