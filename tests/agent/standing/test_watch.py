"""The resident's part of schedules: when a turn is called, and what is sent of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.journal import Journal
from farhand_agent.journal_thread import JournalThread
from farhand_agent.standing import watch as module
from farhand_agent.standing.watch import LONGEST_WAIT_S, StandingWatch
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.messages import Ack, Nack, ReportSections

SECTION = {"section": {"name": "checks", "hash": "ab" * 32, "blob": b"blob"}}
LINES = ["x: every 15m; checks a.b"]


class Turns:
    """Stands in for the child: each turn answers with the frames that are laid out."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.error: Exception | None = None

    def __call__(self, name: str) -> Turns:
        assert name == "farhand_agent.standing.turn"
        return self

    async def __aenter__(self) -> Turns:
        if self.error is not None:
            await self.requests.put({})
            raise self.error
        self.left = list(self.frames)
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def send(self, frame: dict[str, Any]) -> None:
        await self.requests.put(frame)

    async def receive(self) -> dict[str, Any] | None:
        return self.left.pop(0) if self.left else None

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return await self.requests.get()


class FakeLink:
    """A link whose relay answers as told."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[ReportSections] = asyncio.Queue()
        self.answer: Any = Ack(seq=1)

    async def request(self, make: Callable[[int], ReportSections]) -> Any:
        await self.sent.put(make(1))
        return self.answer

    async def next(self) -> ReportSections:
        async with asyncio.timeout(30):
            return await self.sent.get()


class House:
    """A watch with its clock, its turns, its link and its journal."""

    def __init__(self, path: Path, turns: Turns) -> None:
        self.turns = turns
        self.link = FakeLink()
        self.now = 1_000_000.0
        self.journal = JournalThread(Journal(path / "journal.db", create=True))
        self.watch = StandingWatch(Home.at(path), self.journal, clock=lambda: self.now)

    async def hashes(self) -> dict[str, str]:
        return await self.journal.do(lambda j: j.section_hashes())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self.watch.run()),
            asyncio.create_task(self.watch.deliver(self.link)),  # type: ignore[arg-type]
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    made = Turns()
    monkeypatch.setattr(module, "Child", made)
    # A test moves the clock; the watch then looks at it at once.
    monkeypatch.setattr(module, "TICK_S", 0.01)
    return made


@pytest.fixture
def house(tmp_path: Path, turns: Turns) -> House:
    return House(tmp_path, turns)


@pytest.fixture(autouse=True)
def closed(house: House) -> Any:
    yield
    house.journal.close()


async def test_a_device_without_schedules_starts_no_process(house: House, turns: Turns) -> None:
    async with house.running():
        house.watch.note_policy([])
        await house.journal.do(lambda j: j.set_meta("policy", "x"))
        house.now += LONGEST_WAIT_S + 1
        await house.hashes()
        assert turns.requests.empty()
        house.watch.note_policy(LINES)
        assert (await turns.next())["known"] == {}


async def test_what_a_turn_found_is_sent_once_and_remembered(house: House, turns: Turns) -> None:
    turns.frames = [SECTION, {"note": "words"}, {"done": {"next": house.now + 900}}]
    house.watch.note_policy(LINES)
    async with house.running():
        await turns.next()
        sent = await house.link.next()
        assert (sent.changed, sent.hashes) == ([b"blob"], {"checks": "ab" * 8})
        async with asyncio.timeout(30):
            while await house.hashes() != {"checks": "ab" * 32}:
                pass  # the acknowledgement is on its way into the journal
        turns.frames = [{"done": {"next": house.now + 1800}}]
        house.now += 901
        assert (await turns.next())["known"] == {"checks": "ab" * 32}
        assert house.link.sent.empty()


async def test_a_turn_is_called_when_it_is_due_by_the_devices_clock(
    house: House, turns: Turns
) -> None:
    turns.frames = [{"done": {"next": house.now + 900}}]
    house.watch.note_policy(LINES)
    async with house.running():
        await turns.next()
        house.now += 899
        house.watch.note_policy(LINES)
        await house.hashes()
        assert turns.requests.empty()
        turns.frames = [{"done": {"next": None}}]
        house.now += 1
        await turns.next()
        house.now += LONGEST_WAIT_S + 1
        await turns.next()


async def test_what_the_relay_lacks_is_found_again(house: House, turns: Turns) -> None:
    turns.frames = [{"done": {"next": house.now + 900}}]
    house.watch.note_policy(LINES)
    async with house.running():
        await turns.next()
        turns.frames = [SECTION, *turns.frames]
        house.watch.resend(["software"])
        house.watch.resend(["software", "checks"])
        await turns.next()
        assert (await house.link.next()).changed == [b"blob"]
        assert turns.requests.empty()


async def test_a_refusal_costs_neither_link_nor_section(house: House, turns: Turns) -> None:
    house.link.answer = Nack(seq=1, code="inventory-too-large", message="no")
    turns.frames = [SECTION, {"done": {"next": None}}]
    house.watch.note_policy(LINES)
    async with house.running():
        await house.link.next()
        await turns.next()
        assert await house.hashes() == {}
    house.link.answer = Ack(seq=1)
    async with house.running():
        # Another link: it is tried again.
        await house.link.next()


async def test_an_answer_that_fits_nothing_ends_the_link(house: House, turns: Turns) -> None:
    house.link.answer = ReportSections(seq=1, changed=[], hashes={})
    turns.frames = [SECTION, {"done": {"next": None}}]
    house.watch.note_policy(LINES)
    running = asyncio.create_task(house.watch.run())
    with pytest.raises(RemoteError, match="message-malformed"):
        async with asyncio.timeout(30):
            await house.watch.deliver(house.link)  # type: ignore[arg-type]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_turn_that_fails_is_tried_again_later(
    house: House, turns: Turns, capsys: pytest.CaptureFixture[str]
) -> None:
    turns.error = FarhandError("child-failed", "the agent's standing.turn process failed")
    house.watch.note_policy(LINES)
    async with house.running():
        await turns.next()
        await house.hashes()
        turns.error = None
        turns.frames = [{"done": {"next": None}}]
        house.now += module.AFTER_FAILURE_S + 1
        await turns.next()
    assert "the schedules could not be looked at" in capsys.readouterr().err
