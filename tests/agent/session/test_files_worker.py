"""The thread behind the files of a session: in order, each answer to its own request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from farhand_agent.session.files_worker import FileWorker


@pytest.fixture
async def worker() -> AsyncIterator[FileWorker]:
    made = FileWorker()
    yield made
    made.close()


async def test_everything_is_done_in_order_and_beside_the_loop(worker: FileWorker) -> None:
    done: list[int] = []

    def act(number: int) -> int:
        done.append(number)
        return number * 2

    answers = await asyncio.gather(*(worker.add(partial(act, n)) for n in range(50)))
    assert answers == [number * 2 for number in range(50)]
    assert done == list(range(50))
    assert await worker.add(threading.get_ident) != threading.get_ident()


async def test_what_comes_while_the_thread_works_keeps_its_place(worker: FileWorker) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        assert go_on.wait(20)
        done.append("first")

    waiting = worker.add(first)
    await asyncio.to_thread(begun.wait, 20)
    later = [worker.add(partial(done.append, name)) for name in ("second", "third")]
    go_on.set()
    await asyncio.gather(waiting, *later)
    assert done == ["first", "second", "third"]


async def test_an_error_belongs_to_the_one_who_asked(worker: FileWorker) -> None:
    def fail() -> None:
        raise OSError(28, "no space left")

    answers = await asyncio.gather(
        worker.add(lambda: 1), worker.add(fail), worker.add(lambda: 3), return_exceptions=True
    )
    assert answers[0] == 1
    assert isinstance(answers[1], OSError)
    assert answers[2] == 3


async def test_a_cancelled_request_leaves_the_others_alone(worker: FileWorker) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return go_on.wait(20)

    held, dropped, kept = worker.add(hold), worker.add(lambda: 1), worker.add(lambda: 2)
    await asyncio.to_thread(begun.wait, 20)
    dropped.cancel()
    go_on.set()
    assert await held
    assert await kept == 2
    assert dropped.cancelled()


async def test_closing_drops_what_was_not_begun() -> None:
    worker = FileWorker()
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return go_on.wait(20)

    held, dropped = worker.add(hold), worker.add(lambda: 1)
    await asyncio.to_thread(begun.wait, 20)
    worker.close()
    assert dropped.cancelled()
    go_on.set()
    assert await held
    with pytest.raises(RuntimeError):
        worker.add(lambda: 1)
