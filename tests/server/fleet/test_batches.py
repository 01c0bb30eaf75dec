"""Small writes together: who is stored with whom, who fails alone, who waits for what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.fleet.batches import MAX_BATCH_ITEMS, Batches
from farhand_server.tasks import Tasks


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks()
    yield made
    await made.aclose()


class Store:
    """Notes what it is asked to store together; `fails` says what it makes of a batch."""

    def __init__(self, tasks: Tasks) -> None:
        self.calls: list[list[str]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.batches: Batches[str, str] = Batches(
            tasks, self.store, key=lambda item: item[0], name="test"
        )

    async def store(self, items: Sequence[str]) -> list[str | Exception]:
        self.calls.append(list(items))
        await self.may_go.wait()
        self.fail(items)
        return [ValueError(item) if item.endswith("!") else f"{item} stored" for item in items]

    def fail(self, items: Sequence[str]) -> None:
        """Raise what the whole batch fails with."""

    async def put_all(self, *items: str) -> list[str | BaseException]:
        return await asyncio.gather(
            *(self.batches.put(item) for item in items), return_exceptions=True
        )


async def test_what_comes_together_is_stored_together(tasks: Tasks) -> None:
    store = Store(tasks)
    letters = [chr(ord("a") + number) for number in range(26)]
    assert await store.put_all(*letters) == [f"{one} stored" for one in letters]
    assert store.calls == [letters]
    assert await store.batches.put("z") == "z stored", "an idle one starts again"


async def test_about_one_thing_one_after_another(tasks: Tasks) -> None:
    store = Store(tasks)
    await store.put_all("a1", "b1", "a2", "c1", "a3", "b2")
    assert store.calls == [["a1", "b1", "c1"], ["a2", "b2"], ["a3"]]


async def test_a_batch_is_bounded(tasks: Tasks) -> None:
    store = Store(tasks)
    many = [chr(0x4E00 + number) for number in range(MAX_BATCH_ITEMS + 10)]
    await store.put_all(*many)
    assert [len(call) for call in store.calls] == [MAX_BATCH_ITEMS, 10]


async def test_nobody_is_answered_before_it_is_stored(tasks: Tasks) -> None:
    store = Store(tasks)
    store.may_go.clear()
    first = asyncio.ensure_future(store.batches.put("a"))
    while not store.calls:
        await asyncio.sleep(0)
    second = asyncio.ensure_future(store.batches.put("b"))
    await asyncio.sleep(0)
    assert not first.done()
    assert store.calls == [["a"]], "who comes meanwhile waits for the next one"
    store.may_go.set()
    assert [await first, await second] == ["a stored", "b stored"]


async def test_an_item_of_its_own_error(tasks: Tasks) -> None:
    store = Store(tasks)
    good, bad, other = await store.put_all("a", "b!", "c")
    assert [good, other] == ["a stored", "c stored"]
    assert isinstance(bad, ValueError)
    assert len(store.calls) == 1


async def test_a_batch_that_fails_is_tried_one_by_one(tasks: Tasks) -> None:
    class Broken(Store):
        def fail(self, items: Sequence[str]) -> None:
            if "b" in items:
                raise KeyError("b")

    store = Broken(tasks)
    good, bad, other = await store.put_all("a", "b", "c")
    assert [good, other] == ["a stored", "c stored"]
    assert isinstance(bad, KeyError)
    assert store.calls == [["a", "b", "c"], ["a"], ["b"], ["c"]]


async def test_a_store_that_is_away_is_not_asked_for_each(tasks: Tasks) -> None:
    class Away(Store):
        def fail(self, items: Sequence[str]) -> None:
            raise FarhandError("store-full", "the disk is full", hint="make room")

    store = Away(tasks)
    errors = await store.put_all("a", "b", "c")
    assert [getattr(one, "code", None) for one in errors] == ["store-full"] * 3
    assert len({id(one) for one in errors}) == 3, "an error of its own for each"
    assert len(store.calls) == 1


async def test_who_waits_no_more_holds_up_nobody(tasks: Tasks) -> None:
    store = Store(tasks)
    store.may_go.clear()
    gone = asyncio.ensure_future(store.batches.put("a"))
    stays = asyncio.ensure_future(store.batches.put("b"))
    while not store.calls:
        await asyncio.sleep(0)
    gone.cancel()
    store.may_go.set()
    assert await stays == "b stored"
    assert gone.cancelled()


async def test_the_end_ends_who_waits(tasks: Tasks) -> None:
    store = Store(tasks)
    store.may_go.clear()
    stored = asyncio.ensure_future(store.batches.put("a1"))
    waiting = asyncio.ensure_future(store.batches.put("a2"))
    while not store.calls:
        await asyncio.sleep(0)
    await tasks.aclose()
    done = await asyncio.gather(stored, waiting, return_exceptions=True)
    assert [type(one) for one in done] == [asyncio.CancelledError] * 2
