"""Walk-in tickets: what a session gets that came without one.

Two technicians, or one at two consoles, may open sessions on the same device at the same time, each
without a ticket.  They are about the same trouble, so they get the same ticket: the one that was
made a moment ago and whose session has not ended.  What becomes of a walk-in whose session never
began is decided in farhand_server.sessions.walk_ins.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import and_, exists, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.clock import stamp
from farhand_server.desk.moves import assign
from farhand_server.desk.tickets import (
    Intake,
    Ticket,
    create_ticket,
    get_ticket,
    lock_numbers,
)
from farhand_server.desk.timeline import insert_message
from farhand_server.relay import Relay
from farhand_server.sessions.states import FINAL
from farhand_server.store.schema import sessions, ticket_events, tickets

__all__ = ["create_walk_in", "is_untouched_walk_in"]

# As long as a session may wait to begin; who comes later comes for something else.
_SHARED: Final = timedelta(minutes=15)


async def create_walk_in(
    c: AsyncConnection,
    relay: Relay,
    *,
    actor: str,
    device: str | None = None,
    external_key: str | None = None,
    reason: str = "",
    title: str | None = None,
    body: str | None = None,
) -> Ticket:
    """Make the ticket of a session that came without one, or give the one that is under way.

    A new one is the operator's from the start; one that is given keeps its owner.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        actor: the operator.
        device: id of the device.
        external_key: its key in someone else's desk; such a ticket is always a new one.
        reason: makes the title where none is given.
        title: one line.
        body: a message by `actor`.

    Raises:
        FarhandError: `invalid`.
    """
    # Held until the transaction ends, so that of two at once the second sees the first's ticket.
    await lock_numbers(c, relay.tenant)
    if device is not None and external_key is None:
        number = await _under_way(c, relay, device)
        if number is not None:
            if body and body.strip():
                at = relay.stamp()
                await insert_message(c, relay.tenant, number, "reply", actor, body, at)
            return await get_ticket(c, relay.tenant, str(number))
    words = " ".join(reason.split())[:160]
    made = await create_ticket(
        c,
        relay,
        title=title or (f"Walk-in: {words}" if words.isprintable() and words else "Walk-in"),
        actor=actor,
        device=device,
        external_key=external_key,
        body=body,
        intake=Intake(kind="walk-in"),
    )
    return await assign(c, relay, ref=made.id, owner=actor, actor=actor)


async def _under_way(c: AsyncConnection, relay: Relay, device: str) -> int | None:
    """Return the number of the walk-in whose session on a device begins or goes on just now."""
    on_it = and_(sessions.c.tenant == relay.tenant, sessions.c.ticket == tickets.c.number)
    goes_on = exists().where(on_it, sessions.c.state.not_in(FINAL))
    query = (
        select(tickets.c.number)
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.device == device,
            tickets.c.kind == "walk-in",
            tickets.c.state == "open",
            tickets.c.external_key.is_(None),
            tickets.c.created_at >= stamp(relay.now() - _SHARED),
            or_(goes_on, not_(exists().where(on_it))),
        )
        .order_by(tickets.c.number.desc())
        .limit(1)
    )
    number: int | None = await c.scalar(query)
    return number


async def is_untouched_walk_in(c: AsyncConnection, tenant: str, number: int) -> bool:
    """Tell whether a ticket is as `create_walk_in` made it; holds its row if it may be."""
    mine = and_(tickets.c.tenant == tenant, tickets.c.number == number)
    await c.execute(select(tickets.c.number).where(mine).with_for_update())
    kind, state = (await c.execute(select(tickets.c.kind, tickets.c.state).where(mine))).one()
    events = select(ticket_events.c.kind).where(
        ticket_events.c.tenant == tenant, ticket_events.c.ticket == number
    )
    happened = list(await c.scalars(events.order_by(ticket_events.c.seq).limit(3)))
    return (kind, state) == ("walk-in", "open") and happened == ["created", "assigned"]
