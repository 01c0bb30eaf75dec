"""The outbox: rows first, sent once, later and later, dead at last, never dropped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.outbox.items import KEPT, Item, list_items, put, retry
from farhand_server.outbox.sending import (
    LEASE_S,
    MAX_BACKOFF_S,
    MAX_TRIES,
    GiveUp,
    TryLater,
    backoff_s,
    free_leases,
    make_outbox,
    send_due,
)
from farhand_server.relay import Relay
from tests.server.relays import ManualClock, SignIn


class Receiver:
    """A sender that keeps what it was given and does as told."""

    def __init__(self) -> None:
        self.got: list[Item] = []
        self.raises: Exception | None = None

    async def __call__(self, relay: Relay, item: Item) -> None:
        self.got.append(item)
        if self.raises is not None:
            raise self.raises

    @property
    def numbers(self) -> list[int]:
        return [item.payload["n"] for item in self.got]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


async def _put(relay: Relay, number: int, *, kind: str = "parcel", key: str = "") -> str:
    async with relay.db.write() as c:
        return await put(c, relay, kind=kind, payload={"n": number}, key=key)


async def _states(relay: Relay) -> Counter[str]:
    async with relay.db.read() as c:
        lines = await list_items(c, relay.tenant)
        lines += await list_items(c, relay.tenant, state="done")
    return Counter(line.state for line in lines)


async def test_what_was_put_is_sent_once_and_what_was_rolled_back_never(
    relay: Relay, receiver: Receiver
) -> None:
    async def fail() -> None:
        async with relay.db.write() as c:
            await put(c, relay, kind="parcel", payload={"n": 9})
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    first = await _put(relay, 1, key="a")
    assert await _put(relay, 2, key="a") == first, "the same key is the same item"
    other = await _put(relay, 3)
    assert await _put(relay, 4) not in (first, other), "no key, no sameness"
    await _put(relay, 5, kind="unheard-of")
    assert await send_due(relay, [("parcel", receiver)]) == 3
    assert sorted(receiver.numbers) == [1, 3, 4]
    assert await send_due(relay, [("parcel", receiver)]) == 0
    assert await _put(relay, 6, key="a") == first, "also once it is done"
    assert await send_due(relay, [("parcel", receiver)]) == 0
    assert await _states(relay) == {"done": 3, "waiting": 1}


async def test_not_before_its_time(relay: Relay, clock: ManualClock, receiver: Receiver) -> None:
    async with relay.db.write() as c:
        later = relay.now() + timedelta(seconds=15)
        await put(c, relay, kind="parcel", payload={"n": 1}, not_before=later)
    assert await send_due(relay, [("parcel", receiver)]) == 0
    clock.advance(15)
    assert await send_due(relay, [("parcel", receiver)]) == 1


async def test_later_and_later_then_dead_then_again_by_hand(
    relay: Relay, clock: ManualClock, receiver: Receiver
) -> None:
    item = await _put(relay, 1)
    receiver.raises = TryLater("nobody\x1b there")
    waits = []
    for _ in range(MAX_TRIES):
        assert await send_due(relay, [("parcel", receiver)]) == 1
        assert await send_due(relay, [("parcel", receiver)]) == 0, "not at once again"
        async with relay.db.read() as c:
            (line,) = await list_items(c, relay.tenant)
        if line.state == "waiting":
            waits.append((parse_instant(line.next_at) - clock.now()).total_seconds())
            clock.advance(waits[-1])
    assert line.state == "dead"
    assert line.last_error == "nobody  there", "one printable line"
    assert waits[0] <= 15
    assert 15 < max(waits) <= MAX_BACKOFF_S
    assert {one.id for one in receiver.got} == {item}, "a repetition is told by its id"
    assert [one.tries for one in receiver.got] == list(range(1, MAX_TRIES + 1))
    clock.advance(2 * MAX_BACKOFF_S)
    assert await send_due(relay, [("parcel", receiver)]) == 0, "the dead stay dead"
    receiver.raises = None
    async with relay.db.write() as c:
        assert (await retry(c, relay, item=item, actor="ada")).state == "waiting"
    assert await send_due(relay, [("parcel", receiver)]) == 1
    with pytest.raises(FarhandError, match="outbox-state"):
        async with relay.db.write() as c:
            await retry(c, relay, item=item, actor="ada")


async def test_given_up_at_once_and_waiting_that_costs_no_try(
    relay: Relay, clock: ManualClock, receiver: Receiver
) -> None:
    await _put(relay, 1)
    receiver.raises = TryLater("no way out is configured", after_s=60, counts=False)
    for _ in range(MAX_TRIES + 2):
        assert await send_due(relay, [("parcel", receiver)]) == 1
        clock.advance(60)
    receiver.raises = GiveUp("550 no such person")
    assert await send_due(relay, [("parcel", receiver)]) == 1
    async with relay.db.read() as c:
        (line,) = await list_items(c, relay.tenant, state="dead")
    assert (line.tries, line.last_error) == (1, "550 no such person")


async def test_a_bug_in_a_sender_is_a_try_that_failed(
    relay: Relay, clock: ManualClock, receiver: Receiver
) -> None:
    await _put(relay, 1)
    receiver.raises = ZeroDivisionError("secret words")
    assert await send_due(relay, [("parcel", receiver)]) == 1
    async with relay.db.read() as c:
        (line,) = await list_items(c, relay.tenant)
    assert (line.state, line.last_error) == ("waiting", "ZeroDivisionError")


async def test_a_lease_that_ran_out_is_somebody_elses(
    relay: Relay, clock: ManualClock, receiver: Receiver
) -> None:
    """The node that was paused meanwhile must not settle what another one sent."""

    async def slow(relay: Relay, item: Item) -> None:
        clock.advance(LEASE_S + 1)
        assert await send_due(relay, [("parcel", receiver)]) == 1
        raise GiveUp("too late to say")

    await _put(relay, 1)
    assert await send_due(relay, [("parcel", slow)]) == 1
    assert await _states(relay) == {"done": 1}
    assert receiver.got[0].tries == 2


async def test_two_nodes_send_each_item_once(relay: Relay, receiver: Receiver) -> None:
    for number in range(12):
        await _put(relay, number)
    senders = [("parcel", receiver)]
    counts = await asyncio.gather(*(send_due(relay, senders) for _ in range(3)))
    assert sum(counts) == 12
    assert sorted(receiver.numbers) == list(range(12))


async def test_the_loop_sends_keeps_one_slow_kind_apart_and_drains(relay: Relay) -> None:
    """A receiver that never answers holds half of the workers, and nobody else's parcels."""
    released, stuck, sent = asyncio.Event(), asyncio.Event(), asyncio.Event()
    in_flight = most = parcels = 0

    async def slow(relay: Relay, item: Item) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        if in_flight == 4:
            stuck.set()
        await released.wait()
        in_flight -= 1

    async def quick(relay: Relay, item: Item) -> None:
        nonlocal parcels
        parcels += 1
        if parcels == 6:
            sent.set()

    for number in range(6):
        await _put(relay, number, kind="slow")
        await _put(relay, number, kind="quick")
    sending = relay.service(make_outbox)
    task = relay.tasks.spawn(sending.run({"slow": slow, "quick": quick}), name="outbox")
    async with asyncio.timeout(30):
        await stuck.wait()
        await sent.wait()
        draining = asyncio.ensure_future(sending.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        released.set()
        await draining
    assert most == 4
    async with relay.db.read() as c:
        left = await list_items(c, relay.tenant)
    assert [line.state for line in left] == ["waiting", "waiting"], "nothing more was taken"
    task.cancel()


async def test_old_done_items_are_forgotten_and_the_rest_is_counted(
    relay: Relay, clock: ManualClock, receiver: Receiver
) -> None:
    await _put(relay, 1)
    await send_due(relay, [("parcel", receiver)])
    await _put(relay, 2, kind="unheard-of")
    clock.advance(KEPT.total_seconds() + 1)
    await relay.service(make_outbox).sweep()
    assert await _states(relay) == {"waiting": 1}


def test_back_off_grows_to_a_cap() -> None:
    assert backoff_s(1, 0) == 7.5
    assert backoff_s(1, 1) == 15
    assert backoff_s(10_000, 1) == MAX_BACKOFF_S


@given(st.integers(1, 100), st.floats(0, 1), st.floats(0, 1))
def test_back_off_never_shrinks_below_half(tries: int, one: float, other: float) -> None:
    assert backoff_s(tries, one) <= 2 * backoff_s(tries + 1, other)
    assert 0 < backoff_s(tries, one) <= MAX_BACKOFF_S


async def test_the_list_and_the_second_try_over_http(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, receiver: Receiver
) -> None:
    admin, tech = await sign_in("admin"), await sign_in("technician")
    items = [await _put(relay, number) for number in range(3)]
    receiver.raises = GiveUp("no")
    await send_due(relay, [("parcel", receiver)])
    waiting = await _put(relay, 9, kind="unheard-of")
    page: Any = (await web.get("/api/v1/outbox?limit=3", headers=admin)).json()
    rest: Any = (
        await web.get(f"/api/v1/outbox?limit=3&cursor={page['next']}", headers=admin)
    ).json()
    assert {one["id"] for one in page["items"] + rest["items"]} == {*items, waiting}
    assert "payload" not in page["items"][0]
    counts: Any = (await web.get("/api/v1/outbox/counts", headers=admin)).json()["items"]
    assert {(one["kind"], one["state"], one["count"]) for one in counts} == {
        ("parcel", "dead", 3),
        ("unheard-of", "waiting", 1),
    }
    assert (await web.post(f"/api/v1/outbox/{items[0]}/retry", headers=tech)).status_code == 403
    again: Any = (await web.post(f"/api/v1/outbox/{items[0]}/retry", headers=admin)).json()
    assert again["state"] == "waiting"
    answer = await web.post("/api/v1/outbox/retry", headers=admin, json={"kind": "parcel"})
    assert answer.json() == {"retried": 2}
    receiver.raises = None
    assert await send_due(relay, [("parcel", receiver)]) == 3
    answer = await web.post(f"/api/v1/outbox/{items[0]}/retry", headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "outbox-state")
    answer = await web.get("/api/v1/outbox?state=lost", headers=admin)
    assert answer.json()["code"] == "invalid"


async def test_what_is_too_large_is_refused(relay: Relay) -> None:
    for payload, key in (({"t": "x" * 2**20}, ""), ({}, "k" * 301)):
        with pytest.raises(FarhandError, match="outbox-too-large"):
            async with relay.db.write() as c:
                await put(c, relay, kind="parcel", payload=payload, key=key)


_KILLED = """
    import asyncio, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from farhand_protocol.keys import SeedSigner
    from farhand_server.app import assemble
    from farhand_server.bus.local import LocalBus
    from farhand_server.clock import SystemClock
    from farhand_server.config import Settings
    from farhand_server.outbox.sending import make_outbox
    from farhand_server.store.database import Database, sqlite_url
    from farhand_server.tasks import Tasks

    log = Path(sys.argv[2])
    stuck = 0

    class Afternoon(SystemClock):
        def now(self):
            return datetime(2026, 11, 22, 13, 0, tzinfo=UTC)

    async def send(relay, item):
        global stuck
        with log.open("a") as file:
            file.write(f"{item.payload['n']}\\n")
        if item.payload["n"] >= 3:
            stuck += 1
            if stuck == 4:
                print("stuck", flush=True)
            await asyncio.Event().wait()

    async def main():
        tasks = Tasks()
        relay = assemble(
            Settings(home=".", tenant="n-testtesttesttest", org="X", url="http://127.0.0.1:1"),
            db=Database(sqlite_url(Path(sys.argv[1]))), bus=LocalBus(tasks), clock=Afternoon(),
            signer=SeedSigner(b"\\x07" * 32), tasks=tasks,
        )
        await relay.service(make_outbox).run({"parcel": send})

    asyncio.run(main())
"""


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_killed_in_the_middle_nothing_is_lost_and_only_what_flew_goes_twice(
    relay: Relay, clock: ManualClock, tmp_path: Path, receiver: Receiver
) -> None:
    # One, two and three arrive; the next four never come back; the rest waits for a worker.
    for number in range(10):
        await _put(relay, number)
        clock.advance(1)
    log, file = tmp_path / "sent", str(relay.db.url.database)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), file, str(log)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            assert await asyncio.to_thread(process.stdout.readline) == b"stuck\n"
        finally:
            os.kill(process.pid, signal.SIGKILL)
    before = [int(line) for line in log.read_text().split()]
    assert sorted(before) == list(range(7))
    await free_leases(relay)
    await send_due(relay, [("parcel", receiver)])
    assert sorted(receiver.numbers) == list(range(3, 10))
