"""Section `sessions`: who is here, at the screen or from afar.

quser prints in the language of Windows, so the sessions of the security system are read.  Windows
keeps several for one person (one for each half of her rights), of which the oldest is shown.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, when
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

# Source: Win32_LogonSession.LogonType.
_INTERACTIVE, _UNLOCK, _REMOTE, _CACHED, _CACHED_REMOTE = 2, 7, 10, 11, 12
_SHOWN: Final = (_INTERACTIVE, _REMOTE, _CACHED, _CACHED_REMOTE)
_FROM_AFAR: Final = (_REMOTE, _CACHED_REMOTE)
# Accounts of the window manager and of fonts are nobody.
_NOBODY: Final = ("dwm-", "umfd-")


@windows_section("sessions", parts=("logon_sessions",), personal=("user", "origin"), volatile=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per person and kind."""
    found: dict[tuple[str, bool], dict[str, Any]] = {}
    for one in told.rows("logon_sessions"):
        kind, user = whole(one.get("LogonType")), said(one.get("User"))
        if kind not in _SHOWN or user is None or user.lower().startswith(_NOBODY):
            continue
        domain = said(one.get("Domain"))
        name = f"{domain}\\{user}" if domain else user
        remote = kind in _FROM_AFAR
        since = when(one.get("StartTime"))
        item = found.setdefault(
            (name, remote),
            {
                "user": name, "kind": "rdp" if remote else "console", "terminal": None,
                "origin": None, "since": since, "state": "active", "remote": remote,
            },
        )  # fmt: skip
        if since and (item["since"] is None or since < item["since"]):
            item["since"] = since
    return list(found.values())
