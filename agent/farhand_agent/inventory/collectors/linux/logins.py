"""Section `logins`: who logged in, the newest fifty times."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.moments import instant
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.wtmp import BOOT, LOGIN, LOGOUT, Record, read_records

__all__ = ["collect", "logins"]

_SHOWN: Final = 50


def logins(records: list[Record]) -> list[dict[str, Any]]:
    """Return one item per login, newest first; a login ends with its line or with the system."""
    items: list[dict[str, Any]] = []
    open_lines: dict[str, dict[str, Any]] = {}
    for one in records:
        if one.kind == LOGIN:
            item = {
                "user": one.user,
                "at": instant(one.at),
                "ended_at": instant(one.ended_at),
                "terminal": one.line or None,
                "origin": one.detail or None,
            }
            items.append(item)
            if one.ended_at is None:
                open_lines[one.line] = item
        elif one.kind == LOGOUT and one.line in open_lines:
            open_lines.pop(one.line)["ended_at"] = instant(one.at)
        elif one.kind == BOOT:
            # Nobody was logged in any more; when the system went down is section `boot`.
            for item in open_lines.values():
                item["ended_at"] = instant(one.at)
            open_lines.clear()
    return items[::-1][:_SHOWN]


@section("logins", platform="linux", personal=("user", "origin"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per login, the newest first.

    Raises:
        Unsupported: this system writes no logins down.
    """
    return logins(read_records(context))
