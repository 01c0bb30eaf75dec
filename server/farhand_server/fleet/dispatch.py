"""When devices hear of their orders, and when orders end unheard.

Rows first, wake-ups second: an order is a row before anybody is told, and telling it again is
harmless, since a device starts each id once.  So nothing is lost when a node, the bus or a link
dies; what was not heard is told

- at once, when the order comes in (`kick`), through the bus to whichever node holds the device;
- when the device comes online (`offer_on_present`), also what was offered before without an answer;
- at each `not_before`, through the bus, and every `SWEEP_S` to the devices of this node (`sweep`),
  also what they have left without an answer for that long: they may have died over it.

Orders of a campaign are told only while it runs, those of a ring once it is open; where only so
many devices may work at once, as slots come free (`slots`).  The sweep also ends what nobody heard
before it expired, about a second late: `expired`, or `cancelled` where that had been asked for.
The state `offered` is written after the link took the order, so it never says more than is true.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.messages import CancelOrder, OfferOrder, RelayMessage, encode_message
from farhand_server.clock import stamp
from farhand_server.fleet.brakes import plan_of
from farhand_server.fleet.campaign_events import tell_watchers
from farhand_server.fleet.order_rows import advance, lock_orders
from farhand_server.fleet.order_states import FINAL_STATES, OFFERABLE
from farhand_server.fleet.orders import request_cancel
from farhand_server.fleet.packages import in_chunks
from farhand_server.fleet.promotion import promote
from farhand_server.fleet.results import make_results, order_subject
from farhand_server.fleet.slots import free_slots, take_slots
from farhand_server.relay import Relay
from farhand_server.sessions.control import device_subject
from farhand_server.store.schema import campaigns, orders

__all__ = ["SWEEP_S", "Dispatch", "make_dispatch"]

_log = logging.getLogger(__name__)

SWEEP_S: Final = 30.0
# An offered order may have been accepted at the last moment; the word of it takes a while.
OFFERED_GRACE_S: Final = 120
_PAGE: Final = 200
_AT_ONCE: Final = 32
_DELIVER_S: Final = 10.0
# A link takes 4 MiB that its device has not read; what goes beyond this follows with a sweep.
_PRESENT_BYTES: Final = 1024 * 1024
# Orders are told by id and while they last, but must not be looked for so: along the indexes of
# these columns a page for two devices goes through all orders.  As expressions they only sort and
# sift, and the index of what was asked for (devices, ids, a state) is taken.
_by_id = func.coalesce(orders.c.id, "")
_lasts_until = func.coalesce(orders.c.expires_at, "")
_FAILED_WAIT_S: Final = 1.0
_ENDS_TOGETHER_S: Final = 1.0


def make_dispatch(relay: Relay) -> Dispatch:
    """Return the relay's dispatch."""
    return Dispatch(relay)


