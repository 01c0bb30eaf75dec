"""Section `groups`: local groups, who is in them, and which of them may administer the device."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.linux.users import account_database
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_groups"]

_ADMIN: Final = ("sudo", "wheel", "admin", "root", "docker", "lxd", "libvirt", "disk", "shadow")
_MAX_MEMBERS: Final = 1_000


def parse_groups(text: str) -> list[dict[str, Any]]:
    """Return one item per group in group(5) format; lines of another shape are skipped.

    `docker`, `lxd`, `disk` and the like count as administrators: their members can become root.

    Raises:
        Malformed: there are lines and none is a group.
    """
    items = []
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) != 4 or not fields[0] or not fields[2].isdigit():
            continue
        members = [one for one in fields[3].strip().split(",") if one]
        items.append(
            {
                "name": fields[0],
                "id": fields[2],
                "members": members[:_MAX_MEMBERS],
                "administrator": fields[0] in _ADMIN,
            }
        )
    if text.strip() and not items:
        raise Malformed("group")
    return items


@section("groups", platform="linux", personal=("members",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per group."""
    return parse_groups(account_database(context, "group"))
