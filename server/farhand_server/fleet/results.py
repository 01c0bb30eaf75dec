"""What devices say about orders: progress, and the signed result that counts once.

    progress    accepted or running, unsigned: shown, never decisive
    result      sealed by the device's key: checked against the stored key and order, stored once
      the same again              acknowledged, no effect (its Ack was lost)
      another one for that order  `result-conflict`, audited; the first stands
      state `eligible`            the device's clock says it is too early: offered again later

The order row is held while a result is stored, so of two results at once one is the first.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import RowMapping, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.messages import MAX_MESSAGE_BYTES, OrderProgress
from farhand_protocol.orders import Order, Result
from farhand_server.clock import stamp
from farhand_server.fleet.causes import cause_of
from farhand_server.fleet.order_rows import advance, lock_orders, order_row
from farhand_server.fleet.order_states import OUTCOMES
from farhand_server.relay import Relay
from farhand_server.store.schema import orders

__all__ = ["order_subject", "record_progress", "record_result"]

_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


def order_subject(tenant: str, order: str) -> str:
    """Return the bus subject on which an order's end is told."""
    return f"order.{tenant}.{order}"


def _invalid(words: str) -> FarhandError:
    return FarhandError("result-invalid", words)


async def _own_order(c: AsyncConnection, tenant: str, device: str, order: str) -> RowMapping:
    row = await order_row(c, tenant, order) if "\0" not in order else None
    if row is None or row["device"] != device or row["envelope"] is None:
        raise FarhandError("order-unknown", "the relay knows no such order for this device")
    return row


async def record_progress(relay: Relay, *, device: str, message: OrderProgress) -> None:
    """Note that an order was accepted or is running; what comes late or twice changes nothing.

    Raises:
        FarhandError: `order-unknown`, `time-malformed`.
    """
    said_at = stamp(parse_instant(message.at[:64]))
    async with relay.db.write() as c:
        await _own_order(c, relay.tenant, device, message.order)
        rows = await lock_orders(c, relay.tenant, [message.order])
        # After its end a row takes the device's signed word only.
        if rows and rows[0]["state"] in ("eligible", "offered", "accepted"):
            await advance(
                c,
                tenant=relay.tenant,
                rows=rows,
                after=message.state,
                at=relay.stamp(),
                by_device=True,
                detail={"device_at": said_at},
            )


def _open_result(blob: bytes, *, relay: Relay, key: bytes, row: RowMapping) -> Result:
    if len(blob) > MAX_MESSAGE_BYTES:
        raise _invalid("the result is too large")
    try:
        sealed = decode_envelope(blob)
        result = open_payload(sealed, Result)
        ordered = open_payload(decode_envelope(row["envelope"]), Order)
        for at in (result.ended_at, result.started_at):
            if at is not None:
                parse_instant(at)
    except FarhandError as error:
        raise _invalid("the result cannot be read") from error
    if not signers(sealed, [key]):
        raise _invalid("the result is not signed by the device")
    said = (result.tenant, result.device, result.order)
    if said != (relay.tenant, row["device"], row["id"]):
        raise _invalid("the result is for another order")
    about = (result.script, result.version, result.digest)
    # A device that could not read the order names nothing; one that could, names what it ran.
    if result.state != "refused" and about != (ordered.script, ordered.version, ordered.digest):
        raise _invalid("the result speaks of another script than the order")
    if result.state not in OUTCOMES and result.state != "eligible":
        raise _invalid("a device cannot end an order that way")
    if result.exit_code is not None and not -(2**31) <= result.exit_code < 2**31:
        raise _invalid("the exit status is out of range")
    return result


async def record_result(relay: Relay, *, device: str, key: bytes, order: str, blob: bytes) -> str:
    """Store a device's signed result, once.

    Args:
        relay: the wiring.
        device: id of the device on whose link it came.
        key: that device's stored key.
        order: id that the message names.
        blob: the sealed `orders.Result`.

    Returns: the order's state afterwards.

    Raises:
        FarhandError: `order-unknown`; `result-invalid` when it is not a result of this order by
            this device; `result-conflict` when there is another one already.  Both are audited.
    """
    actor = f"device:{device}"
    async with relay.db.read() as c:
        row = await _own_order(c, relay.tenant, device, order)
    if row["result"] == blob:
        return str(row["state"])
    try:
        result = _open_result(blob, relay=relay, key=key, row=row)
    except FarhandError as error:
        async with relay.db.write() as c:
            await relay.audit.append(
                c,
                actor=actor,
                action="order.result-invalid",
                subject=order,
                detail={"why": error.message},
            )
        raise
    refusal = result.refusal if result.refusal and _CODE.match(result.refusal) else None
    if result.state == "refused" and refusal is None:
        refusal = "refused"
    conflict = False
    async with relay.db.write() as c:
        if result.state == "refused":
            # The audit's lock comes before the order's.
            await relay.audit.append(
                c, actor=actor, action="order.refused", subject=order, detail={"code": refusal}
            )
        state = await _store(c, relay, order, result, blob, refusal)
        if state is None:
            current = await order_row(c, relay.tenant, order)
            conflict = current is not None and current["result"] != blob
            state = current["state"] if current is not None else "gone"
    if conflict:
        async with relay.db.write() as c:
            await relay.audit.append(
                c,
                actor=actor,
                action="order.result-conflict",
                subject=order,
                detail={"stored": state, "said": result.state},
            )
        raise FarhandError("result-conflict", "this order already has another result")
    await relay.bus.publish(order_subject(relay.tenant, order), state.encode())
    return state


async def _store(
    c: AsyncConnection,
    relay: Relay,
    order: str,
    result: Result,
    blob: bytes,
    refusal: str | None,
) -> str | None:
    """Take the step; None when there is a result already."""
    rows = await lock_orders(c, relay.tenant, [order])
    if not rows or rows[0]["has_result"]:
        return None
    if result.state == "eligible":
        if rows[0]["state"] == "offered":
            await advance(
                c,
                tenant=relay.tenant,
                rows=rows,
                after="eligible",
                at=relay.stamp(),
                by_device=True,
                detail={"refusal": refusal},
            )
        return str(rows[0]["state"])
    changes = {
        "exit_code": result.exit_code,
        "refusal": refusal,
        "cause": cause_of(result),
        "result": blob,
    }
    if rows[0]["state"] == result.state:
        # The relay had guessed right (expired, cancelled); now it is signed.
        await c.execute(
            update(orders)
            .where(orders.c.tenant == relay.tenant, orders.c.id == order)
            .values(**changes, updated_at=relay.stamp())
        )
        return result.state
    detail = {"exit_code": result.exit_code, "refusal": refusal}
    moved = await advance(
        c,
        tenant=relay.tenant,
        rows=rows,
        after=result.state,
        at=relay.stamp(),
        by_device=True,
        detail=detail,
        changes=changes,
    )
    return result.state if moved else None
