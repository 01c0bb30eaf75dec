"""How long words are kept: an organisation says so many days, and a sweep erases what is older.

What counts is when a ticket was closed; spam, which nobody closes, goes by its last change, and a
merged ticket with the one that it was merged into.  One that was erased and opened again is erased
again once its new words are old enough.  Numbers, times and the ledger stay.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.actors import THE_RELAY
from farhand_server.care.erasure import note_erased
from farhand_server.care.words import erase_words_on
from farhand_server.clock import stamp
from farhand_server.desk.search_index import index_ticket
from farhand_server.relay import Relay
from farhand_server.store.schema import erased_tickets, organisations, tickets

__all__ = ["EVERY_S", "sweep_words", "sweep_words_for_ever"]

_log = logging.getLogger(__name__)

EVERY_S: Final = 86_400.0
_FIRST_S: Final = 300.0
# Tickets in one transaction.
_AT_ONCE: Final = 50


async def sweep_words_for_ever(relay: Relay) -> None:
    """Sweep a while after the start, then every day; runs until cancelled."""
    wait_s = _FIRST_S
    while True:
        await asyncio.sleep(wait_s)
        wait_s = EVERY_S
        try:
            await sweep_words(relay)
        except FarhandError as error:
            _log.warning("old words were not erased: %s", error)


async def sweep_words(relay: Relay) -> int:
    """Erase the words of all tickets that are old enough; returns of how many.

    Raises:
        FarhandError: the store's; what was not done is done by the next sweep.
    """
    count = 0
    async with relay.db.read() as c:
        query = select(organisations.c.id, organisations.c.retention_days).where(
            organisations.c.tenant == relay.tenant, organisations.c.retention_days.is_not(None)
        )
        keeping = (await c.execute(query)).all()
    for organisation, days in keeping:
        before = stamp(relay.now() - timedelta(days=days))
        while done := await _erase_some(relay, organisation, before, days):
            count += done
    if count:
        _log.info("the words of %s tickets were erased, as their organisations ask", count)
    return count


async def _erase_some(relay: Relay, organisation: str, before: str, days: int) -> int:
    async with relay.db.write() as c:
        numbers = await _due(c, relay.tenant, organisation, before)
        if not numbers:
            return 0
        await relay.audit.append(
            c,
            actor=THE_RELAY,
            action="words.erase",
            subject=organisation,
            detail={"tickets": numbers, "days": days},
        )
        await erase_words_on(c, relay, numbers)
        for number in numbers:
            await index_ticket(c, relay.tenant, number)
        await note_erased(c, relay, numbers, "retention")
        return len(numbers)


async def _due(c: AsyncConnection, tenant: str, organisation: str, before: str) -> list[int]:
    target = tickets.alias()
    with_target = exists().where(
        target.c.tenant == tickets.c.tenant,
        target.c.number == tickets.c.merged_into,
        exists().where(
            erased_tickets.c.tenant == target.c.tenant, erased_tickets.c.ticket == target.c.number
        ),
    )
    over: ColumnElement[bool] = or_(
        and_(tickets.c.state == "closed", func.coalesce(tickets.c.closed_at, "~") < before),
        and_(tickets.c.state == "spam", tickets.c.updated_at < before),
        and_(tickets.c.state == "merged", with_target),
    )
    done = exists().where(
        erased_tickets.c.tenant == tickets.c.tenant,
        erased_tickets.c.ticket == tickets.c.number,
        erased_tickets.c.erased_at > tickets.c.updated_at,
    )
    query = (
        select(tickets.c.number)
        .where(
            tickets.c.tenant == tenant,
            tickets.c.organisation == organisation,
            tickets.c.updated_at < before,
            over,
            ~done,
        )
        .order_by(tickets.c.number)
        .limit(_AT_ONCE)
        .with_for_update()
    )
    return list(await c.scalars(query))
