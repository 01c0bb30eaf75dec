"""Order rows and the one way they move: `advance`.

Each step follows the table in `order_states`, adds an event, and keeps the campaign's counts, all
in the caller's transaction; a campaign whose every row is final is finished by the step that made
it so, and one that passes a limit is paused by the step that did (`brakes`).  Steps are taken for
many orders at once in a few statements.

Locks are always taken in this order, so that on PostgreSQL no two transactions wait for each other:
audit, order rows by id, campaign rows by id, counts by ring and state.  Events come after the
campaign's row is held, so that their numbers grow as they become visible.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.orders import OrderState
from farhand_server.fleet.brakes import note_ends
from farhand_server.fleet.campaign_events import add_campaign_event
from farhand_server.fleet.order_states import FINAL_STATES, OPEN_STATES, may_follow
from farhand_server.fleet.packages import in_chunks
from farhand_server.store.schema import campaign_counts, campaigns, order_events, orders

__all__ = [
    "Step",
    "add_events",
    "add_to_counts",
    "advance",
    "lock_orders",
    "order_row",
    "take_steps",
]

_LOCKED: Final = (
    orders.c.id,
    orders.c.device,
    orders.c.campaign,
    orders.c.ring,
    orders.c.state,
    orders.c.result.is_not(None).label("has_result"),
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One order's step: its locked row, the wanted state, the event's detail, further columns."""

    row: RowMapping
    after: OrderState
    detail: Mapping[str, Any] = {}
    changes: Mapping[str, Any] = {}


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
    steps = [Step(row=row, after=after, detail=detail or {}, changes=changes or {}) for row in rows]
    return await take_steps(c, tenant=tenant, steps=steps, at=at, by_device=by_device)


async def take_steps(
    c: AsyncConnection,
    *,
    tenant: str,
    steps: Iterable[Step],
    at: str,
    by_device: bool = False,
) -> list[str]:
    """Take those steps, of many orders each its own, that the table allows.

    Args:
        c: connection of a write transaction.
        tenant: organisation.
        steps: at most one of each order; the rows are from `lock_orders` in this transaction.
        at: the time as the tables keep it.
        by_device: the devices said so, not the relay.

    Returns: ids of the orders that took their step; the others stay as they were.
    """
    moving = [
        step
        for step in steps
        if may_follow(
            step.row["state"],
            step.after,
            by_device=by_device,
            has_result=step.row["has_result"],
        )
    ]
    if not moving:
        return []
    await _set(c, tenant, moving, at)
    held = await _count(c, tenant, moving)
    events = [(step.row["id"], step.row["campaign"], step.after, step.detail) for step in moving]
    await _add_events(c, tenant, events, at)
    await _judge(c, tenant, moving, held, at)
    return [step.row["id"] for step in moving]


async def _set(c: AsyncConnection, tenant: str, steps: Sequence[Step], at: str) -> None:
    """Write the new states: one statement for all steps that set the same columns."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for step in steps:
        values = {f"new_{name}": value for name, value in step.changes.items()}
        values |= {"new_state": step.after, "one": step.row["id"]}
        by_columns.setdefault(tuple(sorted(step.changes)), []).append(values)
    for columns, rows in by_columns.items():
        new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("state", *columns)}
        statement = (
            update(orders)
            .where(orders.c.tenant == tenant, orders.c.id == bindparam("one"))
            .values(updated_at=at, **new)
        )
        await c.execute(statement, rows)


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
    await _add_events(c, tenant, [(one, None, state, detail or {}) for one in ids], at)


async def _add_events(
    c: AsyncConnection,
    tenant: str,
    events: Sequence[tuple[str, str | None, str, Mapping[str, Any]]],
    at: str,
) -> None:
    if not events:
        return
    rows = [
        {
            "tenant": tenant,
            "order_id": order,
            "campaign": campaign,
            "state": state,
            "at": at,
            "detail": json.dumps(dict(detail), sort_keys=True),
        }
        for order, campaign, state, detail in events
    ]
    await c.execute(insert(order_events), rows)


async def _count(c: AsyncConnection, tenant: str, steps: Sequence[Step]) -> dict[str, RowMapping]:
    """Keep the counts; returns the campaigns that were touched, held until the end."""
    deltas: Counter[tuple[str, int, str]] = Counter()
    for step in steps:
        campaign, ring = step.row["campaign"], step.row["ring"] or 0
        if campaign is not None:
            deltas[campaign, ring, step.row["state"]] -= 1
            deltas[campaign, ring, step.after] += 1
    touched = sorted({campaign for campaign, _, _ in deltas})
    if not touched:
        return {}
    # Holding the campaign makes the last two orders of it take turns; else each would see the
    # other one still open, and nobody would finish it.
    query = (
        select(campaigns.c.id, campaigns.c.state, campaigns.c.plan, campaigns.c.forgiven)
        .where(campaigns.c.tenant == tenant, campaigns.c.id.in_(touched))
        .order_by(campaigns.c.id)
        .with_for_update()
    )
    held = {row["id"]: row for row in (await c.execute(query)).mappings()}
    await add_to_counts(c, tenant, deltas)
    return held


async def _judge(
    c: AsyncConnection,
    tenant: str,
    steps: Sequence[Step],
    held: Mapping[str, RowMapping],
    at: str,
) -> None:
    """Do for each campaign what follows from orders of it that have ended."""
    ended: dict[str, set[int]] = {}
    for step in steps:
        if step.row["campaign"] in held and step.after in FINAL_STATES:
            ended.setdefault(step.row["campaign"], set()).add(step.row["ring"] or 0)
    for campaign in sorted(ended):
        await note_ends(c, tenant, held[campaign], sorted(ended[campaign]), at)
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
    done = await c.execute(
        update(campaigns)
        .where(campaigns.c.tenant == tenant, campaigns.c.id == campaign, unfinished)
        .values(state="finished", ended_at=at)
    )
    if done.rowcount:
        await add_campaign_event(c, tenant, campaign, "finished", at)
