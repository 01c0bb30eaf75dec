"""Opened recordings: what the player gets draws and does nothing else, and no more is kept."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farhand_console.web import recordings, scratch
from farhand_console.web.acting import own_environment
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
            lines = [
                [0.5, "o", f"2026  exec  {EVIL}\r\n"],
                [1.0, "i", "secret"],
                [0, "r", "80x24"],
                [0, "r", "65535x65535"],
                [0, "r", "999999999999x1\x1b[6n"],
                [0, "m", "here\u202e\x1b[6n"],
            ]
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
    assert lines[2:] == [
        [0, "r", "80x24"],
        [0, "r", "500x200"],  # the player has a cell for each place
        [0, "i", ""],
        [0, "m", "here\\u202e\\x1b[6n"],
    ]


async def test_what_a_killed_console_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = scratch.make_scratch("recording")
    # A process that has just ended: nobody has its number so soon again.
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    left = [tmp_path / f"farhand-{kind}-{ended.pid}-x" for kind in ("recording", "act")]
    other = [tmp_path / "farhand-recording-x", tmp_path / f"somebody-act-{ended.pid}-x"]
    for folder in (*left, *other):
        folder.mkdir()
        (folder / "1.cast").touch()
    trap = tmp_path / f"farhand-act-{ended.pid}-trap"
    trap.symlink_to(other[0])
    scratch.sweep_scratch()
    assert not any(one.exists() for one in left)
    assert mine.is_dir()
    assert all((one / "1.cast").exists() for one in other)


@pytest.mark.parametrize(("given", "expected"), [(None, None), ("typed", "typed")])
def test_a_passphrase_of_the_consoles_own_answers_for_nobody(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str | None
) -> None:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "of the console")
    assert own_environment(given).get("FARHAND_PASSPHRASE") == expected


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
