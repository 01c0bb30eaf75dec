"""What devices say about orders: progress, and the signed result that counts once.

    progress    accepted or running, unsigned: shown, never decisive
    result      sealed by the device's key: checked against the stored key and order, stored once
      the same again              acknowledged, no effect (its Ack was lost)
      another one for that order  `result-conflict`, audited; the first stands
      state `eligible`            the device's clock says it is too early: offered again later

What many devices say in the same moment is checked and stored together (`batches`): one reading
transaction for the keys and orders, one writing one for all steps, and only then is anybody
answered.  What does not fit is refused by itself.  The order rows are held while results are
stored, so of two results at once one is the first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import RowMapping, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.messages import MAX_MESSAGE_BYTES, OrderProgress
from farhand_protocol.orders import Order, Result
from farhand_server.audit import Act
from farhand_server.clock import stamp
from farhand_server.fleet.batches import Batches
from farhand_server.fleet.campaign_events import tell_watchers
from farhand_server.fleet.causes import cause_of
from farhand_server.fleet.devices import check_linked
from farhand_server.fleet.order_rows import Step, lock_orders, take_steps
from farhand_server.fleet.order_states import OUTCOMES
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, orders

__all__ = ["Results", "make_results", "order_subject"]

_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
# Signatures are checked on the loop, a few at a time; everybody else's turn comes in between.
_CHECKS_AT_ONCE: Final = 8


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one device said about one order: progress, or else the sealed result in `blob`."""

    device: str
    order: str
    progress: OrderProgress | None = None
    blob: bytes = b""


class _Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A word that was checked: progress with its time, or a result and its refusal."""

    said: _Said
    said_at: str = ""
    result: Result | None = None
    refusal: str | None = None


def order_subject(tenant: str, order: str) -> str:
    """Return the bus subject on which an order's end is told."""
    return f"order.{tenant}.{order}"


def _invalid(words: str) -> FarhandError:
    return FarhandError("result-invalid", words)


def _open_result(blob: bytes, *, tenant: str, key: bytes, row: RowMapping) -> Result:
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
    about_whom = (result.tenant, result.device, result.order)
    if about_whom != (tenant, row["device"], row["id"]):
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


def make_results(relay: Relay) -> Results:
    """Return the relay's intake of results."""
    return Results(relay)


