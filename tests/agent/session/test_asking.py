"""Questions to the person: how long one stands, on a clock that is moved instead of waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from farhand_agent.processes import own_user
from farhand_agent.session.asking import Asking
from farhand_agent.session.events import Asked, Event
from farhand_protocol.errors import RefusedError
from farhand_protocol.trust import GroupPolicy

WITHIN_S = GroupPolicy().consent_s
QUESTION = Asked(
    session="s-x",
    operator="tess",
    organisation="Example Support",
    ticket="FH-1",
    reason="",
    scopes=["view"],
    minutes=30,
    words=[],
    guest=False,
    host_name="alpha",
    recorded=False,
    files=[],
    files_read_only=False,
    forward=[],
    shortened=[],
    answer_within_s=WITHIN_S,
)


class MovedLoop(asyncio.SelectorEventLoop):
    """A loop on whose clock time passes when the test says so."""

    moved_s = 0.0

    def time(self) -> float:
        """Return the loop's time."""
        return super().time() + self.moved_s

    async def pass_(self, seconds: float) -> None:
        """Let time pass, and do what is due then."""
        self.moved_s += seconds
        for _ in range(10):
            await asyncio.sleep(0)


def on_moved_loop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=MovedLoop) as runner:
        runner.run(work)


async def begin(asking: Asking) -> tuple[MovedLoop, asyncio.Task[list[str]]]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovedLoop)
    standing = asyncio.ensure_future(asking.ask(QUESTION, within_s=WITHIN_S))
    await loop.pass_(0)
    return loop, standing


def test_a_question_stands_for_a_minute_and_silence_is_no() -> None:
    shown: list[Event] = []

    async def work() -> None:
        loop, standing = await begin(Asking(shown.append, can_ask=True))
        assert shown == [replace(QUESTION, ask=1, user=own_user())]
        await loop.pass_(59)
        assert not standing.done()
        await loop.pass_(1)
        with pytest.raises(RefusedError, match="consent-timeout"):
            await standing

    on_moved_loop(work())
    assert WITHIN_S == 60


@pytest.mark.parametrize("allow", [True, False])
def test_an_answer_in_the_last_second_counts(allow: bool) -> None:
    async def work() -> None:
        asking = Asking(lambda _: None, can_ask=True)
        loop, standing = await begin(asking)
        await loop.pass_(59)
        asking.answer(allow)
        await loop.pass_(0)
        assert standing.done()
        if allow:
            await standing
        else:
            with pytest.raises(RefusedError, match="consent-refused"):
                await standing
        await loop.pass_(60)

    on_moved_loop(work())


def test_an_answer_to_no_question_means_nothing() -> None:
    async def work() -> None:
        asking = Asking(lambda _: None, can_ask=True)
        asking.answer(True)
        loop, standing = await begin(asking)
        assert not standing.done()
        await loop.pass_(60)
        with pytest.raises(RefusedError, match="consent-timeout"):
            await standing

    on_moved_loop(work())


def test_an_answer_counts_for_its_question_and_once() -> None:
    async def work() -> None:
        asking = Asking(lambda _: None, can_ask=True)
        _, standing = await begin(asking)
        assert not asking.answer(True, ask=2)
        assert asking.answer(False, ask=1)
        assert not asking.answer(True, ask=1)  # another screen was slower
        with pytest.raises(RefusedError, match="consent-refused"):
            await standing
        loop, again = await begin(asking)
        assert asking.gate.is_open
        assert not asking.answer(True, ask=1)
        assert asking.answer(True, ask=2)
        await loop.pass_(0)
        assert await again == ["view"]
        assert not asking.gate.is_open

    on_moved_loop(work())


@pytest.mark.parametrize(
    ("ticked", "left"),
    [(["terminal", "view"], ["view", "terminal"]), (["control"], None), ([], None)],
)
def test_what_was_unticked_is_not_allowed(ticked: list[str], left: list[str] | None) -> None:
    async def work() -> None:
        asking = Asking(lambda _: None, can_ask=True)
        question = replace(QUESTION, scopes=["view", "terminal", "files"])
        standing = asyncio.ensure_future(asking.ask(question, within_s=WITHIN_S))
        await asyncio.sleep(0)
        asking.answer(True, scopes=ticked)
        if left is None:
            with pytest.raises(RefusedError, match="consent-refused"):
                await standing
        else:
            assert await standing == left

    on_moved_loop(work())


def test_whoever_could_answer_is_gone() -> None:
    async def work() -> None:
        asking = Asking(lambda _: None, can_ask=True)
        _, standing = await begin(asking)
        asking.leave()
        with pytest.raises(RefusedError, match="consent-timeout"):
            await standing
        _, next_one = await begin(asking)
        with pytest.raises(RefusedError, match="consent-timeout"):
            await next_one

    on_moved_loop(work())
