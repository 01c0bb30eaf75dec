"""Orders at the relay: taken in after the first lock, listed, cancelled.

The relay can make no order and change none; it keeps the sealed bytes and decides when, within what
was signed, the device hears of them (`fleet.dispatch`).  The checks here only turn away early what
the device would refuse anyway, and what the signed-in account has no business to send.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.instants import parse_instant
from farhand_protocol.orders import MAX_ORDER_LIFETIME_S, ORDER_STATES, Order
from farhand_protocol.trust import Roster
from farhand_server.clock import stamp
from farhand_server.desk.references import parse_reference
from farhand_server.desk.tickets import find_ticket
from farhand_server.errors import not_found
from farhand_server.fleet.aliases import same_device
from farhand_server.fleet.devices import agentless
from farhand_server.fleet.exempt_orders import check_exempt, tell_exempt
from farhand_server.fleet.order_rows import add_events, advance, lock_orders, order_row
from farhand_server.fleet.order_states import FINAL_STATES
from farhand_server.fleet.packages import in_chunks
from farhand_server.fleet.query_sql import AGENT
from farhand_server.fleet.roster import current_roster
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, order_events, orders

__all__ = [
    "MAX_BATCH",
    "OrderEvent",
    "OrderLine",
    "OrderResult",
    "OrderView",
    "SignedOrder",
    "cancel_order",
    "check_orders",
    "create_orders",
    "list_orders",
    "open_order",
    "open_orders_of_device",
    "order_view",
    "with_results",
]

MAX_BATCH: Final = 500
MAX_ORDER_BYTES: Final = 64 * 1024
# A page of a list with results holds so much of them; base64 adds a third.
MAX_RESULTS_BYTES: Final = 4 * 1024 * 1024
# A console's clock may run ahead of the relay's by this much.
CLOCK_TOLERANCE_S: Final = 300
# Signatures are checked on the loop, a few at a time; everybody else's turn comes in between.
_CHECKS_AT_ONCE: Final = 16
_ID: Final = re.compile(r"o-[a-z2-7]{16,26}\Z")


class SignedOrder(msgspec.Struct, frozen=True):
    """An order that was read: its statement, its times, and the exact bytes."""

    order: Order
    sealed: Envelope
    blob: bytes
    not_before: datetime
    expires: datetime


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """An order in a list."""

    order: str
    device: str
    campaign: str | None
    ticket: int | None
    script: str
    version: int
    operator: str
    state: str
    exit_code: int | None
    refusal: str | None
    cause: str | None
    not_before: str | None
    expires_at: str | None
    created_at: str
    updated_at: str


class OrderResult(OrderLine, frozen=True, kw_only=True):
    """An order in a list with its signed `envelope`, and `result` as the device signed it."""

    envelope: bytes | None
    result: bytes | None


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an order."""

    state: str
    at: str
    detail: dict[str, Any]


class OrderView(OrderLine, frozen=True, kw_only=True):
    """An order with its steps; `result` is the envelope that the device signed."""

    envelope: bytes | None
    result: bytes | None
    cancel_requested_at: str | None
    events: list[OrderEvent]


def open_order(blob: bytes) -> SignedOrder:
    """Read a sealed order; bounded, so safe on anything.

    Raises:
        FarhandError: `order-malformed`.
    """
    if len(blob) > MAX_ORDER_BYTES:
        raise FarhandError("order-malformed", "the order is too large")
    try:
        sealed = decode_envelope(blob)
        order = open_payload(sealed, Order)
        not_before, expires = parse_instant(order.not_before), parse_instant(order.expires)
    except (FarhandError, OverflowError) as error:
        raise FarhandError("order-malformed", "the order cannot be read") from error
    if not _ID.match(order.id):
        raise FarhandError("order-malformed", "the order's id is not one")
    return SignedOrder(order, sealed, blob, not_before, expires)


