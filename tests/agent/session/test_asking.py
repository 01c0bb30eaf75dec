"""Questions to the person: how long one stands, on a clock that is moved instead of waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

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


async def begin(asking: Asking) -> tuple[MovedLoop, asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovedLoop)
    standing = asyncio.ensure_future(asking.ask(QUESTION, within_s=WITHIN_S))
    await loop.pass_(0)
    return loop, standing


def test_a_question_stands_for_a_minute_and_silence_is_no() -> None:
    shown: list[Event] = []

    async def work() -> None:
        loop, standing = await begin(Asking(shown.append, can_ask=True))
        assert shown == [QUESTION]
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
