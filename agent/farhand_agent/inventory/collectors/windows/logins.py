"""Section `logins`: the newest, of the security log; needs the right to read it."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, when
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_KINDS: Final = {2: "console", 7: "unlock", 10: "rdp", 11: "console"}
_NOBODY: Final = ("dwm-", "umfd-")
_NOWHERE: Final = ("-", "::1", "127.0.0.1")
_SHOWN: Final = 50


@windows_section("logins", parts=("logons",), personal=("user", "origin"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per login, the newest first; when it ended is written elsewhere."""
    items = []
    for one in told.rows("logons"):
        user, domain = said(one.get("User")), said(one.get("Domain"))
        if user is None or user.lower().startswith(_NOBODY):
            continue
        origin = said(one.get("Address"))
        items.append(
            {
                "user": f"{domain}\\{user}" if domain else user,
                "at": when(one.get("At")),
                "ended_at": None,
                "terminal": _KINDS.get(whole(one.get("LogonType")) or 0),
                "origin": None if origin in _NOWHERE else origin,
            }
        )
    return sorted(items, key=lambda item: item["at"] or "", reverse=True)[:_SHOWN]
