"""Tickets that name their requester, but not who that is, get their person once that is known.

A name says who asked as long as it is somebody's account, or an address that somebody has proven.
Where the two say different people, or nobody, the ticket stays as it is.  What an unknown hand
began in somebody's name names no requester (`mail.placing`), so nothing of that is taken here.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.actors import THE_RELAY
from farhand_server.desk.search_index import index_head
from farhand_server.desk.timeline import add_event
from farhand_server.people.people import whose_name
from farhand_server.relay import Relay
from farhand_server.store.schema import addresses, people, tickets

__all__ = ["adopt_tickets"]

_AT_ONCE: Final = 200


async def adopt_tickets(relay: Relay) -> int:
    """Write on tickets who asked, where that has become known; returns on how many.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    tenant = relay.tenant
    by_account = select(people.c.account).where(
        people.c.tenant == tenant, people.c.account.is_not(None)
    )
    by_address = select(addresses.c.value).where(
        addresses.c.tenant == tenant,
        addresses.c.kind == "mail",
        addresses.c.verified_at.is_not(None),
    )
    query = (
        select(tickets.c.number, tickets.c.requester)
        .where(
            tickets.c.tenant == tenant,
            tickets.c.person.is_(None),
            or_(tickets.c.requester.in_(by_account), tickets.c.requester.in_(by_address)),
        )
        .order_by(tickets.c.number.desc())
        .limit(_AT_ONCE)
    )
    async with relay.db.read() as c:
        found = (await c.execute(query)).all()
    adopted = 0
    for row in found:
        async with relay.db.write() as c:
            adopted += await _adopt(c, relay, row.number, row.requester)
    return adopted


async def _adopt(c: AsyncConnection, relay: Relay, number: int, requester: str) -> bool:
    mine = and_(tickets.c.tenant == relay.tenant, tickets.c.number == number)
    query = select(tickets.c.organisation).where(
        mine, tickets.c.person.is_(None), tickets.c.requester == requester
    )
    row = (await c.execute(query.with_for_update())).first()
    person, organisation = await whose_name(c, relay.tenant, requester)
    if row is None or person is None:
        return False
    # Nobody decided this, so whoever has read the ticket may go on with what she read.
    values = {"person": person, "organisation": row.organisation or organisation}
    await c.execute(update(tickets).where(mine).values(**values))
    detail = {"person": {"from": None, "to": person}}
    await add_event(c, relay.tenant, number, "changed", THE_RELAY, detail, relay.stamp())
    await index_head(c, relay.tenant, number)
    return True
