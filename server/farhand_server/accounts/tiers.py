"""Tiers of technicians: which actions need tier 2 or 3.

By default none does.  The setting `tier-rights` maps an action of `authorisation.ACTIONS`, or one
of the parts below, to the lowest tier that may do it:

    {"order.create:R2": 2, "session.open:terminal": 2, "ticket.resolve": 2}

Technicians alone have a tier; admins are not held by it.  It binds at once, on every sign-in.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import ACTIONS, Role
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay

__all__ = ["HIGHEST_TIER", "PARTS", "barred_for", "set_tier_rights", "tier_rights"]

HIGHEST_TIER: Final = 3
_SETTING: Final = "tier-rights"

# Actions of which a part alone may need a tier: scopes of sessions, and risk classes of scripts.
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "session.open": (
        "view",
        "terminal",
        "files",
        "forward",
        "screen",
        "control",
        "clipboard",
        "desktop",
    ),
    "order.create": ("R0", "R1", "R2", "R3"),
    "campaign.create": ("R0", "R1", "R2", "R3"),
}


async def tier_rights(c: AsyncConnection, tenant: str) -> dict[str, int]:
    """Return what needs which tier."""
    return await get_setting(c, tenant, _SETTING, dict[str, int], default={})


async def barred_for(c: AsyncConnection, tenant: str, role: Role, tier: int) -> frozenset[str]:
    """Return what somebody of this role and tier may not do."""
    if role != "technician":
        return frozenset()
    needed = await tier_rights(c, tenant)
    return frozenset(action for action, lowest in needed.items() if tier < lowest)


async def set_tier_rights(
    c: AsyncConnection, relay: Relay, rights: dict[str, int], *, actor: str
) -> None:
    """Set what needs which tier, all of it at once.

    Raises:
        UsageError: `tier-rights` for an action that a technician does not have, or no tier.
    """
    for name, tier in rights.items():
        action, _, part = name.partition(":")
        known = "technician" in ACTIONS.get(action, {}) and action not in _NEVER
        if not known or (part and part not in PARTS.get(action, ())):
            raise UsageError("tier-rights", f"{name[:60]!r} is nothing that a tier could allow")
        if not 1 <= tier <= HIGHEST_TIER:
            raise UsageError("tier-rights", f"tiers are 1 to {HIGHEST_TIER}")
    await set_setting(c, relay, _SETTING, rights, actor)


# Whoever is signed in must be able to sign out, and to see why something is refused.
_NEVER: Final = ("me.read", "me.write", "notice.mine")
