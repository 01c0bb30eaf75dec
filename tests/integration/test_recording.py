"""Recordings through the real relay: sealed at the device, and only an audit key opens them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import select
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from farhand_agent.config import Home
from farhand_agent.local import notify
from farhand_server.store.database import Database, sqlite_url
from farhand_server.store.transfer import dump_rows
from tests.integration.conftest import ON_SQLITE, House
from tests.support.stage import AgentHome, ConsoleHome, Process

MARKER = "a-marker-that-was-typed"


@pytest.fixture(scope="module")
def recorded(house: House) -> House:
    """The house with a policy that demands recordings; the admin holds the audit key."""
    key = house.admin.json("recording", "key", "new")["recipient"]
    house.admin.json(
        "trust", "policy", "office", "--recording", "required", "--audit-key", key,
        "--recording-days", "30",
    )  # fmt: skip
    return house


def event_of(helper: Process, kind: str) -> dict[str, Any]:
    """Return the next event of a kind; what else the person is told stands between them."""
    while (event := helper.next_json())["event"] != kind:
        continue
    return event


def opened(house: House, agent: AgentHome, *options: str) -> tuple[str, Process]:
    """Open a session by code; the person is told that it is recorded."""
    helper = agent.code("--yes", *options)
    code = event_of(helper, "code")["code"]
    told = house.technician.json("session", "open", "--code", code)
    assert event_of(helper, "request")["recorded"] is True
    event_of(helper, "session")
    return str(told["session"]), helper


def type_into_shell(console: ConsoleHome, session: str, text: str, wanted: bytes) -> None:
    """Run `farhand shell` on a terminal of its own and type."""
    pid, terminal = pty.fork()
    if pid == 0:
        words = console.words("shell", session)
        os.execve(words[0], words, console.stage.env)
    shown, deadline, typed = b"", time.monotonic() + 60, False
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.5)[0]:
                try:
                    shown += os.read(terminal, 65_536)
                except OSError:
                    break  # the shell has ended
            if shown and not typed:
                os.write(terminal, text.encode())
                typed = True
        assert wanted in shown, shown[-2000:]
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def listed(console: ConsoleHome, session: str) -> dict[str, Any]:
    items = console.json("recording", "list")["items"]
    return next((one for one in items if one["session"] == session), {})


def everything_stored(house: House) -> bytes:
    """Every value of every row that the relay keeps, and every file of its home."""
    url = house.stage.database or sqlite_url(house.stage.relay_home / "farhand.db")

    async def rows() -> bytes:
        database, found = Database(url), b""
        try:
            async with database.read() as c:
                async for line in dump_rows(c):
                    row = json.loads(line)["r"]
                    found += line
                    for value in row.values():
                        if isinstance(value, str):
                            try:
                                found += base64.b64decode(value, validate=True) + b"\n"
                            except ValueError:
                                continue
        finally:
            await database.close()
        return found

    files = [path.read_bytes() for path in house.stage.relay_home.rglob("*") if path.is_file()]
    return asyncio.run(rows()) + b"\n".join(files)


@ON_SQLITE
def test_only_an_audit_key_opens_what_was_shown(recorded: House, tmp_path: Path) -> None:
    house = recorded
    session, helper = opened(house, house.agent)
    type_into_shell(
        house.technician, session, f"echo {MARKER}-$((6*7)); exit\n", f"{MARKER}-42".encode()
    )
    house.technician.run("exec", session, "--", f"echo {MARKER}-exec; exit 4", expect=4)
    source = tmp_path / f"{MARKER}.txt"
    source.write_text(MARKER)
    house.technician.run("cp", str(source), f"{session}:{tmp_path}/copied-{MARKER}")
    house.technician.json("session", "end", session, "--note", "done")
    event = event_of(helper, "end")
    receipt = json.loads(Path(event["receipt"]).read_bytes())
    mark = json.loads(base64.b64decode(receipt["payload"]))["recording"]

    row = listed(house.technician, session)
    assert (row["complete"], row["dropped_bytes"], row["operator"]) == (True, 0, "tess")
    told = house.technician.json("recording", "verify", session)
    assert told["valid"]
    assert told["device_key_pinned"]
    assert told["relay_key_pinned"]
    assert told["receipt_agrees"] is True
    assert told["witnessed"] == told["chunks"] == mark["chunks"]
    assert (told["head_sha256"], mark["complete"]) == (mark["head_sha256"], True)

    shown = house.admin.run("recording", "play", session).stdout.decode()
    assert f"{MARKER}-42" in shown
    assert f"{MARKER}-exec" in shown
    assert f"copied-{MARKER}" in shown  # what was copied is named among the events
    assert house.technician.refused("recording", "play", session) == "recording-identity"
    files = house.admin.json("recording", "export", session, "--out", str(tmp_path))["files"]
    assert [one["kind"] for one in files] == ["events", "terminal", "exec"]
    assert f"{MARKER}-42" in Path(files[1]["path"]).read_text()
    assert json.loads(Path(files[2]["path"]).read_text().splitlines()[-1])[1:] == ["x", "4"]

    # Offline, from a file, and nothing in it can change.
    (sealed,) = house.technician.json(
        "recording", "export", session, "--sealed", "--out", str(tmp_path)
    )["files"]
    path = Path(sealed["path"])
    assert house.technician.json("recording", "verify", str(path))["complete"]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert house.technician.refused("recording", "verify", str(path)).startswith("recording-")

    stored = everything_stored(house)
    assert session.encode() in stored
    assert MARKER.encode() not in stored
    assert not (house.agent.home / "recordings" / session).exists()


async def _edit(house: House, *statements: str) -> None:
    url = house.stage.database or sqlite_url(house.stage.relay_home / "farhand.db")
    database = Database(url)
    try:
        async with database.write() as c:
            for statement in statements:
                await c.execute(text(statement))
    finally:
        await database.close()


def test_a_relay_that_edits_what_it_stores_is_found_out(recorded: House) -> None:
    house = recorded
    session, helper = opened(house, house.agent)
    house.technician.run("exec", session, "--", "echo one")
    house.technician.json("session", "end", session)
    event_of(helper, "end")
    assert house.technician.json("recording", "verify", session)["complete"]
    mine = f"session = '{session}'"
    last = f"(SELECT max(number) FROM recording_chunks WHERE {mine})"
    asyncio.run(_edit(house, f"DELETE FROM recording_chunks WHERE {mine} AND number = {last}"))
    assert house.technician.refused("recording", "verify", session) == "recording-tail"
    asyncio.run(
        _edit(house, f"UPDATE recording_chunks SET ciphertext = head WHERE {mine} AND number = 0")
    )
    assert house.technician.refused("recording", "verify", session) == "recording-changed"
    assert house.admin.refused("recording", "play", session) == "recording-changed"


def served_by(home: Path, session: str) -> int:
    """Return the process that serves a session, as the journal has it."""
    with closing(sqlite3.connect(home / "journal.db")) as journal:
        (pid,) = journal.execute("SELECT pid FROM sessions WHERE id = ?", (session,)).fetchone()
    return int(pid)


@pytest.mark.parametrize("house", ["sqlite-local"], indirect=True)
def test_a_killed_process_shows_in_the_recording(recorded: House) -> None:
    house = recorded
    session, _helper = opened(house, house.agent)
    house.technician.run("exec", session, "--", f"echo {MARKER}-before")
    home = house.agent.home
    killed = served_by(home, session)
    os.kill(killed, signal.SIGKILL)
    # The resident agent takes the session up again, and the recording goes on.
    deadline = time.monotonic() + 60
    while served_by(home, session) == killed:
        assert time.monotonic() < deadline
        notify(Home.at(home), "sessions-changed")
        time.sleep(0.2)
    done = house.technician.run("exec", session, "--", "echo after")
    assert done.stdout == b"after\n"
    house.technician.json("session", "end", session)
    deadline = time.monotonic() + 60
    while not listed(house.technician, session).get("complete"):
        assert time.monotonic() < deadline, listed(house.technician, session)
        time.sleep(0.2)
    done = house.technician.run("recording", "verify", session, "--json")
    told = json.loads(done.stdout)
    assert (told["complete"], told["receipt_agrees"]) == (True, True)
    assert told["dropped_bytes"] >= 1
    assert b"the device lost" in done.stderr
    assert "after" in house.admin.run("recording", "play", session).stdout.decode()


@pytest.mark.parametrize("house", ["sqlite-local"], indirect=True)
def test_a_guest_is_recorded_for_the_operator_and_a_missing_end_shows(recorded: House) -> None:
    house = recorded
    guest = house.stage.agent("recorded-guest")
    guest.home.mkdir()
    (guest.home / "policy.toml").write_text('recording = "on"\n')
    session, helper = opened(house, guest, "--url", house.stage.url)
    house.technician.run("exec", session, "--", f"echo {MARKER}-guest")
    house.technician.json("session", "end", session)
    event_of(helper, "end")
    told = house.technician.json("recording", "verify", session)
    assert (told["complete"], told["receipt_agrees"], told["device_key_pinned"]) == (
        True, True, True,
    )  # fmt: skip
    assert f"{MARKER}-guest" in house.technician.run("recording", "play", session).stdout.decode()

    killed, helper = opened(house, guest, "--url", house.stage.url)
    house.technician.run("exec", killed, "--", f"echo {MARKER}-killed")
    spool = guest.home / "recordings" / killed
    assert spool.is_dir()
    os.kill(served_by(guest.home, killed), signal.SIGKILL)
    helper.end()
    left = b"".join(path.read_bytes() for path in spool.iterdir())
    assert MARKER.encode() not in left
    # The next time that somebody gets help here, what was left is sent.
    helper = guest.code("--yes", "--url", house.stage.url)
    event_of(helper, "code")
    deadline = time.monotonic() + 60
    while list(spool.glob("*.chunk")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    helper.end()
    row = listed(house.technician, killed)
    assert (row["complete"], row["chunks"] > 0) == (False, True)
    assert house.technician.refused("recording", "verify", killed) == "recording-tail"
    told = house.technician.json("recording", "verify", killed, "--open-end")
    assert told["complete"] is False
