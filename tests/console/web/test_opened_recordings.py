"""Opened recordings: what the player gets draws and does nothing else, and no more is kept."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farhand_console.web import recordings
from farhand_protocol.errors import FarhandError
from tests.console.web.backend import Backend

SESSIONS = [f"s-{letter * 26}" for letter in "abcdef"]
EVIL = "\x1b]52;c;aGVsbG8=\x07\x1b[6nplain\x1b[31mred\x1b[0m\u202e"


def cast(folder: Path, session: str, number: int, *lines: list[Any], at_s: float = 0.0) -> Path:
    """Write a stream as `recording export` does."""
    header = {
        "version": 3,
        "term": {"cols": 90_000, "rows": 0},
        "title": "shell",
        "farhand": {"at_s": at_s},
    }
    path = folder / f"{session}-{number}.cast"
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    return path


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stand in for the command that verifies and decrypts."""
    told = SimpleNamespace(refusal=None, folders=[], asked=[])

    async def export(home: object, session: str, asked: Any, folder: Path) -> Any:
        told.asked.append((asked.passphrase, asked.accept))
        told.folders.append(folder)
        if told.refusal is not None:
            raise told.refusal
        files = []
        for number, kind in ((0, "events"), (1, "terminal")):
            lines = [[0.5, "o", f"2026  exec  {EVIL}\r\n"], [1.0, "i", "secret"], [0, "r", "80x24"]]
            path = cast(folder, session, number, *lines, at_s=2.5 * number)
            row = {"stream": number, "kind": kind, "title": "shell", "path": str(path)}
            files.append(row | {"lines": 3, "duration_s": 1.5})
        return {"session": session, "files": files}, ["the end of the recording is missing"]

    monkeypatch.setattr(recordings, "_export", export)
    return told


async def opened(web: Backend, session: str, **asked: object) -> Any:
    """Open a recording as the page does."""
    return await web.http.post(f"/local/recordings/{session}/open", json=asked)


async def test_a_stream_is_played_without_what_makes_a_terminal_act(
    web: Backend, exported: SimpleNamespace
) -> None:
    session = SESSIONS[0]
    answer = await opened(web, session, passphrase="words", accept=["open-end"])
    told = answer.json()
    assert exported.asked == [("words", ["open-end"])]
    assert told["warnings"] == ["the end of the recording is missing"]
    assert [(one["number"], one["at_s"]) for one in told["streams"]] == [(1, 2.5)]
    assert [one["at_s"] for one in told["moments"]] == [0.5]
    played = await web.http.get(f"/local/recordings/{session}/casts/1")
    header, *lines = map(json.loads, played.text.splitlines())
    assert header == {"version": 3, "term": {"cols": 500, "rows": 24}}
    assert lines[0] == [0.5, "o", "2026  exec  plain\x1b[31mred\x1b[0m\r\n"]
    assert "secret" not in played.text
    assert lines[2] == [0, "r", "80x24"]


async def test_only_the_newest_stay_open(web: Backend, exported: SimpleNamespace) -> None:
    for session in SESSIONS:
        assert (await opened(web, session)).status_code == 200
    again = await opened(web, SESSIONS[-1])
    assert again.status_code == 200
    left = [folder for folder in exported.folders if folder.exists()]
    assert len(left) == recordings.MAX_OPENED
    gone = await web.http.get(f"/local/recordings/{SESSIONS[0]}/casts/1")
    assert gone.json()["code"] == "recording-closed"
    none = await web.http.get(f"/local/recordings/{SESSIONS[-1]}/casts/9")
    assert none.json()["code"] == "stream-unknown"


async def test_what_cannot_be_opened_leaves_nothing(
    web: Backend, exported: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported.refusal = FarhandError("key-passphrase", "the passphrase does not open it")
    answer = await opened(web, SESSIONS[0], passphrase="wrong")
    assert answer.json()["code"] == "key-passphrase"
    assert not exported.folders[0].exists()
    exported.refusal = None
    await opened(web, SESSIONS[0])
    monkeypatch.setattr(recordings, "MAX_PLAYED_BYTES", 10)
    large = await web.http.get(f"/local/recordings/{SESSIONS[0]}/casts/1")
    assert large.json()["code"] == "recording-large"


@pytest.mark.parametrize("session", ["--help", "s-", "x" * 30, "%2e%2e"])
async def test_nothing_else_is_named(web: Backend, exported: SimpleNamespace, session: str) -> None:
    answer = await opened(web, session)
    assert answer.status_code >= 400
    assert exported.asked == []


async def test_the_command_itself_says_what_is_wrong(web: Backend) -> None:
    web.relay.answers = lambda method, address: (
        404,
        {"content-type": "application/problem+json"},
        b'{"status":404,"code":"recording-unknown","detail":"there is none"}',
    )
    answer = await opened(web, SESSIONS[0])
    assert answer.json()["code"] in ("recording-unknown", "recording-identity")
