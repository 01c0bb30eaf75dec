"""Signed orders into the rows that a campaign planned.

Many come in one request.  Each is looked at by itself: one that is not what was planned, or whose
device's row has ended meanwhile, gets its own error and holds up no other; the rest are stored in
one transaction.  A request that is sent again does no harm, and nothing is ever replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import Order
from farhand_protocol.terms import Terms
from farhand_server.fleet.brakes import plan_of
from farhand_server.fleet.campaigns import campaign_row, planned_rows
from farhand_server.fleet.order_rows import advance, lock_orders
from farhand_server.fleet.orders import SignedOrder, fill_planned
from farhand_server.relay import Relay

__all__ = ["fill_orders"]


async def fill_orders(
    c: AsyncConnection,
    relay: Relay,
    *,
    campaign: str,
    checked: Sequence[SignedOrder | FarhandError],
    actor: str,
) -> list[tuple[str, str] | FarhandError]:
    """Fill planned rows with signed orders; one that cannot be filled holds up no other.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        campaign: its id.
        checked: from `orders.check_orders`.
        actor: name of the signed-in account.

    Returns: for each, in the order given, its id and state, or the error that it has: what was in
        `checked`; `order-wrong-campaign` when it is not what the campaign planned, `order-exists`
        when the device's row holds another order already, `order-final` when the row ended unsigned
        (its device was retired, say).

    Raises:
        FarhandError: `not-found`, `campaign-state` when it has ended; the first error where every
            order has one, so that nothing was done.
    """
    row = await campaign_row(c, relay.tenant, campaign)
    if row["state"] in ("finished", "aborted"):
        raise FarhandError("campaign-state", f"the campaign is {row['state']}")
    signed = [one for one in checked if isinstance(one, SignedOrder)]
    held = await planned_rows(c, relay.tenant, campaign, sorted({s.order.device for s in signed}))
    planned = _Planned(
        row,
        json.loads(row["parameters"]),
        replace(plan_of(row).terms, target_set=row["target_set"] or ""),
    )
    fills: dict[str, SignedOrder] = {}
    filled: list[tuple[str, str] | FarhandError] = []
    for one in checked:
        try:
            if isinstance(one, FarhandError):
                raise one
            found = _row_for(one, held)
            _check_planned(one.order, planned, found["ring"])
            if found["state"] != "planned":
                filled.append((one.order.id, str(found["state"])))
                continue
            if found["id"] in fills:
                raise FarhandError("order-exists", "two of these orders are for the same device")
            fills[found["id"]] = one
            filled.append((one.order.id, "eligible"))
        except FarhandError as error:
            filled.append(error)
    if all(isinstance(one, FarhandError) for one in filled):
        raise next(one for one in filled if isinstance(one, FarhandError))
    if fills:
        await _fill(c, relay, campaign=campaign, fills=fills, actor=actor)
    return filled


class _Planned(NamedTuple):
    """What a campaign planned: its row, and of it what has to be read first."""

    row: RowMapping
    parameters: Any
    terms: Terms


def _check_planned(order: Order, planned: _Planned, ring: int) -> None:
    row = planned.row
    said = (order.campaign, order.ring, order.script, order.version, order.digest, order.risk)
    wanted = (row["id"], ring, row["script"], row["version"], row["digest"], row["risk"])
    same_terms = (order.terms or Terms(target_set=planned.terms.target_set)) == planned.terms
    same_work = said == wanted and order.parameters == planned.parameters
    if not same_work or not same_terms or order.ticket is not None:
        raise FarhandError("order-wrong-campaign", "an order is not what the campaign planned")


def _row_for(signed: SignedOrder, held: Mapping[str, RowMapping]) -> RowMapping:
    """Return the row of the order's device: planned, or filled with this very order."""
    device = signed.order.device
    found = held.get(device)
    if found is None:
        raise FarhandError("order-wrong-campaign", f"{device[:64]!r} is not in the campaign")
    if found["state"] != "planned" and found["envelope"] is None:
        raise FarhandError("order-final", f"{device} is not waiting any more ({found['state']})")
    if found["state"] != "planned" and found["envelope"] != signed.blob:
        raise FarhandError("order-exists", f"{device} has another order of this campaign")
    return found


async def _fill(
    c: AsyncConnection,
    relay: Relay,
    *,
    campaign: str,
    fills: Mapping[str, SignedOrder],
    actor: str,
) -> None:
    await relay.audit.append(
        c,
        actor=actor,
        action="campaign.sign",
        subject=campaign,
        detail={"orders": len(fills)},
    )
    await fill_planned(c, relay, signed=fills)
    ids = [one.order.id for one in fills.values()]
    moved = await advance(
        c,
        tenant=relay.tenant,
        rows=await lock_orders(c, relay.tenant, ids),
        after="eligible",
        at=relay.stamp(),
        detail={"by": actor},
    )
    if len(moved) != len(ids):
        raise FarhandError("conflict", "somebody else changed these orders just now")
