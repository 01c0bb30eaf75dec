"""Sends what is in the outbox: one loop per node, a few workers, each item leased to one of them.

    take     a due item becomes `taken`, with a lease; only for a worker that is free right now, so
             a node that is killed leaves behind no more than what it was sending
    send     the sender of its kind, with a deadline well within the lease
    settle   done; or later, with back-off, jitter and a cap; or dead, which is listed

PostgreSQL gives each due row to one node (`FOR UPDATE SKIP LOCKED`); SQLite has one writer.  A
lease that ran out frees its item, so a kill between sending and settling repeats that one:
receivers tell by the item's id, which stays.  A sender that is slow holds at most half of the
workers, so one dead receiver keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from prometheus_client import Counter as MetricCounter
from prometheus_client import Gauge
from sqlalchemy import RowMapping, and_, delete, select, update

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.metrics import make_metrics
from farhand_server.outbox.items import KEPT, Item, count_items
from farhand_server.relay import Relay
from farhand_server.store.schema.outbox import outbox

__all__ = [
    "LEASE_S",
    "MAX_BACKOFF_S",
    "MAX_TRIES",
    "SEND_S",
    "WORKERS",
    "GiveUp",
    "Outbox",
    "Sender",
    "TryLater",
    "backoff_s",
    "free_leases",
    "make_outbox",
    "send_due",
]

_log = logging.getLogger(__name__)

WORKERS: Final = 8
# How many of them one kind may keep busy.
_OF_A_KIND: Final = 4
SEND_S: Final = 60.0
LEASE_S: Final = 180.0
_LOOK_S: Final = 1.0
_SWEEP_S: Final = 60.0

_FIRST_BACKOFF_S: Final = 15.0
MAX_BACKOFF_S: Final = 3600.0
# 15 s, doubled, at most an hour: about a day in all.
MAX_TRIES: Final = 30
_MAX_REASON_CHARS: Final = 300


class TryLater(Exception):
    """A sender's word that this did not work now.

    Args:
        reason: for the list of items; no secrets.
        after_s: when the receiver named a time, else the usual back-off.
        counts: False where nothing was tried (nobody configured the way out): it never dies of
            that.
    """

    def __init__(self, reason: str, after_s: float | None = None, *, counts: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_s = after_s
        self.counts = counts


class GiveUp(Exception):
    """A sender's word that this will never work; the item is dead until a person says otherwise."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Sender = Callable[[Relay, Item], Awaitable[None]]


class _Taken(NamedTuple):
    """An item of ours for now; `claims` is the number of this lease."""

    item: Item
    claims: int


class _Outcome(NamedTuple):
    """What a try came to."""

    state: str
    reason: str = ""
    after_s: float | None = None
    counts: bool = True


def backoff_s(tries: int, share: float) -> float:
    """Return how long to wait after so many tries.

    Args:
        tries: how many failed, from 1.
        share: the jitter, from 0 to 1: where in the upper half of the wait it falls.
    """
    whole = min(MAX_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(tries - 1, 30))
    return whole * (0.5 + share / 2)


def make_outbox(relay: Relay) -> Outbox:
    """Return the relay's sending side."""
    return Outbox(relay)


