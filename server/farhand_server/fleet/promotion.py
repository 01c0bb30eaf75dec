"""From one ring of a campaign to the next, as far as the relay decides it.

The relay tells devices of a ring only once the ring before it has passed its gate, by the counts it
keeps and the checks that devices report.  For R2 and R3 that is the lesser lock: there the orders
of the next ring do not exist before an operator's console has verified the results by itself.

    gate                          then
    unfinished, soaking           wait; looked at again with each result and each sweep
    success-too-low               paused, `gate-success`
    a check of the gate is bad    held, `gate-check`
    manual, nobody said so        held, `gate-approval`
    open                          the next ring is open
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import RowMapping, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.campaigns import CampaignPlan, RingPlan, judge_gate, tally
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.fleet.brakes import Counts, counts_of, pause, plan_of
from farhand_server.fleet.campaign_events import add_campaign_event
from farhand_server.relay import Relay
from farhand_server.store.schema import campaign_rings, campaigns, check_states, orders

__all__ = ["approve_ring", "promote", "ring_rows"]

_BAD: Final = ("warning", "critical")


async def ring_rows(c: AsyncConnection, tenant: str, campaign: str) -> dict[int, RowMapping]:
    """Return how each ring of a campaign stands, by its number."""
    query = select(campaign_rings).where(
        campaign_rings.c.tenant == tenant, campaign_rings.c.campaign == campaign
    )
    query = query.order_by(campaign_rings.c.ring)
    return {row["ring"]: row for row in (await c.execute(query)).mappings()}


async def _campaign(
    c: AsyncConnection, tenant: str, campaign: str, *, held: bool = False
) -> RowMapping | None:
    query = select(campaigns).where(campaigns.c.tenant == tenant, campaigns.c.id == campaign)
    return (await c.execute(query.with_for_update() if held else query)).mappings().first()


async def promote(c: AsyncConnection, relay: Relay, campaign: str) -> bool:
    """Open the next rings of a running campaign, as far as their gates allow.

    Args:
        c: connection of a write transaction that holds nothing of the campaign yet.
        relay: the wiring.
        campaign: its id.

    Returns:
        Whether anything about it has changed.
    """
    row = await _campaign(c, relay.tenant, campaign)
    if row is None or row["state"] != "running":
        return False
    plan = plan_of(row)
    if row["open_ring"] + 1 >= len(plan.rings):
        return False
    ring, held = await _look(c, relay, row, plan)
    rings = await ring_rows(c, relay.tenant, campaign)
    is_news = ring != row["open_ring"] or held not in (None, rings[ring]["held"])
    # A ring that went badly is no better for a resume.
    if not is_news and held != "gate-success":
        return False
    # The audit's lock comes before the campaign's; under both it is looked at anew.
    await relay.audit.append(
        c,
        actor="relay",
        action="campaign.ring",
        subject=campaign,
        detail={"open": ring, "held": held or ""},
    )
    row = await _campaign(c, relay.tenant, campaign, held=True)
    if row is None or row["state"] != "running":
        return True
    ring, held = await _look(c, relay, row, plan)
    await _open(c, relay, row, ring, held)
    return True


async def _look(
    c: AsyncConnection, relay: Relay, row: RowMapping, plan: CampaignPlan
) -> tuple[int, str | None]:
    """Return the ring that may be open, and what holds the one after it; None where time does."""
    counts = await counts_of(c, relay.tenant, row["id"])
    rings = await ring_rows(c, relay.tenant, row["id"])
    ring = int(row["open_ring"])
    while ring + 1 < len(plan.rings):
        held = await _holds(c, relay, row["id"], plan, ring, counts, rings)
        if held is not None:
            return ring, held or None
        ring += 1
    return ring, None


async def _holds(
    c: AsyncConnection,
    relay: Relay,
    campaign: str,
    plan: CampaignPlan,
    ring: int,
    counts: Counts,
    rings: dict[int, RowMapping],
) -> str | None:
    """Return why the ring after this one does not begin: "" is time; None where it may."""
    settled = rings[ring]["settled_at"]
    verdict = judge_gate(
        plan.rings[ring],
        tally(counts.get(ring, {})),
        settled_at=parse_instant(settled) if settled else None,
        at=relay.now(),
    )
    if verdict.code == "success-too-low":
        return "gate-success"
    if verdict.code != "open":
        return ""
    if await _has_bad_check(c, relay.tenant, campaign, plan.rings[ring], ring):
        return "gate-check"
    manual = plan.rings[ring + 1].approval == "manual"
    if manual and rings[ring + 1]["approved_by"] is None:
        return "gate-approval"
    return None


async def _has_bad_check(
    c: AsyncConnection, tenant: str, campaign: str, plan: RingPlan, ring: int
) -> bool:
    if not plan.gates:
        return False
    query = (
        select(check_states.c.device)
        .join(
            orders,
            and_(
                orders.c.tenant == check_states.c.tenant, orders.c.device == check_states.c.device
            ),
        )
        .where(
            orders.c.tenant == tenant,
            orders.c.campaign == campaign,
            orders.c.ring == ring,
            check_states.c.check_id.in_(plan.gates),
            check_states.c.state.in_(_BAD),
        )
        .limit(1)
    )
    return (await c.execute(query)).first() is not None


async def _open(
    c: AsyncConnection, relay: Relay, row: RowMapping, ring: int, held: str | None
) -> None:
    campaign, at = row["id"], relay.stamp()
    for number in range(row["open_ring"] + 1, ring + 1):
        await _set_ring(c, relay.tenant, campaign, number - 1, held=None)
        await _set_ring(c, relay.tenant, campaign, number, opened_at=at)
        await add_campaign_event(c, relay.tenant, campaign, "ring-opened", at, {"ring": number})
    await c.execute(
        update(campaigns)
        .where(campaigns.c.tenant == relay.tenant, campaigns.c.id == campaign)
        .values(open_ring=ring)
    )
    if held is not None:
        await _set_ring(c, relay.tenant, campaign, ring, held=held)
        await add_campaign_event(
            c, relay.tenant, campaign, "ring-held", at, {"ring": ring, "reason": held}
        )
    if held == "gate-success":
        await pause(c, relay.tenant, campaign, held, at, ring=ring)


async def _set_ring(
    c: AsyncConnection, tenant: str, campaign: str, ring: int, **values: Any
) -> None:
    await c.execute(
        update(campaign_rings)
        .where(
            campaign_rings.c.tenant == tenant,
            campaign_rings.c.campaign == campaign,
            campaign_rings.c.ring == ring,
        )
        .values(**values)
    )


async def approve_ring(
    c: AsyncConnection, relay: Relay, *, campaign: str, ring: int, actor: str
) -> None:
    """Note that somebody said a manual ring may begin, once its gate is open.

    Raises:
        FarhandError: `not-found`, `campaign-state` when it has ended or the ring has begun.
    """
    await relay.audit.append(
        c, actor=actor, action="campaign.approve", subject=campaign, detail={"ring": ring}
    )
    row = await _campaign(c, relay.tenant, campaign.replace("\0", ""), held=True)
    if row is None or not 0 <= ring < len(plan_of(row).rings):
        raise FarhandError("not-found", "there is no such campaign, or no such ring of it")
    if row["state"] in ("finished", "aborted") or ring <= row["open_ring"]:
        raise FarhandError("campaign-state", "the ring has begun, or the campaign has ended")
    at = relay.stamp()
    await _set_ring(c, relay.tenant, campaign, ring, approved_by=actor, approved_at=at)
    await add_campaign_event(
        c, relay.tenant, campaign, "ring-approved", at, {"ring": ring, "by": actor}
    )