def check_order(signed: SignedOrder, *, relay: Relay, actor: str, roster: Roster | None) -> None:
    """Check what needs no row: tenant, signer, times.

    Raises:
        FarhandError: `order-wrong-tenant`, `order-lifetime`, `order-expired`,
            `order-operator-unknown`, `order-signature`, `order-not-permitted`; of `check_exempt`.
    """
    order = signed.order
    if order.tenant != relay.tenant:
        raise FarhandError("order-wrong-tenant", "the order is of another organisation")
    exemption = order.exemption
    if order.operator != actor and (exemption is None or exemption.kind != "break-glass"):
        raise RefusedError("order-not-permitted", "the order names another operator than you")
    if not signed.sealed.signatures:
        raise FarhandError("order-signature", "the order is not signed")
    lifetime = signed.expires - signed.not_before
    longest = timedelta(seconds=MAX_ORDER_LIFETIME_S)
    tolerance = timedelta(seconds=CLOCK_TOLERANCE_S)
    if not timedelta(0) < lifetime <= longest or (
        signed.expires > relay.now() + longest + tolerance
    ):
        raise FarhandError("order-lifetime", "an order lives for at most 7 days")
    if signed.expires <= relay.now():
        raise FarhandError("order-expired", "the order has expired")
    if roster is None:
        return
    operator = roster.find(order.operator)
    if operator is None:
        raise RefusedError("order-operator-unknown", "the roster has no such operator")
    if not signers(signed.sealed, operator.keys):
        raise FarhandError("order-signature", "no key of that operator signed the order")
    if exemption is not None:
        check_exempt(signed, exemption, roster, actor=actor)
    elif "order" not in operator.permissions:
        raise RefusedError("order-not-permitted", "the roster does not let you order")


async def check_orders(
    relay: Relay, blobs: Sequence[bytes], *, actor: str
) -> list[SignedOrder | FarhandError]:
    """Read and check each order of a request by itself, before any row is held for it.

    Args:
        relay: the wiring.
        blobs: at most `MAX_BATCH` sealed orders.
        actor: name of the signed-in account.

    Returns: each order, or the error that it has: as `open_order` and `check_order`, and
        `order-exists` for an id that came earlier in the same request.

    Raises:
        UsageError: `invalid` for too many or none.
    """
    if not 1 <= len(blobs) <= MAX_BATCH:
        raise UsageError("invalid", f"send 1 to {MAX_BATCH} orders at once")
    async with relay.db.read() as c:
        roster = await current_roster(c, relay)
    checked: list[SignedOrder | FarhandError] = []
    ids: set[str] = set()
    for number, blob in enumerate(blobs, 1):
        try:
            signed = open_order(blob)
            if signed.order.id in ids:
                raise FarhandError("order-exists", "two of these orders have the same id")
            ids.add(signed.order.id)
            check_order(signed, relay=relay, actor=actor, roster=roster)
            checked.append(signed)
        except FarhandError as error:
            checked.append(error)
        if number % _CHECKS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return checked


async def create_orders(
    c: AsyncConnection,
    relay: Relay,
    *,
    checked: Sequence[SignedOrder | FarhandError],
    actor: str,
) -> list[tuple[str, str]]:
    """Store single orders; all of them or none.

    An order that is there already with the same bytes keeps its state, so a request that is sent
    again does no harm.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        checked: from `check_orders`.
        actor: name of the signed-in account.

    Returns: id and state of each.

    Raises:
        FarhandError: the first error among `checked`; `order-exists`, `device-unknown`,
            `device-retired`, `order-wrong-campaign`, `not-found` for its ticket.
    """
    signed = []
    for each in checked:
        if isinstance(each, FarhandError):
            raise each
        signed.append(each)
    for one in signed:
        if one.order.campaign is not None:
            raise FarhandError(
                "order-wrong-campaign", "an order of a campaign goes to that campaign"
            )
    known = await _known(c, relay.tenant, [one.order.id for one in signed])
    await check_devices(c, relay, [one.order.device for one in signed])
    tickets = await _tickets(c, relay.tenant, {one.order.ticket for one in signed})
    new = [one for one in signed if not _is_same(known.get(one.order.id), one)]
    if new:
        await relay.audit.append(
            c,
            actor=actor,
            action="order.create",
            subject=new[0].order.id,
            detail={"orders": [[one.order.id, one.order.device, one.order.script] for one in new]},
        )
        at = relay.stamp()
        rows = [
            {
                "tenant": relay.tenant,
                "id": one.order.id,
                "device": one.order.device,
                "ticket": tickets.get(one.order.ticket or ""),
                "script": one.order.script,
                "version": one.order.version,
                "operator": one.order.operator,
                "state": "eligible",
                "envelope": one.blob,
                "not_before": stamp(one.not_before),
                "expires_at": stamp(one.expires),
                "created_at": at,
                "updated_at": at,
            }
            for one in new
        ]
        await c.execute(insert(orders), rows)
        ids = [one.order.id for one in new]
        await add_events(
            c, tenant=relay.tenant, ids=ids, state="eligible", at=at, detail={"by": actor}
        )
        for one in new:
            await tell_exempt(c, relay, one, actor=actor)
    return [
        (one.order.id, known[one.order.id]["state"] if one.order.id in known else "eligible")
        for one in signed
    ]