class Outbox:
    """The loop and its workers, and what they count."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._busy: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._stopping = False
        self._is_taking = False
        registry = relay.service(make_metrics).registry
        self._tries = MetricCounter(
            "farhand_outbox_tries",
            "Tries to send what is in the outbox.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._items = Gauge(
            "farhand_outbox_items",
            "Items of the outbox that wait or are dead.",
            ["kind", "state"],
            registry=registry,
        )
        flying = Gauge("farhand_outbox_sending", "Items being sent now.", registry=registry)
        flying.set_function(lambda: float(self._busy.total()))

    def wake(self) -> None:
        """Look now instead of within a second."""
        self._changed.set()

    async def run(self, senders: Mapping[str, Sender]) -> None:
        """Send for ever; runs until cancelled."""
        waiting: asyncio.Queue[_Taken] = asyncio.Queue(WORKERS)
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(waiting, senders))
            group.create_task(self._sweep_for_ever())
            while not self._stopping:
                self._changed.clear()
                self._is_taking = True
                try:
                    for one in await self._take(senders):
                        self._busy[one.item.kind] += 1
                        waiting.put_nowait(one)
                except FarhandError as error:
                    _log.warning("the outbox was not looked at: %s", error)
                finally:
                    self._is_taking = False
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _LOOK_S)

    async def drain(self) -> None:
        """Take nothing more, and wait for what is being sent; the caller sets the deadline."""
        self._stopping = True
        self._changed.set()
        while self._is_taking or self._busy.total():
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK_S)

    async def _take(self, senders: Mapping[str, Sender]) -> list[_Taken]:
        """Lease what is due to the workers that are free."""
        free = WORKERS - self._busy.total()
        if free <= 0:
            return []
        taken: list[_Taken] = []
        for kind in await _due_kinds(self._relay, list(senders)):
            room = min(free - len(taken), _OF_A_KIND - self._busy[kind])
            if room > 0 and not self._stopping:
                taken += await _claim(self._relay, kind, room)
        return taken

    async def _work(self, waiting: asyncio.Queue[_Taken], senders: Mapping[str, Sender]) -> None:
        while True:
            one = await waiting.get()
            try:
                await self.deliver(one, senders[one.item.kind])
            except FarhandError as error:
                # Its lease will run out, and it is sent again.
                _log.warning("what became of %s was not kept: %s", one.item.id, error)
            finally:
                self._busy[one.item.kind] -= 1
                self._changed.set()

    async def deliver(self, one: _Taken, sender: Sender) -> None:
        """Try one item and settle it.

        Raises:
            FarhandError: the store's, when the outcome could not be kept.
        """
        outcome = await _try(self._relay, sender, one.item)
        self._tries.labels(one.item.kind, outcome.state).inc()
        await _settle(self._relay, one, outcome)

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except FarhandError as error:
                _log.warning("the outbox was not swept: %s", error)
            await asyncio.sleep(_SWEEP_S)

    async def sweep(self) -> None:
        """Forget what was done long ago, and count what is left.

        Raises:
            FarhandError: the store's.
        """
        relay = self._relay
        old = [
            outbox.c.tenant == relay.tenant,
            outbox.c.state == "done",
            outbox.c.ended_at < stamp(relay.now() - KEPT),
        ]
        async with relay.db.read() as c:
            is_any = await c.scalar(select(outbox.c.id).where(*old).limit(1))
            counts = await count_items(c, relay.tenant)
        self._items.clear()
        for one in counts:
            if one.state in ("waiting", "dead"):
                self._items.labels(one.kind, one.state).set(one.count)
        if is_any is not None:
            async with relay.db.write() as c:
                await c.execute(delete(outbox).where(*old))


async def free_leases(relay: Relay) -> None:
    """Free at once what a killed relay was sending, where there is one node only (SQLite)."""
    if relay.db.dialect != "sqlite":
        return
    async with relay.db.write() as c:
        await c.execute(
            update(outbox)
            .where(outbox.c.tenant == relay.tenant, outbox.c.state == "taken")
            .values(state="waiting", next_at=relay.stamp())
        )


async def send_due(relay: Relay, senders: Sequence[tuple[str, Sender]]) -> int:
    """Send everything that is due now, one after the other, and return how many tries that were."""
    by_kind = dict(senders)
    sending = relay.service(make_outbox)
    count = 0
    while kinds := await _due_kinds(relay, list(by_kind)):
        for kind in kinds:
            for one in await _claim(relay, kind, 1):
                await sending.deliver(one, by_kind[kind])
                count += 1
    return count


def _is_due(relay: Relay) -> Any:
    # Of a taken one the time is its lease's end: one that ran out is anybody's again.
    return and_(
        outbox.c.tenant == relay.tenant,
        outbox.c.state.in_(("waiting", "taken")),
        outbox.c.next_at <= relay.stamp(),
    )


async def _due_kinds(relay: Relay, kinds: Sequence[str]) -> list[str]:
    query = (
        select(outbox.c.kind).where(_is_due(relay), outbox.c.kind.in_(kinds)).distinct()
    ).order_by(outbox.c.kind)
    async with relay.db.read() as c:
        return list(await c.scalars(query))


async def _claim(relay: Relay, kind: str, room: int) -> list[_Taken]:
    query = (
        select(outbox)
        .where(_is_due(relay), outbox.c.kind == kind)
        .order_by(outbox.c.next_at, outbox.c.id)
        .limit(room)
        .with_for_update(skip_locked=True)
    )
    ends = stamp(relay.now() + timedelta(seconds=LEASE_S))
    async with relay.db.write() as c:
        rows = (await c.execute(query)).mappings().all()
        for row in rows:
            # Counted before it is tried, so that what kills the relay does not kill it for ever.
            await c.execute(
                update(outbox)
                .where(outbox.c.tenant == relay.tenant, outbox.c.id == row["id"])
                .values(
                    state="taken", next_at=ends, tries=row["tries"] + 1, claims=row["claims"] + 1
                )
            )
    return [_Taken(_item(row), row["claims"] + 1) for row in rows]


def _item(row: RowMapping) -> Item:
    return Item(
        id=row["id"],
        kind=row["kind"],
        key=row["key"] or "",
        payload=json.loads(row["payload"]),
        tries=row["tries"] + 1,
        claims=row["claims"] + 1,
        created_at=row["created_at"],
    )


async def _try(relay: Relay, sender: Sender, item: Item) -> _Outcome:
    try:
        async with asyncio.timeout(SEND_S):
            await sender(relay, item)
    except TryLater as later:
        return _Outcome("waiting", later.reason, later.after_s, later.counts)
    except GiveUp as never:
        return _Outcome("dead", never.reason)
    except TimeoutError:
        return _Outcome("waiting", f"no answer in {SEND_S:g} s")
    except FarhandError as error:
        return _Outcome("waiting", f"{error.code}: {error.message}")
    except Exception as error:
        # A bug in one sender must not end the loop of all; the item shows it, and dies in the end.
        _log.exception("the sender of %s failed", item.kind)
        return _Outcome("waiting", type(error).__name__)
    return _Outcome("done")


async def _settle(relay: Relay, one: _Taken, outcome: _Outcome) -> None:
    """Keep what a try came to, unless somebody else has the item by now."""
    item, at = one.item, relay.stamp()
    tries = item.tries if outcome.counts else item.tries - 1
    state = outcome.state
    if state == "waiting" and tries >= MAX_TRIES:
        state = "dead"
    reason = "".join(c if c.isprintable() else " " for c in outcome.reason)[:_MAX_REASON_CHARS]
    values: dict[str, Any] = {"state": state, "last_error": reason, "tries": tries}
    if state == "waiting":
        after = outcome.after_s
        if after is None:
            after = backoff_s(item.tries, relay.random(1)[0] / 255)
        after = min(max(after, 1.0), MAX_BACKOFF_S)
        values["next_at"] = stamp(relay.now() + timedelta(seconds=after))
    else:
        values["ended_at"] = at
    if state == "dead":
        _log.warning("gave up to send %s (%s): %s", item.id, item.kind, reason)
    is_mine = [
        outbox.c.tenant == relay.tenant,
        outbox.c.id == item.id,
        outbox.c.state == "taken",
        outbox.c.claims == one.claims,
    ]
    async with relay.db.write() as c:
        await c.execute(update(outbox).where(*is_mine).values(**values))