class Results:
    """Takes what devices say about their orders; one per node.

    Args:
        relay: the wiring.

    Attributes:
        on_moved: is told which campaigns have moved; set by whoever gives out their next orders.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.on_moved: Callable[[set[str]], None] = lambda _campaigns: None
        self._batches: Batches[_Said, str] = Batches(
            relay.tasks, self._store, key=lambda said: said.order, name="results"
        )

    async def progress(self, *, device: str, message: OrderProgress) -> None:
        """Note that an order was accepted or is running; what comes late or twice changes nothing.

        Raises:
            FarhandError: `order-unknown`, `time-malformed`.
            RemoteError: `device-unknown`, `device-retired`.
        """
        await self._batches.put(_Said(device=device, order=message.order, progress=message))

    async def result(self, *, device: str, order: str, blob: bytes) -> str:
        """Store a device's signed result, once.

        Args:
            device: id of the device on whose link it came.
            order: id that the message names.
            blob: the sealed `orders.Result`.

        Returns: the order's state afterwards.

        Raises:
            FarhandError: `order-unknown`; `result-invalid` when it is not a result of this order by
                this device; `result-conflict` when there is another one already.  The last two are
                audited.
            RemoteError: `device-unknown`, `device-retired`.
        """
        return await self._batches.put(_Said(device=device, order=order, blob=blob))

    async def _store(self, batch: Sequence[_Said]) -> list[str | Exception]:
        """Check and store what was said, at most one word of each order; see `Batches`."""
        outcomes: dict[str, str | Exception] = {}
        checked = await self._check(batch, outcomes)
        if checked:
            campaigns: set[str] = set()
            async with self._relay.db.write() as c:
                stored = await self._take(c, checked, campaigns)
            for one in checked:
                outcomes[one.said.order] = stored[one.said.order]
            for one in checked:
                state = stored[one.said.order]
                if one.result is not None and isinstance(state, str):
                    subject = order_subject(self._relay.tenant, one.said.order)
                    await self._relay.bus.publish(subject, state.encode())
            if campaigns:
                await tell_watchers(self._relay, campaigns)
                self.on_moved(campaigns)
        await self._audit_refused(batch, outcomes)
        return [outcomes[said.order] for said in batch]

    # Before the writing transaction.

    async def _check(
        self, batch: Sequence[_Said], outcomes: dict[str, str | Exception]
    ) -> list[_Checked]:
        """Return what may be stored; what is done with already goes into `outcomes`."""
        async with self._relay.db.read() as c:
            linked = await self._devices(c, {said.device for said in batch})
            rows = await self._orders(c, {said.order for said in batch})
        checked = []
        for number, said in enumerate(batch, 1):
            try:
                device = check_linked(linked.get(said.device))
                row = rows.get(said.order)
                if row is None or row["device"] != said.device or row["envelope"] is None:
                    raise FarhandError(
                        "order-unknown", "the relay knows no such order for this device"
                    )
                if said.progress is None and row["result"] == said.blob:
                    outcomes[said.order] = str(row["state"])
                else:
                    checked.append(self._checked(said, device["key"], row))
            except FarhandError as error:
                outcomes[said.order] = error
            if number % _CHECKS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return checked

    async def _devices(self, c: AsyncConnection, ids: set[str]) -> dict[str, RowMapping]:
        query = select(devices.c.id, devices.c.key, devices.c.retired_at).where(
            devices.c.tenant == self._relay.tenant, devices.c.id.in_(ids)
        )
        return {row["id"]: row for row in (await c.execute(query)).mappings()}

    async def _orders(self, c: AsyncConnection, ids: set[str]) -> dict[str, RowMapping]:
        query = select(
            orders.c.id, orders.c.device, orders.c.state, orders.c.envelope, orders.c.result
        ).where(
            orders.c.tenant == self._relay.tenant,
            orders.c.id.in_([one for one in ids if "\0" not in one]),
        )
        return {row["id"]: row for row in (await c.execute(query)).mappings()}

    def _checked(self, said: _Said, key: bytes, row: RowMapping) -> _Checked:
        if said.progress is not None:
            return _Checked(said=said, said_at=stamp(parse_instant(said.progress.at[:64])))
        result = _open_result(said.blob, tenant=self._relay.tenant, key=key, row=row)
        refusal = result.refusal if result.refusal and _CODE.match(result.refusal) else None
        if result.state == "refused" and refusal is None:
            refusal = "refused"
        return _Checked(said=said, result=result, refusal=refusal)

    # In it.

    async def _take(
        self, c: AsyncConnection, checked: Sequence[_Checked], campaigns: set[str]
    ) -> dict[str, str | Exception]:
        """Take all steps; returns each order's state afterwards, or its conflict.

        Adds the campaigns that moved to `campaigns`.
        """
        relay = self._relay
        # The audit's lock comes before the orders'.
        await relay.audit.append_all(
            c,
            [
                Act(
                    actor=f"device:{one.said.device}",
                    action="order.refused",
                    subject=one.said.order,
                    detail={"code": one.refusal},
                )
                for one in checked
                if one.result is not None and one.result.state == "refused"
            ],
        )
        locked = await lock_orders(c, relay.tenant, [one.said.order for one in checked])
        rows = {row["id"]: row for row in locked}
        found = {order: str(row["state"]) for order, row in rows.items()}
        steps: list[Step] = []
        signed: list[dict[str, object]] = []
        late: list[_Checked] = []
        for one in checked:
            row = rows.get(one.said.order)
            if row is None or row["has_result"]:
                late.append(one)
            elif one.result is None:
                # After its end a row takes the device's signed word only.
                if row["state"] in ("eligible", "offered", "accepted"):
                    steps.append(_progress_step(one, row))
            elif one.result.state == "eligible":
                if row["state"] == "offered":
                    steps.append(Step(row=row, after="eligible", detail={"refusal": one.refusal}))
            elif row["state"] == one.result.state:
                # The relay had guessed right (expired, cancelled); now it is signed.
                values = {f"new_{name}": value for name, value in _columns(one).items()}
                signed.append({**values, "one": row["id"]})
            else:
                steps.append(_result_step(one, row))
        at = relay.stamp()
        moved = set(await take_steps(c, tenant=relay.tenant, steps=steps, at=at, by_device=True))
        await self._sign(c, signed, at)
        taken: dict[str, str | Exception] = dict(found)
        by_order = {one.said.order: one for one in checked}
        for step in steps:
            order = step.row["id"]
            if order in moved:
                taken[order] = step.after
                if step.row["campaign"] is not None:
                    campaigns.add(step.row["campaign"])
            elif by_order[order].result is not None:
                late.append(by_order[order])
        taken.update(await self._late(c, late))
        return taken

    async def _sign(self, c: AsyncConnection, rows: Sequence[dict[str, object]], at: str) -> None:
        """Add the signed word to rows that are in its state already."""
        if not rows:
            return
        statement = (
            update(orders)
            .where(orders.c.tenant == self._relay.tenant, orders.c.id == bindparam("one"))
            .values(
                updated_at=at,
                **{name: bindparam(f"new_{name}") for name in _RESULT_COLUMNS},
            )
        )
        await c.execute(statement, rows)

    async def _late(
        self, c: AsyncConnection, late: Sequence[_Checked]
    ) -> Mapping[str, str | Exception]:
        """Tell the same word again from another one."""
        if not late:
            return {}
        rows = await self._orders(c, {one.said.order for one in late})
        told: dict[str, str | Exception] = {}
        for one in late:
            row = rows.get(one.said.order)
            if row is not None and one.result is not None and row["result"] != one.said.blob:
                told[one.said.order] = FarhandError(
                    "result-conflict",
                    "this order already has another result",
                    detail=f"stored {row['state']}, said {one.result.state}",
                )
            else:
                told[one.said.order] = str(row["state"]) if row is not None else "gone"
        return told

    # After it.

    async def _audit_refused(
        self, batch: Sequence[_Said], outcomes: Mapping[str, str | Exception]
    ) -> None:
        """Write down what devices sent that cannot be, or cannot be any more."""
        refused = [
            Act(
                actor=f"device:{said.device}",
                action=f"order.{error.code}",
                subject=said.order,
                detail={"why": error.detail or error.message},
            )
            for said in batch
            if isinstance(error := outcomes[said.order], FarhandError)
            and error.code in ("result-invalid", "result-conflict")
        ]
        if refused:
            async with self._relay.db.write() as c:
                await self._relay.audit.append_all(c, refused)


_RESULT_COLUMNS: Final = ("exit_code", "refusal", "cause", "result")


def _columns(one: _Checked) -> dict[str, object]:
    assert one.result is not None
    return {
        "exit_code": one.result.exit_code,
        "refusal": one.refusal,
        "cause": cause_of(one.result),
        "result": one.said.blob,
    }


def _progress_step(one: _Checked, row: RowMapping) -> Step:
    assert one.said.progress is not None
    return Step(row=row, after=one.said.progress.state, detail={"device_at": one.said_at})


def _result_step(one: _Checked, row: RowMapping) -> Step:
    assert one.result is not None
    detail = {"exit_code": one.result.exit_code, "refusal": one.refusal}
    return Step(row=row, after=one.result.state, detail=detail, changes=_columns(one))
