"""What the end of an order means for its campaign: a ring has settled, a limit is passed.

Called inside the transaction that took the step, with the campaign's row held and its counts kept:
so the breaker trips with the very result that passed a limit, and the order after it is not told to
anybody.  What a limit is, and how a resumed campaign counts anew, stands in
`farhand_protocol.campaigns`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.campaigns import CampaignPlan, tally, tripped
from farhand_server.fleet.campaign_events import add_campaign_event
from farhand_server.store.schema import campaign_counts, campaign_rings, campaigns

__all__ = ["Counts", "counts_of", "note_ends", "pause", "plan_of", "summed"]

# By ring, then by state.
Counts = dict[int, dict[str, int]]


def plan_of(row: RowMapping) -> CampaignPlan:
    """Return the plan of a campaign's row."""
    return msgspec.json.decode(row["plan"], type=CampaignPlan)


def summed(counts: Counts) -> dict[str, int]:
    """Add the rings up."""
    total: dict[str, int] = {}
    for states in counts.values():
        for state, count in states.items():
            total[state] = total.get(state, 0) + count
    return total


async def counts_of(c: AsyncConnection, tenant: str, campaign: str) -> Counts:
    """Return the kept counts of a campaign."""
    query = select(campaign_counts).where(
        campaign_counts.c.tenant == tenant,
        campaign_counts.c.campaign == campaign,
        campaign_counts.c.count > 0,
    )
    counts: Counts = {}
    for row in (await c.execute(query.order_by(campaign_counts.c.state))).mappings():
        counts.setdefault(row["ring"], {})[row["state"]] = row["count"]
    return counts


async def note_ends(
    c: AsyncConnection, tenant: str, row: RowMapping, rings: Iterable[int], at: str
) -> None:
    """Settle those of the rings that have, and pause the campaign where a limit is passed.

    Args:
        c: connection of the write transaction that took the steps.
        tenant: organisation.
        row: the campaign's, held: `id`, `state`, `plan` and `forgiven`.
        rings: in which an order ended.
        at: the time as the tables keep it.
    """
    plan = plan_of(row)
    counts = await counts_of(c, tenant, row["id"])
    forgiven: Counts = {int(n): s for n, s in json.loads(row["forgiven"] or "{}").items()}
    rings = [ring for ring in rings if ring < len(plan.rings)]
    for ring in rings:
        now = tally(counts.get(ring, {}))
        wanted = plan.rings[ring].finished_percent * (now.targets - now.cancelled)
        if now.finished * 100 >= wanted:
            await _settle(c, tenant, row["id"], ring, at)
    if row["state"] != "running":
        return
    for ring in rings:
        passed = tripped(
            plan.rings[ring].limits,
            tally(counts.get(ring, {})),
            tally(forgiven.get(ring, {})),
        )
        if passed is not None:
            await pause(c, tenant, row["id"], passed, at, ring=ring)
            return
    passed = tripped(plan.limits, tally(summed(counts)), tally(summed(forgiven)))
    if passed is not None:
        await pause(c, tenant, row["id"], passed, at)


async def _settle(c: AsyncConnection, tenant: str, campaign: str, ring: int, at: str) -> None:
    done = await c.execute(
        update(campaign_rings)
        .where(
            campaign_rings.c.tenant == tenant,
            campaign_rings.c.campaign == campaign,
            campaign_rings.c.ring == ring,
            campaign_rings.c.settled_at.is_(None),
        )
        .values(settled_at=at)
    )
    if done.rowcount:
        await add_campaign_event(c, tenant, campaign, "ring-settled", at, {"ring": ring})


async def pause(
    c: AsyncConnection, tenant: str, campaign: str, reason: str, at: str, *, ring: int | None = None
) -> None:
    """Have a running campaign stand still, and say why; its row is held by the caller."""
    await c.execute(
        update(campaigns)
        .where(campaigns.c.tenant == tenant, campaigns.c.id == campaign)
        .values(state="paused", reason=reason)
    )
    detail = {"reason": reason} | ({} if ring is None else {"ring": ring})
    await add_campaign_event(c, tenant, campaign, "paused", at, detail)
