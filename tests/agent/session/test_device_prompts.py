"""Prompts across the session processes of a device: seen by all before they are shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.local_server import LocalServer
from farhand_agent.session import device_prompts
from farhand_agent.session.asking import Asking
from farhand_agent.session.device_prompts import DevicePrompts
from farhand_agent.session.events import Event
from farhand_agent.session.prompts import PromptGate
from farhand_protocol.errors import FarhandError
from tests.agent.session.test_asking import QUESTION

PATIENCE_S = 30
SESSIONS = ["s-aaaaaaaaaaaaaaaa", "s-bbbbbbbbbbbbbbbb"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.make()
    return made


def gates(home: Home, count: int = 2) -> list[PromptGate]:
    return [PromptGate(DevicePrompts(home)) for _ in range(count)]


async def test_a_prompt_of_one_session_stands_in_all(home: Home) -> None:
    first, second, third = gates(home, 3)
    assert not any(one.is_open for one in (first, second, third))
    async with first.standing():
        assert first.is_open
        assert second.is_open
        async with third.standing():
            assert first.is_open
        assert (first.is_open, third.is_open) == (True, True)
    assert not any(one.is_open for one in (first, second, third))
    assert list((home.path / "prompts").iterdir()) == []


async def test_another_home_is_another_device(home: Home, tmp_path: Path) -> None:
    other = Home.at(tmp_path / "other")
    other.make()
    async with gates(home)[0].standing():
        assert not gates(other)[0].is_open


async def test_what_a_dead_process_left_freezes_nobody(home: Home) -> None:
    first, second = gates(home)
    left = home.path / "prompts" / ("0" * 16)
    left.parent.mkdir()
    left.touch()
    assert not first.is_open
    async with second.standing():
        assert not left.exists()


async def test_nobody_is_asked_where_the_others_cannot_see_it(home: Home) -> None:
    shown: list[Event] = []
    asking = Asking(shown.append, can_ask=True, gate=gates(home)[0])
    (home.path / "prompts").write_text("in the way")
    with pytest.raises(FarhandError, match="home-unusable"):
        await asking.ask(QUESTION, within_s=PATIENCE_S)
    assert shown == []


async def test_the_others_have_frozen_before_the_question_is_shown(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answers, one hangs, one is dead: the question comes, and the first has frozen."""
    monkeypatch.setattr(device_prompts, "_open_sessions", lambda _: [*SESSIONS, "s-dead"])
    monkeypatch.setattr(device_prompts, "TELL_S", 0.2)
    frozen: list[bool] = []
    asker, other = gates(home)
    other.heed(frozen.append)
    hung = asyncio.Event()

    async def hang(_: dict[str, Any]) -> dict[str, Any]:
        await hung.wait()
        return {}

    def show(_: Event) -> None:
        assert frozen == [True]
        assert asking.answer(True)

    asking = Asking(show, can_ask=True, gate=asker)
    async with (
        LocalServer(home, {"prompt": other.look}, session=SESSIONS[0]),
        LocalServer(home, {"prompt": hang}, session=SESSIONS[1]),
        asyncio.timeout(PATIENCE_S),
    ):
        assert await asking.ask(QUESTION, within_s=PATIENCE_S) == QUESTION.scopes
        hung.set()
    assert not other.is_open
