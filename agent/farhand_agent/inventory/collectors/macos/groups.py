"""Section `groups`: local groups with their members."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.directory import read_records
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context

__all__ = ["collect"]

_ADMIN: Final = ("80", "0")
_KEYS: Final = ("RecordName", "PrimaryGroupID", "GroupMembership")


@macos_section("groups", personal=("members",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per group."""
    items = []
    for one in read_records(context, "/Groups", *_KEYS):
        number = next(iter(one.get("PrimaryGroupID", ())), None)
        items.append(
            {
                "name": next(iter(one.get("RecordName", ())), None),
                "id": number,
                "members": one.get("GroupMembership", [])[:1000],
                "administrator": number in _ADMIN,
            }
        )
    return items
