"""The resident's part in orders: what fails is left alone for a while, and brings nothing down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.journal import Journal
from farhand_agent.journal_thread import JournalThread
from farhand_agent.scripts import dispatch as dispatching
from farhand_agent.scripts.dispatch import OrderDispatch
from farhand_agent.scripts.holding import hold_key
from farhand_protocol.messages import OfferOrder

ORDER = "o-aaaaaaaaaaaaaaaa"


class Desk:
    """A dispatch over a journal with one order; its runners fail as the test says."""

    def __init__(self, home: Home) -> None:
        home.make()
        self.journal = Journal(home.journal, create=True)
        self.journal.accept_order(
            ORDER, envelope=b"e", payload_sha256="p", operator="bo", script="check.x", version=1
        )
        self.thread = JournalThread(self.journal)
        events = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.dispatch = OrderDispatch(home, self.thread, *events)
        self.started: list[str] = []
        self.error: OSError | None = None
        self.dispatch._child = self._child  # type: ignore[method-assign]

    async def _child(self, mode: str, order: str) -> None:
        assert order == ORDER
        self.started.append(mode)
        if self.error is not None:
            raise self.error

    async def look(self) -> None:
        """Let the dispatch look into the journal once, and what it starts end."""
        async with asyncio.TaskGroup() as group:
            await self.dispatch._start_due(group)


@pytest.fixture
async def desk(tmp_path: Path) -> Any:
    desk = Desk(Home.at(tmp_path / "device"))
    yield desk
    desk.thread.close()


@pytest.mark.parametrize("error", [None, BlockingIOError("no more processes")])
async def test_a_runner_that_fails_is_not_started_in_a_circle(
    desk: Desk, error: OSError | None
) -> None:
    desk.error = error
    # What held it once holds it no more, and must not excuse it from the rest.
    desk.journal.set_meta(hold_key(ORDER), "2020-01-01T00:00:00Z window")
    await desk.look()
    await desk.look()
    assert desk.started == ["run"]


async def test_neither_is_one_that_cannot_close_an_order(desk: Desk) -> None:
    desk.journal.start_order(ORDER, pid=1)
    await desk.look()
    await desk.look()
    assert desk.started == ["interrupt"]


async def test_a_runner_that_dies_at_work_is_closed_without_waiting(desk: Desk) -> None:
    await desk.look()
    desk.journal.start_order(ORDER, pid=1)
    await desk.look()
    assert desk.started == ["run", "interrupt"]


async def test_what_goes_wrong_with_one_offer_leaves_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors: Iterator[BaseException] = iter(
        [TimeoutError(), BlockingIOError("no more processes"), asyncio.CancelledError()]
    )

    class Child:
        def __init__(self, *_: object) -> None:
            raise next(errors)

    monkeypatch.setattr(dispatching, "Child", Child)
    for number in range(3):
        assert desk.dispatch.offer(OfferOrder(order=f"o-{number}", envelope=b"e"))
    with pytest.raises(asyncio.CancelledError):
        await desk.dispatch.take_in()
    said = capsys.readouterr().err
    assert "order 'o-0' was not taken in: it took too long" in said
    assert "order 'o-1' was not taken in: no more processes" in said
