"""Section `boot`: when the system started and how it ended, the newest twenty times."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.moments import instant
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.wtmp import BOOT, SHUTDOWN, Record, read_records

__all__ = ["boots", "collect"]

_SHOWN: Final = 20


def boots(records: list[Record]) -> list[dict[str, Any]]:
    """Return one item per start, newest first.

    A start that is followed by another without a shutdown between was not ended in order: the
    power went, or the kernel crashed.
    """
    items: list[dict[str, Any]] = []
    for one in records:
        if one.kind == BOOT:
            if items and items[-1]["clean"] is None:
                items[-1]["clean"] = items[-1]["ended_at"] is not None
            items.append(
                {
                    "booted_at": instant(one.at),
                    "ended_at": instant(one.ended_at),
                    "clean": True if one.ended_at else None,
                    "kernel": one.detail or None,
                }
            )
        elif one.kind == SHUTDOWN and items:
            items[-1]["ended_at"], items[-1]["clean"] = instant(one.at), True
    return items[::-1][:_SHOWN]


@section("boot", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per start, the newest first.

    Raises:
        Unsupported: this system writes no starts down.
    """
    return boots(read_records(context))
