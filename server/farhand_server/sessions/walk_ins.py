"""Walk-in tickets of sessions that never began: resolved with a note that says why.

A session that comes without a ticket gets one: by code in the same transaction, by a grant alone
beforehand from the console (the grant names it).  When the code was wrong, policy or the person
said no, or the grant never came, nothing stands on that ticket and nobody looks for it, so it
would stay open for good.  A ticket that anybody touched, or that another session is for, is left
to people.
"""

from __future__ import annotations

from sqlalchemy import exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.actors import THE_RELAY
from farhand_server.desk.moves import resolve
from farhand_server.desk.references import format_number
from farhand_server.desk.walk_ins import is_untouched_walk_in
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.sessions.states import FINAL
from farhand_server.store.schema import sessions as table
from farhand_server.store.schema import tickets

__all__ = ["resolve_unused", "resolve_walk_in"]

_AT_ONCE = 100


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
    # Several may share it; it goes with the last of them, if none began.
    others = select(func.count()).where(
        table.c.tenant == relay.tenant,
        table.c.ticket == number,
        table.c.id != session,
        or_(table.c.started_at.is_not(None), table.c.state.not_in(FINAL)),
    )
    if await c.scalar(others):
        return False
    note = f"Resolved by the relay: session {session} never began ({reason})."
    await resolve(c, relay, ref=format_number(number), note=note, actor=THE_RELAY)
    return True


async def resolve_unused(c: AsyncConnection, relay: Relay, *, before: str) -> int:
    """Resolve walk-in tickets made for a session that never came here.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        before: only tickets made before this instant.

    Returns: how many; at most 100 at once.
    """
    on_it = exists().where(table.c.tenant == relay.tenant, table.c.ticket == tickets.c.number)
    query = (
        select(tickets.c.number)
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.state == "open",
            tickets.c.kind == "walk-in",
            tickets.c.created_at < before,
            ~on_it,
        )
        .order_by(tickets.c.number)
        .limit(_AT_ONCE)
    )
    count = 0
    for number in (await c.execute(query)).scalars().all():
        if await is_untouched_walk_in(c, relay.tenant, number):
            note = "Resolved by the relay: the session it was made for never came."
            await resolve(c, relay, ref=format_number(number), note=note, actor=THE_RELAY)
            count += 1
    return count
