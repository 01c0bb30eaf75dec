"""What follows from what happens on a ticket: mails, notices, rules, surveys.

`add_event` queues each event in the transaction that makes it.  Here each is taken off the queue
once, in a transaction in which every heeder writes what follows: rows only, never a call over the
network, which is the outbox's business.  So what follows from an event is there exactly once,
however often a node dies.  A heeder that fails loses its own rows, not those of the others.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.relay import Relay
from farhand_server.store.schema import event_queue, ticket_events

__all__ = ["HeededEvent", "Heeder", "heed_events", "heed_events_for_ever"]

_log = logging.getLogger(__name__)

_EVERY_S: Final = 1.0
_AT_ONCE: Final = 100


class HeededEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a ticket; `ticket` is its number as the database keeps it.

    `actor` is an account's name, or `relay`, `mail`, `monitor`, `rule:NAME`.
    """

    seq: int
    ticket: int
    kind: str
    actor: str
    detail: dict[str, Any]
    at: str


Heeder = Callable[[AsyncConnection, Relay, HeededEvent], Awaitable[None]]


async def heed_events_for_ever(relay: Relay, heeders: Sequence[Heeder]) -> None:
    """Take events off the queue as they come; runs until cancelled."""
    while True:
        try:
            while await heed_events(relay, heeders):
                pass
        except FarhandError as error:
            _log.warning("events were not heeded: %s", error)
        await asyncio.sleep(_EVERY_S)


async def heed_events(relay: Relay, heeders: Sequence[Heeder]) -> int:
    """Heed what is queued, oldest first, as far as one turn goes.

    Returns: how many events were heeded.

    Raises:
        FarhandError: the store's; what was not done is done by a later turn.
    """
    async with relay.db.read() as c:
        query = select(event_queue.c.event).where(event_queue.c.tenant == relay.tenant)
        queued = list(await c.scalars(query.order_by(event_queue.c.event).limit(_AT_ONCE)))
    for seq in queued:
        async with relay.db.write() as c:
            await _heed(c, relay, seq, heeders)
    return len(queued)


async def _heed(c: AsyncConnection, relay: Relay, seq: int, heeders: Sequence[Heeder]) -> None:
    mine = and_(event_queue.c.tenant == relay.tenant, event_queue.c.event == seq)
    taken = await c.execute(delete(event_queue).where(mine))
    if not taken.rowcount:
        return  # another node was faster
    query = select(ticket_events).where(
        ticket_events.c.tenant == relay.tenant, ticket_events.c.seq == seq
    )
    row = (await c.execute(query)).mappings().one()
    event = HeededEvent(
        seq=seq,
        ticket=row["ticket"],
        kind=row["kind"],
        actor=row["actor"],
        detail=json.loads(row["detail"]),
        at=row["at"],
    )
    for heeder in heeders:
        try:
            async with c.begin_nested():
                await heeder(c, relay, event)
        except Exception:
            # Whatever is wrong with one of them, the others' work and the desk go on.
            _log.exception("%s failed on event %s", heeder.__qualname__, seq)
