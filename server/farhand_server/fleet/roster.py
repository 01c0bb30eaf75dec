"""The roster as the relay sees it, for the first lock only.

Nothing here decides what a device does; devices verify the roster by themselves.  It lets the relay
turn away what every device would refuse, with an early and plain error.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.trust import ROSTER_PATH, Roster
from farhand_server.relay import Relay
from farhand_server.trust.service import make_trust

__all__ = ["current_roster"]


async def current_roster(c: AsyncConnection, relay: Relay) -> Roster | None:
    """Return the roster of the newest targets; None while there is no trust root.

    Raises:
        FarhandError: `trust-malformed` when the stored roster cannot be read.
    """
    return await relay.service(make_trust).document(c, ROSTER_PATH, Roster)
