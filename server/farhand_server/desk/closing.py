"""What time alone changes of tickets: waiting ends, silence closes, promises become late.

Every node sweeps; each ticket is one transaction that looks again at what it found, so two nodes do
nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from sqlalchemy import and_, or_, select

from farhand_protocol.errors import FarhandError
from farhand_server.actors import THE_RELAY
from farhand_server.clock import stamp
from farhand_server.desk.adopting import adopt_tickets
from farhand_server.desk.downtime import sweep_downtime
from farhand_server.desk.moves import close, resume
from farhand_server.desk.queues import list_queues
from farhand_server.desk.service import sweep_due
from farhand_server.desk.ticket_campaigns import tell_of_campaigns
from farhand_server.desk.ticket_runs import tell_of_runs
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets

__all__ = ["EVERY_S", "sweep_tickets", "sweep_tickets_for_ever"]

_log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
# Of each kind, in one sweep; the next one goes on.
_AT_ONCE: Final = 200


async def sweep_tickets_for_ever(relay: Relay) -> None:
    """Sweep now and then; runs until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await sweep_tickets(relay)
        except FarhandError as error:
            _log.warning("tickets were not swept: %s", error)


async def sweep_tickets(relay: Relay) -> None:
    """Do what is due now.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    for number in await _waited_long_enough(relay):
        await _one(relay, number, "resume")
    for number in await _silent(relay):
        await _one(relay, number, "close")
    await adopt_tickets(relay)
    await sweep_due(relay)
    await sweep_downtime(relay)
    await tell_of_campaigns(relay)
    await tell_of_runs(relay)


async def _one(relay: Relay, number: int, what: str) -> None:
    ref = str(number)
    try:
        async with relay.db.write() as c:
            if what == "resume":
                note = "The time until which it was to wait has come."
                await resume(c, relay, ref=ref, note=note, actor=THE_RELAY)
            else:
                await close(c, relay, ref=ref, actor=THE_RELAY)
    except FarhandError as error:
        if error.code not in ("revision-mismatch", "ticket-state"):
            raise
        _log.info("ticket %s moved by itself meanwhile", number)


async def _waited_long_enough(relay: Relay) -> list[int]:
    query = select(tickets.c.number).where(
        tickets.c.tenant == relay.tenant,
        tickets.c.state == "waiting",
        tickets.c.waiting_until <= relay.stamp(),
    )
    async with relay.db.read() as c:
        return list(await c.scalars(query.order_by(tickets.c.number).limit(_AT_ONCE)))


async def _silent(relay: Relay) -> list[int]:
    async with relay.db.read() as c:
        of_queues = [
            and_(
                tickets.c.queue == queue.name,
                tickets.c.updated_at < stamp(relay.now() - timedelta(days=queue.close_days)),
            )
            for queue in await list_queues(c, relay.tenant)
        ]
        query = select(tickets.c.number).where(
            tickets.c.tenant == relay.tenant, tickets.c.state == "resolved", or_(*of_queues)
        )
        return list(await c.scalars(query.order_by(tickets.c.number).limit(_AT_ONCE)))
