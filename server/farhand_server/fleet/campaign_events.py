"""What happens in a campaign, step by step, for whoever watches: one row per step of an order.

An event is a step of an order (`order` and `device` are set) or of the campaign itself: `running`,
`paused`, `aborted`, `finished`, `ring-opened`, `ring-settled`, `ring-approved`, `ring-held`.  Rows
are written with the campaign's row held, so their numbers grow in the order in which they become
visible, and a cursor misses none.  A watcher asks with the cursor that the last answer gave; where
there is nothing new it waits for the bus, not by polling.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import and_, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.relay import Relay
from farhand_server.store.schema import order_events, orders

__all__ = [
    "MAX_EVENTS",
    "CampaignStep",
    "add_campaign_event",
    "campaign_events",
    "campaign_subject",
    "tell_watchers",
    "wait_for_events",
]

MAX_EVENTS: Final = 500


class CampaignStep(msgspec.Struct, frozen=True, kw_only=True):
    """One event; `order`, `device` and `ring` are null where it is about the campaign itself."""

    seq: int
    at: str
    state: str
    order: str | None
    device: str | None
    ring: int | None
    detail: dict[str, Any]


def campaign_subject(tenant: str, campaign: str) -> str:
    """Return the bus subject on which a campaign's steps are told."""
    return f"campaign.{tenant}.{campaign}"


async def tell_watchers(relay: Relay, campaigns: set[str]) -> None:
    """Wake whoever watches these campaigns; after the steps have committed."""
    for campaign in sorted(campaigns):
        await relay.bus.publish(campaign_subject(relay.tenant, campaign), b"")


async def add_campaign_event(
    c: AsyncConnection,
    tenant: str,
    campaign: str,
    state: str,
    at: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an event about a campaign itself; its row is held by the caller."""
    row = {
        "tenant": tenant,
        "order_id": campaign,
        "campaign": campaign,
        "state": state,
        "at": at,
        "detail": json.dumps(dict(detail or {}), sort_keys=True),
    }
    await c.execute(insert(order_events), [row])


async def campaign_events(
    c: AsyncConnection, tenant: str, campaign: str, *, after: int, limit: int
) -> list[CampaignStep]:
    """Return a campaign's events in their order, those after the number `after`."""
    query = (
        select(
            order_events.c.seq,
            order_events.c.at,
            order_events.c.state,
            order_events.c.detail,
            orders.c.id.label("order"),
            orders.c.device,
            orders.c.ring,
        )
        .outerjoin(
            orders,
            and_(orders.c.tenant == order_events.c.tenant, orders.c.id == order_events.c.order_id),
        )
        .where(
            order_events.c.tenant == tenant,
            order_events.c.campaign == campaign.replace("\0", ""),
            order_events.c.seq > after,
        )
        .order_by(order_events.c.seq)
        .limit(limit)
    )
    return [
        CampaignStep(**{**row, "detail": json.loads(row["detail"])})
        for row in (await c.execute(query)).mappings()
    ]


async def wait_for_events(
    relay: Relay, campaign: str, *, after: int, limit: int, wait_s: float
) -> list[CampaignStep]:
    """Return the events after `after`; none come back only once `wait_s` is over."""
    moved = asyncio.Event()

    async def hear(_data: bytes) -> None:
        moved.set()

    subject = campaign_subject(relay.tenant, campaign)
    subscription = await relay.bus.subscribe(subject, hear)
    try:
        async with asyncio.timeout(wait_s):
            while True:
                # It may have moved between the caller's look and the subscription.
                moved.clear()
                async with relay.db.read() as c:
                    found = await campaign_events(
                        c, relay.tenant, campaign, after=after, limit=limit
                    )
                if found:
                    return found
                await moved.wait()
    except TimeoutError:
        return []  # nothing happened: the caller asks again
    finally:
        await subscription.close()
