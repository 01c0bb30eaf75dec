"""Asking for help on a device: noted without a line, sent once there is one, told once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click.testing
import pytest

from farhand_agent.cli import cli
from farhand_agent.config import Home
from farhand_agent.help_request import MAX_HELP_WAITING
from farhand_protocol.messages import MAX_HELP_IMAGE_BYTES, HelpRequest
from tests.agent.agents import resident
from tests.agent.relay import WAIT_S, TestRelay

PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)


def asks(home: Home, *words: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, ["help", "--home", str(home.path), *words])


def listed(home: Home) -> list[dict[str, Any]]:
    answer = asks(home, "--list", "--json")
    assert answer.exit_code == 0, answer.output
    items: list[dict[str, Any]] = json.loads(answer.output)["items"]
    return items


async def become(home: Home, state: str) -> str | None:
    """Wait until the only call stands so; returns its ticket."""
    async with asyncio.timeout(WAIT_S):
        while (found := listed(home)[0])["state"] != state:
            await asyncio.sleep(0.1)
    ticket: str | None = found["ticket"]
    return ticket


async def test_what_is_asked_without_a_line_is_told_once(
    enrolled: Home, relay: TestRelay, tmp_path: Path
) -> None:
    picture = tmp_path / "screen.png"
    picture.write_bytes(PNG)
    asked = asks(enrolled, "no", "sound", "--tried", "restarted", "--image", str(picture), "--json")
    assert asked.exit_code == 0, asked.output
    name = json.loads(asked.output)["request"]
    assert [(one["request"], one["state"]) for one in listed(enrolled)] == [(name, "waiting")]
    relay.silent.add(HelpRequest)  # its answer is lost
    async with resident(enrolled.path):
        told = await relay.first(HelpRequest)
        assert (told.id, told.text, told.steps_tried) == (name, "no sound", "restarted")
        assert told.image == PNG
    relay.silent.clear()
    relay.refs[name] = "FH-7"
    async with resident(enrolled.path):
        assert await become(enrolled, "taken") == "FH-7"
    assert len(relay.of(HelpRequest)) == 2
    shown = asks(enrolled, "--list").output
    assert "FH-7" in shown
    assert "no sound" in shown


async def test_a_refused_call_is_shown_and_sent_no_more(enrolled: Home, relay: TestRelay) -> None:
    assert asks(enrolled, "again").exit_code == 0
    relay.nack[HelpRequest] = "help-limit"
    async with resident(enrolled.path):
        await become(enrolled, "refused")
    assert len(relay.of(HelpRequest)) == 1


async def test_bad_calls_are_refused_before_anything_is_kept(
    enrolled: Home, tmp_path: Path
) -> None:
    gif, large = tmp_path / "a.gif", tmp_path / "b.png"
    gif.write_bytes(b"GIF89a")
    large.write_bytes(PNG + bytes(MAX_HELP_IMAGE_BYTES))
    for words, code in (
        ((), "help-empty"),
        (("x" * 8001,), "help-malformed"),
        (("a\x1b[2J",), "help-malformed"),
        (("a", "--image", str(gif)), "image-malformed"),
        (("a", "--image", str(large)), "image-too-large"),
        (("a", "--image", str(tmp_path / "none")), "image-unreadable"),
    ):
        answer = asks(enrolled, *words)
        assert answer.exit_code != 0
        assert code in str(answer.exception), answer.output
    assert listed(enrolled) == []
    for _ in range(MAX_HELP_WAITING):
        assert asks(enrolled, "again").exit_code == 0
    assert "help-queue-full" in str(asks(enrolled, "again").exception)
    assert len(listed(enrolled)) == MAX_HELP_WAITING


@pytest.mark.parametrize("language", ["de", "pt", "ro", "ru"])
async def test_it_speaks_as_the_person_does(
    enrolled: Home, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = asks(enrolled, "one").output
    monkeypatch.setenv("FARHAND_LANG", language)
    assert asks(enrolled, "two").output != english
