"""How a campaign stands: its counts, its rings, and its failures grouped by cause."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.campaigns import RingPlan
from farhand_server.fleet.brakes import counts_of, plan_of, summed
from farhand_server.fleet.campaigns import campaign_row
from farhand_server.fleet.promotion import ring_rows
from farhand_server.store.schema import orders

__all__ = ["MAX_CAUSES", "Cause", "Report", "RingReport", "report"]

MAX_CAUSES: Final = 50
_RING_COLUMNS: Final = ("opened_at", "settled_at", "held", "approved_by", "approved_at")


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One reason, how many orders it has, and the id of one of them."""

    signature: str
    count: int
    example: str


class RingReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one ring stands: `held` says why the next does not begin, where it is more than time."""

    ring: int
    name: str
    targets: int
    counts: dict[str, int]
    opened_at: str | None
    settled_at: str | None
    held: str | None
    approved_by: str | None
    approved_at: str | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign stands."""

    campaign: str
    state: str
    reason: str | None
    counts: dict[str, int]
    rings: list[RingReport]
    causes: list[Cause]


async def report(c: AsyncConnection, tenant: str, campaign: str) -> Report:
    """Return how a campaign stands, with its failures grouped by cause.

    Raises:
        FarhandError: `not-found`.
    """
    row = await campaign_row(c, tenant, campaign)
    rings = await counts_of(c, tenant, row["id"])
    stand = await ring_rows(c, tenant, row["id"])
    number = func.count().label("number")
    causes = (
        select(orders.c.cause, number, func.min(orders.c.id).label("example"))
        .where(
            orders.c.tenant == tenant,
            orders.c.campaign == campaign,
            orders.c.cause.is_not(None),
        )
        .group_by(orders.c.cause)
        .order_by(number.desc(), orders.c.cause)
        .limit(MAX_CAUSES)
    )
    return Report(
        campaign=campaign,
        state=row["state"],
        reason=row["reason"],
        counts=summed(rings),
        rings=[
            _ring_report(number, ring, rings.get(number, {}), stand.get(number))
            for number, ring in enumerate(plan_of(row).rings)
        ],
        causes=[
            Cause(signature=one.cause, count=one.number, example=one.example)
            for one in await c.execute(causes)
        ],
    )


def _ring_report(
    number: int, ring: RingPlan, counts: dict[str, int], row: RowMapping | None
) -> RingReport:
    # A campaign from before there were rings has no row of its only one.
    told = {name: row[name] if row is not None else None for name in _RING_COLUMNS}
    targets = row["targets"] if row is not None else sum(counts.values())
    return RingReport(ring=number, name=ring.name, targets=targets, counts=counts, **told)