class Dispatch:
    """Tells devices of their orders; one per node.

    Attributes:
        devices_here: yields the devices connected to this node, in lists; set by the wiring.
        who_is_online: returns the devices that are worth a try; set by the wiring, without it all.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._wake = asyncio.Event()
        self._orders: set[str] = set()
        self._campaigns: set[str] = set()
        self.devices_here: Callable[[], Iterable[Sequence[str]]] = tuple
        self.who_is_online: Callable[[], Container[str]] = _Everybody
        self._moved: set[str] = set()
        relay.service(make_results).on_moved = self.moved
        self._swept = relay.stamp()

    # From the API.

    def kick(self, *, orders: Iterable[str] = (), campaigns: Iterable[str] = ()) -> None:
        """Have these told soon, without waiting for it."""
        self._orders.update(orders)
        self._campaigns.update(campaigns)
        self._wake.set()

    def moved(self, campaigns: Iterable[str]) -> None:
        """Look soon whether the next ring of these may begin, and whether slots came free."""
        self._moved.update(campaigns)
        self._wake.set()

    async def run(self) -> None:
        """Tell what was kicked and sweep, until cancelled."""
        due = self._relay.clock.monotonic()
        while True:
            wait_s = max(0.0, due - self._relay.clock.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                pass  # time for a sweep
            try:
                await self.tell_kicked()
                if self._relay.clock.monotonic() >= due or wait_s == 0.0:
                    await self.sweep()
                    due = self._relay.clock.monotonic() + SWEEP_S
                # Orders that come in all the time do not put the next sweep off.
                due = min(due, self._relay.clock.monotonic() + await self._pause_s())
            except FarhandError as error:
                # Store or bus are away; everything to do is in the rows, so the sweep finds it.
                _log.warning("orders wait: %s", error)
                due = self._relay.clock.monotonic() + SWEEP_S
                await asyncio.sleep(_FAILED_WAIT_S)

    async def tell_kicked(self) -> int:
        """Tell everything that was kicked; returns how many devices were reached."""
        self._wake.clear()
        ids, self._orders = self._orders, set()
        running, self._campaigns = self._campaigns, set()
        moved, self._moved = self._moved, set()
        limited = []
        for row in await self._in_steps(sorted(moved | running)):
            if _has_rings(row) and await self._promote(row["id"]):
                running.add(row["id"])
            if row["max_in_flight"] is not None:
                limited.append(row["id"])
        reached = 0
        for chunk in in_chunks(sorted(ids), _PAGE):
            reached += await self._offer(orders.c.id.in_(chunk))
        for campaign in sorted(running):
            reached += await self._offer_pages(orders.c.campaign == campaign)
        for campaign in limited:
            reached += await self._offer_slots(campaign)
        return reached

    async def _in_steps(self, ids: Sequence[str] | None = None) -> list[RowMapping]:
        """Return the running ones of these campaigns, or of all, that go on by steps of their own.

        Asked before anything is held: most campaigns have one ring and no limit, and their results
        come in by the thousand.
        """
        of_tenant = (campaigns.c.tenant == self._relay.tenant, campaigns.c.state == "running")
        query = select(
            campaigns.c.id, campaigns.c.max_in_flight, campaigns.c.open_ring, campaigns.c.plan
        ).where(*of_tenant)
        found: list[RowMapping] = []
        async with self._relay.db.read() as c:
            for chunk in [None] if ids is None else in_chunks(ids, _PAGE):
                of_these = query if chunk is None else query.where(campaigns.c.id.in_(chunk))
                found.extend((await c.execute(of_these.order_by(campaigns.c.id))).mappings())
        return [row for row in found if row["max_in_flight"] is not None or _has_rings(row)]

    async def _promote(self, campaign: str) -> bool:
        async with self._relay.db.write() as c:
            has_changed = await promote(c, self._relay, campaign)
        if has_changed:
            await tell_watchers(self._relay, {campaign})
        return has_changed

    async def _offer_slots(self, campaign: str) -> int:
        """Tell of a limited campaign's orders as many as may work at once."""
        reached, last = 0, ""
        online = self.who_is_online()
        while True:
            async with self._relay.db.write() as c:
                rows = await take_slots(c, self._relay, campaign, online=online, after=last)
            if not rows:
                return reached
            try:
                reached += len(await self._deliver(rows))
            finally:
                async with self._relay.db.write() as c:
                    await free_slots(c, self._relay.tenant, [row["id"] for row in rows])
            last = rows[-1]["id"]

    async def _pause_s(self) -> float:
        """Return how long nothing is due: no order begins to be eligible, and none expires."""
        now = self._relay.now()
        waiting = (orders.c.tenant == self._relay.tenant, orders.c.state == "eligible")
        async with self._relay.db.read() as c:
            begins, ends = [
                await c.scalar(select(func.min(column)).where(*waiting, column > stamp(now)))
                for column in (orders.c.not_before, orders.c.expires_at)
            ]
        pause_s = SWEEP_S
        if begins is not None:
            pause_s = min(pause_s, (parse_instant(begins) - now).total_seconds())
        if ends is not None:
            # Orders that end one after another share a sweep.
            until_s = (parse_instant(ends) - now).total_seconds()
            pause_s = min(pause_s, max(_ENDS_TOGETHER_S, until_s))
        return max(0.0, pause_s)

    # Telling.

    def _due(self, *where: ColumnElement[bool]) -> Select[Any]:
        now = self._relay.stamp()
        return (
            select(orders.c.id, orders.c.device, orders.c.state, orders.c.envelope)
            .outerjoin(
                campaigns,
                and_(campaigns.c.tenant == orders.c.tenant, campaigns.c.id == orders.c.campaign),
            )
            .where(
                orders.c.tenant == self._relay.tenant,
                orders.c.not_before <= now,
                _lasts_until > now,
                orders.c.cancel_requested_at.is_(None),
                or_(
                    orders.c.campaign.is_(None),
                    and_(
                        campaigns.c.state == "running",
                        orders.c.ring <= campaigns.c.open_ring,
                        # Those of a limited campaign are told as slots come free.
                        or_(campaigns.c.max_in_flight.is_(None), orders.c.state != "eligible"),
                    ),
                ),
                *where,
            )
            .order_by(_by_id)
        )

    async def _offer(self, *where: ColumnElement[bool]) -> int:
        query = self._due(orders.c.state == "eligible", *where)
        async with self._relay.db.read() as c:
            rows = (await c.execute(query.limit(_PAGE))).mappings().all()
        return len(await self._deliver(rows))

    async def _offer_pages(self, *where: ColumnElement[bool], state: str = "eligible") -> int:
        reached, last = 0, ""
        while True:
            # A campaign that is paused meanwhile has no due orders any more, and the pages end.
            query = self._due(orders.c.state == state, _by_id > last, *where)
            async with self._relay.db.read() as c:
                rows = (await c.execute(query.limit(_PAGE))).mappings().all()
            if not rows:
                return reached
            reached += len(await self._deliver(rows))
            last = rows[-1]["id"]

    async def _deliver(self, rows: Sequence[RowMapping]) -> list[str]:
        taken: list[str] = []
        for batch in in_chunks(rows, _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                sent = [
                    (row["id"], group.create_task(self._send(row["device"], _offer_of(row))))
                    for row in batch
                ]
            taken.extend(order for order, task in sent if task.result())
        await self._mark_offered(taken)
        return taken

    async def _mark_offered(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        async with self._relay.db.write() as c:
            rows = await lock_orders(c, self._relay.tenant, ids)
            # The device may have answered already; then the row has moved on, and this is nothing.
            eligible = [row for row in rows if row["state"] == "eligible"]
            await advance(
                c,
                tenant=self._relay.tenant,
                rows=eligible,
                after="offered",
                at=self._relay.stamp(),
            )
        await tell_watchers(self._relay, {row["campaign"] for row in eligible} - {None})

    async def _send(self, device: str, message: RelayMessage) -> bool:
        subject = device_subject(self._relay.tenant, device)
        try:
            await self._relay.bus.request(subject, encode_message(message), timeout_s=_DELIVER_S)
        except FarhandError as error:
            if error.code not in ("no-responders", "bus-timeout"):
                _log.warning("%s was not told of an order: %s", device, error)
            return False
        return True

    async def tell_cancelled(self, ids: Sequence[str]) -> None:
        """Tell the devices of these orders not to start them; who is away hears it when back."""
        for chunk in in_chunks(sorted(ids), _PAGE):
            query = select(orders.c.id, orders.c.device).where(
                orders.c.tenant == self._relay.tenant, orders.c.id.in_(chunk)
            )
            async with self._relay.db.read() as c:
                rows = (await c.execute(query)).all()
            for batch in in_chunks(rows, _AT_ONCE):
                async with asyncio.TaskGroup() as group:
                    for row in batch:
                        group.create_task(self._send(row.device, CancelOrder(order=row.id)))

    async def offer_on_present(self, sends: Mapping[str, Callable[[RelayMessage], bool]]) -> None:
        """Tell devices that have just come online everything that waits for them.

        Args:
            sends: by device id what sends on its link, False when that has closed.
        """
        for ids in in_chunks(sorted(sends), _PAGE):
            await self._offer_present(ids, sends)

    async def _offer_present(
        self, ids: Sequence[str], sends: Mapping[str, Callable[[RelayMessage], bool]]
    ) -> None:
        of_devices = orders.c.device.in_(ids)
        async with self._relay.db.read() as c:
            waiting = self._due(of_devices, orders.c.state.in_(OFFERABLE))
            due = (await c.execute(waiting.limit(_PAGE))).mappings().all()
            asked = (
                select(orders.c.id, orders.c.device)
                .where(
                    orders.c.tenant == self._relay.tenant,
                    of_devices,
                    orders.c.state.in_(("offered", "accepted")),
                    orders.c.cancel_requested_at.is_not(None),
                )
                .limit(_PAGE)
            )
            cancelled = (await c.execute(asked)).all()
            limited = (
                select(orders.c.campaign)
                .join(
                    campaigns,
                    and_(
                        campaigns.c.tenant == orders.c.tenant, campaigns.c.id == orders.c.campaign
                    ),
                )
                .where(
                    orders.c.tenant == self._relay.tenant,
                    of_devices,
                    orders.c.state == "eligible",
                    campaigns.c.state == "running",
                    campaigns.c.max_in_flight.is_not(None),
                )
                .distinct()
                .limit(_PAGE)
            )
            self.moved(await c.scalars(limited))
        if max(len(due), len(cancelled)) == _PAGE and len(ids) > 1:
            # More than a page waits for these together: each half by itself.
            half = len(ids) // 2
            await self._offer_present(ids[:half], sends)
            await self._offer_present(ids[half:], sends)
            return
        for order, device in cancelled:
            sends[device](CancelOrder(order=order))
        sent: Counter[str] = Counter()
        told = []
        for row in due:
            device = row["device"]
            sent[device] += len(row["envelope"])
            if sent[device] > _PRESENT_BYTES or not sends[device](_offer_of(row)):
                sent[device] = _PRESENT_BYTES  # in order, so nothing after it either
            elif row["state"] == "eligible":
                told.append(row["id"])
        await self._mark_offered(told)

    # The sweep.

    async def sweep(self) -> None:
        """End what expired unheard, and tell the devices here what has become due."""
        await self._end_expired()
        await self._end_aborted()
        await self._go_on()
        swept, self._swept = self._swept, self._relay.stamp()
        await self._offer_pages(orders.c.not_before > swept)
        unanswered = orders.c.updated_at <= stamp(self._relay.now() - timedelta(seconds=SWEEP_S))
        for here in self.devices_here():
            of_devices = orders.c.device.in_(list(here))
            await self._offer_pages(of_devices)
            await self._offer_pages(of_devices, unanswered, state="offered")

    async def _go_on(self) -> None:
        """Look after every running campaign with rings to come or slots to give: soaks end."""
        for row in await self._in_steps():
            if _has_rings(row) and await self._promote(row["id"]):
                await self._offer_pages(orders.c.campaign == row["id"])
            if row["max_in_flight"] is not None:
                await self._offer_slots(row["id"])

    async def _end_expired(self) -> None:
        now = self._relay.now()
        answerless = stamp(now - timedelta(seconds=OFFERED_GRACE_S))
        query = (
            select(orders.c.id)
            .where(
                orders.c.tenant == self._relay.tenant,
                or_(
                    and_(orders.c.state == "eligible", orders.c.expires_at <= stamp(now)),
                    and_(orders.c.state == "offered", orders.c.expires_at <= answerless),
                ),
            )
            .order_by(orders.c.id)
            .limit(_PAGE)
        )
        while True:
            async with self._relay.db.read() as c:
                ids = list(await c.scalars(query))
            if not ids:
                return
            async with self._relay.db.write() as c:
                ended = await self._expire(c, ids)
            await self.publish_ends(ended)
            if not ended:
                return  # another node was faster

    async def _expire(self, c: AsyncConnection, ids: Sequence[str]) -> list[str]:
        rows = await lock_orders(c, self._relay.tenant, ids)
        asked = set(
            await c.scalars(
                select(orders.c.id).where(
                    orders.c.tenant == self._relay.tenant,
                    orders.c.id.in_(ids),
                    orders.c.cancel_requested_at.is_not(None),
                )
            )
        )
        ended: list[str] = []
        for after, group in (
            ("cancelled", [row for row in rows if row["id"] in asked]),
            ("expired", [row for row in rows if row["id"] not in asked]),
        ):
            ended += await advance(
                c,
                tenant=self._relay.tenant,
                rows=group,
                after="cancelled" if after == "cancelled" else "expired",
                at=self._relay.stamp(),
                detail={"by": "relay"},
            )
        # Who can no longer be reached may be all that a gate or a slot waited for.
        self.moved({row["campaign"] for row in rows if row["id"] in ended} - {None})
        return ended

    async def _end_aborted(self) -> None:
        """Finish what an abort began, where its node died between its two transactions."""
        query = (
            select(orders.c.id)
            .join(
                campaigns,
                and_(campaigns.c.tenant == orders.c.tenant, campaigns.c.id == orders.c.campaign),
            )
            .where(
                orders.c.tenant == self._relay.tenant,
                orders.c.state.in_(("planned", "eligible")),
                campaigns.c.state == "aborted",
            )
            .limit(_PAGE)
        )
        while True:
            async with self._relay.db.read() as c:
                ids = list(await c.scalars(query))
            if not ids:
                return
            async with self._relay.db.write() as c:
                await request_cancel(c, self._relay, ids=ids, actor="relay")
            await self.publish_ends(ids)

    async def publish_ends(self, ids: Iterable[str]) -> None:
        """Wake whoever waits for these orders."""
        for order in ids:
            await self._relay.bus.publish(order_subject(self._relay.tenant, order), b"")

    async def wait_final(self, order: str, *, state: str, wait_s: float) -> None:
        """Wait until an order is final, or `wait_s` is over; wakes by the bus, never by polling.

        Args:
            order: its id.
            state: as the caller read it.
            wait_s: longest wait in seconds.
        """
        ended = asyncio.Event()

        async def hear(_data: bytes) -> None:
            ended.set()

        subject = order_subject(self._relay.tenant, order)
        subscription = await self._relay.bus.subscribe(subject, hear)
        try:
            # It may have ended between the caller's look and the subscription.
            query = select(orders.c.state).where(
                orders.c.tenant == self._relay.tenant, orders.c.id == order
            )
            async with self._relay.db.read() as c:
                state = await c.scalar(query) or state
            if state in FINAL_STATES:
                return
            async with asyncio.timeout(wait_s):
                await ended.wait()
        except TimeoutError:
            return  # still open: the caller shows it as it is
        finally:
            await subscription.close()


class _Everybody:
    """Every device: where nobody knows who is online, each is worth a try."""

    def __contains__(self, _device: object) -> bool:
        return True


def _has_rings(row: RowMapping) -> bool:
    """Tell whether a campaign has a ring that is not open yet."""
    return bool(row["open_ring"] + 1 < len(plan_of(row).rings))


def _offer_of(row: RowMapping) -> OfferOrder:
    return OfferOrder(order=row["id"], envelope=row["envelope"])
