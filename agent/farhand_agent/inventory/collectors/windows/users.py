"""Section `users`: local accounts and who of them may administer the device.

A domain controller has none; accounts of a domain are not listed, only those who have been here as
members of the local groups (section `groups`).
"""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.groups import ADMINISTRATORS, members
from farhand_agent.inventory.collectors.windows.people import profiles
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import date, said
from farhand_agent.inventory.json_values import truth

__all__ = ["parse"]


@windows_section("users", parts=("users", "groups", "profiles"), personal=("name", "home", "sid"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per account."""
    homes = profiles(told)
    admins: set[str] | None = None
    for one in told.also("groups"):
        if said(one.get("SID")) == ADMINISTRATORS:
            found = members(one)
            admins = None if found is None else {sid for _, sid in found if sid}
    if admins is None:
        told.note("who administers cannot be told")
    items = []
    for one in told.rows("users"):
        sid = said(one.get("SID"))
        enabled = truth(one.get("Enabled"))
        changed = date(one.get("PasswordLastSet"))
        required = truth(one.get("PasswordRequired"))
        password = "set" if changed else "none" if required is False else "unknown"
        items.append(
            {
                "name": said(one.get("Name")),
                "uid": None,
                "sid": sid,
                "gid": None,
                "home": homes.get(sid or ""),
                "shell": None,
                "interactive": enabled,
                "administrator": None if admins is None else sid in admins,
                "password": "locked" if enabled is False else password,
                "password_changed_on": changed,
            }
        )
    return items
