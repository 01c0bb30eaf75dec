"""Section `users`: local accounts and who of them may administer the Mac."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.directory import read_records
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import whole

__all__ = ["collect", "user_items"]

_NO_LOGIN: Final = ("false", "nologin")


def user_items(
    people: list[dict[str, list[str]]], groups: list[dict[str, list[str]]]
) -> list[dict[str, Any]]:
    """Return one item per account.

    Args:
        people, groups: attributes of each record, without the names of their schema.
    """
    admins = {
        name
        for group in groups
        if "admin" in group.get("RecordName", ())
        for name in group.get("GroupMembership", ())
    }
    items = []
    for one in people:

        def first(key: str, one: dict[str, list[str]] = one) -> str | None:
            return next(iter(one.get(key, ())), None)

        name, shell = first("RecordName"), first("UserShell")
        uid = whole(first("UniqueID"))
        # Accounts of the system begin with an underscore.
        able = (shell or "").rpartition("/")[2] not in _NO_LOGIN and (name or "_")[0] != "_"
        items.append(
            {
                "name": name, "uid": uid, "sid": None, "gid": whole(first("PrimaryGroupID")),
                "home": first("NFSHomeDirectory"), "shell": shell, "interactive": able,
                "administrator": uid == 0 or name in admins, "password": "unknown",
                "password_changed_on": None,
            }
        )  # fmt: skip
    return items


@macos_section("users", personal=("name", "home", "sid"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per account."""
    keys = ("RecordName", "UniqueID", "PrimaryGroupID", "NFSHomeDirectory", "UserShell")
    people = read_records(context, "/Users", *keys)
    return user_items(people, read_records(context, "/Groups", "RecordName", "GroupMembership"))