def _is_same(row: RowMapping | None, signed: SignedOrder) -> bool:
    if row is None:
        return False
    if row["envelope"] != signed.blob:
        raise FarhandError("order-exists", "there is another order with this id")
    return True


async def _known(c: AsyncConnection, tenant: str, ids: Sequence[str]) -> dict[str, RowMapping]:
    query = select(orders.c.id, orders.c.state, orders.c.envelope).where(
        orders.c.tenant == tenant, orders.c.id.in_(ids)
    )
    return {row["id"]: row for row in (await c.execute(query)).mappings()}


async def check_devices(c: AsyncConnection, relay: Relay, ids: Sequence[str]) -> None:
    """Check that all these devices are enrolled, have an agent, and none is retired.

    Raises:
        FarhandError: `device-unknown`, `device-agentless`, `device-retired`, naming the first.
    """
    query = select(devices.c.id, devices.c.retired_at, devices.c.kind).where(
        devices.c.tenant == relay.tenant,
        devices.c.id.in_([one for one in set(ids) if "\0" not in one]),
    )
    found = {row.id: row for row in await c.execute(query)}
    for device in ids:
        if device not in found:
            raise FarhandError("device-unknown", f"there is no device {device[:64]!r}")
        if found[device].kind != AGENT:
            raise agentless(device)
        if found[device].retired_at is not None:
            raise FarhandError("device-retired", f"{device} is retired")


async def _tickets(c: AsyncConnection, tenant: str, refs: set[str | None]) -> dict[str, int]:
    """Return the tickets that live here; a key of someone else's desk stays in the order alone."""
    found = {}
    for ref in sorted(one for one in refs if one):
        ticket = await find_ticket(c, tenant, ref)
        if ticket is not None:
            found[ref] = ticket.row
        elif parse_reference(ref) is not None:
            raise not_found("ticket", ref)
    return found


def _line(row: RowMapping) -> dict[str, Any]:
    values = {n: row[n] for n in OrderLine.__struct_fields__ if n != "order"}
    return {"order": row["id"], **values}


async def order_view(c: AsyncConnection, tenant: str, order: str) -> OrderView:
    """Return one order with its steps.

    Raises:
        FarhandError: `not-found`.
    """
    row = await order_row(c, tenant, order) if "\0" not in order else None
    if row is None:
        raise not_found("order", order)
    events = (
        select(order_events.c.state, order_events.c.at, order_events.c.detail)
        .where(order_events.c.tenant == tenant, order_events.c.order_id == order)
        .order_by(order_events.c.seq)
        .limit(100)
    )
    return OrderView(
        **_line(row),
        envelope=row["envelope"],
        result=row["result"],
        cancel_requested_at=row["cancel_requested_at"],
        events=[
            OrderEvent(state=one.state, at=one.at, detail=json.loads(one.detail))
            for one in await c.execute(events)
        ],
    )


