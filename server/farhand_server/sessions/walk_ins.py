"""Walk-in tickets of sessions that never began: resolved with a note that says why.

A session that comes without a ticket gets one in the same transaction.  When the code was wrong or
the person said no, nothing stands on that ticket and nobody looks for it, so it would stay open
for good.  A ticket that anybody touched, or that another session is for, is left to people.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import is_untouched_walk_in, resolve
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.store.schema import sessions as table

__all__ = ["resolve_walk_in"]

_ACTOR = "relay"


async def resolve_walk_in(c: AsyncConnection, relay: Relay, session: str, reason: str) -> bool:
    """Resolve the walk-in ticket that was made for a session which came to nothing.

    Args:
        c: connection of the write transaction in which the session ends.
        relay: the wiring.
        session: id of a session that was never active.
        reason: stable code why it never was.

    Returns: whether there was such a ticket.
    """
    number = await rows.ticket_number(c, relay.tenant, session)
    if number is None or not await is_untouched_walk_in(c, relay.tenant, number):
        return False
    on_it = select(func.count()).where(table.c.tenant == relay.tenant, table.c.ticket == number)
    if await c.scalar(on_it) != 1:
        return False
    note = f"Resolved by the relay: session {session} never began ({reason})."
    await resolve(c, relay, ref=format_number(number), note=note, actor=_ACTOR)
    return True
