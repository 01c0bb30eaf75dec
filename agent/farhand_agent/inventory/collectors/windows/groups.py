"""Section `groups`: local groups with their members.

Names are translated ("Administratoren"), so the group that matters is known by its identifier.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said

__all__ = ["ADMINISTRATORS", "members", "parse"]

ADMINISTRATORS: Final = "S-1-5-32-544"
# Operators who can make themselves administrators: backup, and Hyper-V's.
_MIGHTY: Final = (ADMINISTRATORS, "S-1-5-32-551", "S-1-5-32-578")
_MAX_MEMBERS: Final = 1_000


def members(group: dict[str, Any]) -> list[tuple[str | None, str | None]] | None:
    """Return names and identifiers of a group's members.

    Returns:
        None where Windows cannot list them: one member whose domain is gone is enough for that.
    """
    found = group.get("Members")
    if isinstance(found, dict):
        found = found.get("value", [found])
    if not isinstance(found, list):
        return None
    return [
        (said(one.get("Name")), said(one.get("SID")))
        for one in found[:_MAX_MEMBERS]
        if isinstance(one, dict)
    ]


@windows_section("groups", parts=("groups",), personal=("members",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per group."""
    items = []
    for one in told.rows("groups"):
        sid = said(one.get("SID"))
        found = members(one)
        if found is None:
            told.note(f"members of {said(one.get('Name'))} cannot be listed")
        items.append(
            {
                "name": said(one.get("Name")),
                "id": sid,
                "members": [name or identity for name, identity in found or ()],
                "administrator": sid in _MIGHTY,
            }
        )
    return items
