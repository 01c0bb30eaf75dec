"""Section `raid`: sets of AppleRAID."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text, whole
from farhand_agent.inventory.plists import read_plist

__all__ = ["collect", "raid_items"]

_LEVELS: Final = {"Mirror": "raid1", "Stripe": "raid0", "Concat": "linear"}
_STATES: Final = {"Online": "clean", "Degraded": "degraded", "Offline": "failed"}


def raid_items(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one item per set in `diskutil appleRAID list -plist`."""
    items = []
    for one in rows(document.get("AppleRAIDSets")):
        members = rows(one.get("Members"))
        state = text(one.get("Status")) or ""
        level = text(one.get("Level")) or ""
        items.append(
            {
                "name": text(one.get("Name")),
                "level": _LEVELS.get(level, level.lower() or None),
                "state": _STATES.get(state, state.lower() or None),
                "size_bytes": whole(one.get("Size")),
                "devices": len(members),
                "failed": sum(text(m.get("MemberStatus")) != "Online" for m in members),
                "members": [n for m in members if (n := text(m.get("BSD Name")))],
                "controller": "AppleRAID",
            }
        )
    return items


@macos_section("raid")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per set."""
    answer = context.run(["diskutil", "appleRAID", "list", "-plist"]).stdout
    return raid_items(read_plist(answer, "diskutil appleRAID"))