async def list_orders(
    c: AsyncConnection,
    tenant: str,
    *,
    device: str | None = None,
    campaign: str | None = None,
    state: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[OrderLine]:
    """Return orders, newest first; `after` is created_at and id of the last one already seen.

    Raises:
        UsageError: `invalid` for a state that does not exist.
    """
    where: list[ColumnElement[bool]] = [orders.c.tenant == tenant]
    if device is not None:
        where.append(same_device(orders.c.device, tenant, device))
    if campaign is not None:
        where.append(orders.c.campaign == campaign)
    if state is not None:
        if state not in ORDER_STATES:
            raise UsageError("invalid", f"an order is one of {', '.join(ORDER_STATES)}")
        where.append(orders.c.state == state)
    if after is not None:
        made, last = after
        where.append(
            (orders.c.created_at < made) | ((orders.c.created_at == made) & (orders.c.id < last))
        )
    query = (
        select(*[orders.c[n] for n in ("id", *OrderLine.__struct_fields__) if n != "order"])
        .where(*where)
        .order_by(orders.c.created_at.desc(), orders.c.id.desc())
        .limit(limit)
    )
    return [OrderLine(**_line(row)) for row in (await c.execute(query)).mappings()]


async def with_results(
    c: AsyncConnection, tenant: str, lines: Sequence[OrderLine]
) -> list[OrderResult]:
    """Return these orders with their results: as many, from the first on, as one answer may hold.

    Args:
        c: connection.
        tenant: organisation.
        lines: from `list_orders`.

    Returns: at least the first; together at most `MAX_RESULTS_BYTES` of what is signed, or one.
    """
    ids = [line.order for line in lines]
    sizes: dict[str, int] = {}
    signed: dict[str, tuple[bytes | None, bytes | None]] = {}
    of_tenant = orders.c.tenant == tenant
    length = func.coalesce(func.length(orders.c.result), 0) + func.coalesce(
        func.length(orders.c.envelope), 0
    )
    for chunk in in_chunks(ids):
        query = select(orders.c.id, length).where(of_tenant, orders.c.id.in_(chunk))
        sizes.update((row[0], row[1]) for row in await c.execute(query))
    total, fitting = 0, 0
    for order in ids:
        total += sizes.get(order, 0)
        if fitting and total > MAX_RESULTS_BYTES:
            break
        fitting += 1
    for chunk in in_chunks([order for order in ids[:fitting] if sizes.get(order)]):
        query = select(orders.c.id, orders.c.envelope, orders.c.result).where(
            of_tenant, orders.c.id.in_(chunk)
        )
        signed.update((row[0], (row[1], row[2])) for row in await c.execute(query))
    nothing = (None, None)
    return [
        OrderResult(
            **msgspec.structs.asdict(line),
            envelope=signed.get(line.order, nothing)[0],
            result=signed.get(line.order, nothing)[1],
        )
        for line in lines[:fitting]
    ]


async def cancel_order(c: AsyncConnection, relay: Relay, *, order: str, actor: str) -> bool:
    """Cancel an order: at once while no device heard of it, else by asking the device.

    Returns: True when the device has to be told (CancelOrder); its signed word decides then.

    Raises:
        FarhandError: `not-found`, `order-final`.
    """
    row = await order_row(c, relay.tenant, order) if "\0" not in order else None
    if row is None:
        raise not_found("order", order)
    if row["state"] in FINAL_STATES:
        raise FarhandError("order-final", f"the order has ended already ({row['state']})")
    await relay.audit.append(c, actor=actor, action="order.cancel", subject=order)
    return bool(await request_cancel(c, relay, ids=[order], actor=actor))


async def request_cancel(
    c: AsyncConnection, relay: Relay, *, ids: Sequence[str], actor: str
) -> list[str]:
    """Cancel what no device heard of, and mark the rest; returns ids whose devices must be told."""
    rows = await lock_orders(c, relay.tenant, ids)
    at = relay.stamp()
    unheard = [row for row in rows if row["state"] in ("planned", "eligible")]
    await advance(
        c, tenant=relay.tenant, rows=unheard, after="cancelled", at=at, detail={"by": actor}
    )
    told = [row for row in rows if row["state"] in ("offered", "accepted", "running")]
    if told:
        await c.execute(
            update(orders)
            .where(orders.c.tenant == relay.tenant, orders.c.id == bindparam("one"))
            .values(cancel_requested_at=at),
            [{"one": row["id"]} for row in told],
        )
    return [row["id"] for row in told if row["state"] != "running"]


async def open_orders_of_device(c: AsyncConnection, tenant: str, device: str) -> list[str]:
    """Return ids of all orders of a device that have not ended."""
    query = select(orders.c.id).where(
        orders.c.tenant == tenant,
        orders.c.device == device,
        orders.c.state.not_in(FINAL_STATES),
    )
    return list(await c.scalars(query))


async def fill_planned(
    c: AsyncConnection, relay: Relay, *, signed: Mapping[str, SignedOrder]
) -> None:
    """Put signed orders into planned rows.

    Args:
        c: connection of a write transaction that holds these rows.
        relay: the wiring.
        signed: by the id of the planned row, which becomes the order's own id.
    """
    statement = (
        update(orders)
        .where(
            orders.c.tenant == relay.tenant,
            orders.c.id == bindparam("planned"),
            orders.c.state == "planned",
        )
        .values(
            id=bindparam("new_id"),
            envelope=bindparam("new_envelope"),
            operator=bindparam("new_operator"),
            not_before=bindparam("new_not_before"),
            expires_at=bindparam("new_expires"),
        )
    )
    for chunk in in_chunks(sorted(signed.items())):
        await c.execute(
            statement,
            [
                {
                    "planned": planned,
                    "new_id": one.order.id,
                    "new_envelope": one.blob,
                    "new_operator": one.order.operator,
                    "new_not_before": stamp(one.not_before),
                    "new_expires": stamp(one.expires),
                }
                for planned, one in chunk
            ],
        )
