"""Which devices of a limited campaign are told next: at most so many at once, and of one domain.

    state of the order     takes a slot
    about to be told       for a minute
    offered                for the plan's lease: who says nothing by then gives it free again
    accepted, running      until the order expires, and beyond that while its device is online

What a device accepted it may begin at any time until the order expires, also without its link and
without another word before, as where it waits for its window: silence gives no such slot free.  A
device that is away and was told nothing takes none.  Slots are given with the campaign's row held:
however many nodes tell at once, together they tell no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import RowMapping, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.campaigns import CampaignPlan
from farhand_server.clock import stamp
from farhand_server.fleet.brakes import plan_of
from farhand_server.fleet.packages import in_chunks
from farhand_server.relay import Relay
from farhand_server.store.schema import campaign_slots, campaigns, orders

__all__ = ["free_slots", "take_slots"]

_HELD_S: Final = 60
_PAGE: Final = 500
_MOST: Final = 200
_HAD: Final = ("accepted", "running")
_by_id = func.coalesce(orders.c.id, "")


async def take_slots(
    c: AsyncConnection, relay: Relay, campaign: str, *, online: Container[str], after: str
) -> list[RowMapping]:
    """Return id, device, state and envelope of the orders that may be told now.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        campaign: its id.
        online: the devices that are worth a try.
        after: id of the last order that was tried in this round.
    """
    query = select(campaigns).where(campaigns.c.tenant == relay.tenant, campaigns.c.id == campaign)
    row = (await c.execute(query.with_for_update())).mappings().first()
    if row is None or row["state"] != "running" or row["max_in_flight"] is None:
        return []
    plan = plan_of(row)
    now = relay.stamp()
    await c.execute(
        delete(campaign_slots).where(
            campaign_slots.c.tenant == relay.tenant, campaign_slots.c.until <= now
        )
    )
    busy = await _busy(c, relay, campaign, plan, online)
    free = min(_MOST, row["max_in_flight"] - sum(busy.values()))
    chosen: list[str] = []
    while free > len(chosen):
        page = await _waiting(c, relay, row, after)
        for one in page:
            after = one["id"]
            if len(chosen) >= free or one["device"] not in online:
                continue
            if plan.per_domain is not None and busy[one["domain"]] >= plan.per_domain:
                continue
            busy[one["domain"]] += 1
            chosen.append(one["id"])
            await c.execute(
                insert(campaign_slots).values(
                    tenant=relay.tenant,
                    order_id=one["id"],
                    campaign=campaign,
                    domain=one["domain"],
                    until=stamp(relay.now() + timedelta(seconds=_HELD_S)),
                )
            )
        if len(page) < _PAGE:
            break
    found: list[RowMapping] = []
    for chunk in in_chunks(chosen):
        wanted = select(orders.c.id, orders.c.device, orders.c.state, orders.c.envelope).where(
            orders.c.tenant == relay.tenant, orders.c.id.in_(chunk)
        )
        found.extend((await c.execute(wanted.order_by(orders.c.id))).mappings())
    return found


async def _busy(
    c: AsyncConnection,
    relay: Relay,
    campaign: str,
    plan: CampaignPlan,
    online: Container[str],
) -> Counter[str | None]:
    now = relay.stamp()
    fresh = stamp(relay.now() - timedelta(seconds=plan.lease_s))
    of_campaign = and_(orders.c.tenant == relay.tenant, orders.c.campaign == campaign)
    working = (
        select(orders.c.domain, func.count())
        .where(
            of_campaign,
            or_(
                and_(orders.c.state == "offered", orders.c.updated_at > fresh),
                and_(orders.c.state.in_(_HAD), orders.c.expires_at > now),
            ),
        )
        .group_by(orders.c.domain)
    )
    # A script may last longer than its order was valid; who is away by now is waited for no more.
    past_end = select(orders.c.device, orders.c.domain).where(
        of_campaign, orders.c.state.in_(_HAD), orders.c.expires_at <= now
    )
    # An order whose slot is held and that is `offered` by now is counted above.
    held = (
        select(campaign_slots.c.domain, func.count())
        .join(
            orders,
            and_(
                orders.c.tenant == campaign_slots.c.tenant, orders.c.id == campaign_slots.c.order_id
            ),
        )
        .where(
            campaign_slots.c.tenant == relay.tenant,
            campaign_slots.c.campaign == campaign,
            orders.c.state == "eligible",
        )
        .group_by(campaign_slots.c.domain)
    )
    busy: Counter[str | None] = Counter()
    for query in (working, held):
        for domain, count in await c.execute(query):
            busy[domain] += count
    busy.update(row.domain for row in await c.execute(past_end) if row.device in online)
    return busy


async def _waiting(
    c: AsyncConnection, relay: Relay, row: RowMapping, after: str
) -> Sequence[RowMapping]:
    now = relay.stamp()
    query = (
        select(orders.c.id, orders.c.device, orders.c.domain)
        .outerjoin(
            campaign_slots,
            and_(
                campaign_slots.c.tenant == orders.c.tenant, campaign_slots.c.order_id == orders.c.id
            ),
        )
        .where(
            orders.c.tenant == relay.tenant,
            orders.c.campaign == row["id"],
            orders.c.ring <= row["open_ring"],
            orders.c.state == "eligible",
            orders.c.not_before <= now,
            orders.c.expires_at > now,
            orders.c.cancel_requested_at.is_(None),
            or_(campaign_slots.c.until.is_(None), campaign_slots.c.until <= now),
            _by_id > after,
        )
        .order_by(_by_id)
        .limit(_PAGE)
    )
    return (await c.execute(query)).mappings().all()


async def free_slots(c: AsyncConnection, tenant: str, ids: Sequence[str]) -> None:
    """Give the slots of these orders free; what a device took is counted by its state."""
    for chunk in in_chunks(list(ids)):
        await c.execute(
            delete(campaign_slots).where(
                campaign_slots.c.tenant == tenant, campaign_slots.c.order_id.in_(chunk)
            )
        )
