"""Order rows and the one way they move: `advance`.

Each step follows the table in `order_states`, adds an event, and keeps the campaign's counts, all
in the caller's transaction; a campaign whose every row is final is finished by the step that made
it so.  Steps are taken for many orders at once in a few statements.

Locks are always taken in this order, so that on PostgreSQL no two transactions wait for each other:
audit, order rows by id, campaign rows by id, counts by ring and state.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.orders import OrderState
from farhand_server.fleet.order_states import FINAL_STATES, OPEN_STATES, may_follow
from farhand_server.fleet.packages import in_chunks
from farhand_server.store.schema import campaign_counts, campaigns, order_events, orders

__all__ = ["add_events", "add_to_counts", "advance", "lock_orders", "order_row"]

_LOCKED: Final = (
    orders.c.id,
    orders.c.device,
    orders.c.campaign,
    orders.c.ring,
    orders.c.state,
    orders.c.result.is_not(None).label("has_result"),
)


async def order_row(c: AsyncConnection, tenant: str, order: str) -> RowMapping | None:
    """Return a whole order row."""
    query = select(orders).where(orders.c.tenant == tenant, orders.c.id == order)
    return (await c.execute(query)).mappings().first()


async def lock_orders(c: AsyncConnection, tenant: str, ids: Iterable[str]) -> list[RowMapping]:
    """Return id, device, campaign, ring, state and has_result of orders, held until the end."""
    found: list[RowMapping] = []
    for chunk in in_chunks(sorted(set(ids))):
        query = (
            select(*_LOCKED)
            .where(orders.c.tenant == tenant, orders.c.id.in_(chunk))
            .order_by(orders.c.id)
            .with_for_update()
        )
        found.extend((await c.execute(query)).mappings())
    return found


async def advance(
    c: AsyncConnection,
    *,
    tenant: str,
    rows: Sequence[RowMapping],
    after: OrderState,
    at: str,
    by_device: bool = False,
    detail: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[str]:
    """Take one step with those of the orders that may take it.

    Args:
        c: connection of a write transaction.
        tenant: organisation.
        rows: from `lock_orders` in this transaction.
        after: the wanted state.
        at: the time as the tables keep it.
        by_device: the device said so, not the relay.
        detail: for the event.
        changes: further columns to set.

    Returns: ids of the orders that took the step; the others stay as they were.
    """
    moving = [
        row
        for row in rows
        if may_follow(row["state"], after, by_device=by_device, has_result=row["has_result"])
    ]
    if not moving:
        return []
    ids = [row["id"] for row in moving]
    statement = (
        update(orders)
        .where(orders.c.tenant == tenant, orders.c.id == bindparam("one"))
        .values(state=after, updated_at=at, **(changes or {}))
    )
    await c.execute(statement, [{"one": one} for one in ids])
    await add_events(c, tenant=tenant, ids=ids, state=after, at=at, detail=detail)
    await _count(c, tenant, moving, after, at)
    return ids


async def add_events(
    c: AsyncConnection,
    *,
    tenant: str,
    ids: Sequence[str],
    state: str,
    at: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add the same event to several orders."""
    if not ids:
        return
    text = json.dumps(dict(detail or {}), sort_keys=True)
    row = {"tenant": tenant, "state": state, "at": at, "detail": text}
    await c.execute(insert(order_events), [{**row, "order_id": one} for one in ids])


async def _count(
    c: AsyncConnection, tenant: str, moving: Sequence[RowMapping], after: str, at: str
) -> None:
    deltas: Counter[tuple[str, int, str]] = Counter()
    for row in moving:
        if row["campaign"] is not None:
            deltas[row["campaign"], row["ring"] or 0, row["state"]] -= 1
            deltas[row["campaign"], row["ring"] or 0, after] += 1
    touched = sorted({campaign for campaign, _, _ in deltas})
    if not touched:
        return
    # Holding the campaign makes the last two orders of it take turns; else each would see the
    # other one still open, and nobody would finish it.
    await c.execute(
        select(campaigns.c.id)
        .where(campaigns.c.tenant == tenant, campaigns.c.id.in_(touched))
        .order_by(campaigns.c.id)
        .with_for_update()
    )
    await add_to_counts(c, tenant, deltas)
    if after in FINAL_STATES:
        for campaign in touched:
            await _finish(c, tenant, campaign, at)


async def add_to_counts(
    c: AsyncConnection, tenant: str, deltas: Mapping[tuple[str, int, str], int]
) -> None:
    """Add to the counts of (campaign, ring, state), always in the same order."""
    rows = [
        {"tenant": tenant, "campaign": campaign, "ring": ring, "state": state, "count": count}
        for (campaign, ring, state), count in sorted(deltas.items())
        if count
    ]
    if not rows:
        return
    make: Any = postgresql.insert if c.dialect.name == "postgresql" else sqlite.insert
    statement = make(campaign_counts)
    await c.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant", "campaign", "ring", "state"],
            set_={"count": campaign_counts.c.count + statement.excluded.count},
        ),
        rows,
    )


async def _finish(c: AsyncConnection, tenant: str, campaign: str, at: str) -> None:
    still_open = await c.scalar(
        select(func.coalesce(func.sum(campaign_counts.c.count), 0)).where(
            campaign_counts.c.tenant == tenant,
            campaign_counts.c.campaign == campaign,
            campaign_counts.c.state.in_(OPEN_STATES),
        )
    )
    if still_open:
        return
    unfinished: ColumnElement[bool] = campaigns.c.state.in_(("running", "paused"))
    await c.execute(
        update(campaigns)
        .where(campaigns.c.tenant == tenant, campaigns.c.id == campaign, unfinished)
        .values(state="finished", ended_at=at)
    )
