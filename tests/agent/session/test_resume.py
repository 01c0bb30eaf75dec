"""A session whose process went: the next one goes on with it, or ends it as it must."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import msgspec
import pytest

from farhand_agent.config import Home
from farhand_agent.journal import Journal, SessionRow
from farhand_agent.session.action_file import ActionFile
from farhand_agent.session.events import (
    Asked,
    Ended,
    Failed,
    LineChanged,
    Opened,
    Paused,
    Restarting,
)
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.grants import Action, Receipt
from farhand_protocol.messages import AttachPipe
from farhand_protocol.trust import GroupPolicy
from tests.agent.session.code_console import SESSION, CodeConsole
from tests.agent.session.running import Run, open_session, running
from tests.agent.session.test_process_enrolled import enrolled
from tests.support.session_relay import running_relay

ALONE = GroupPolicy(unattended=True, consent="notify")


@asynccontextmanager
async def next_process(before: Run) -> AsyncIterator[Run]:
    """Run another process for the session of one that has gone."""
    async with asyncio.TaskGroup() as group:
        run = Run(before.relay, before.home, resume=SESSION, can_ask=False)
        run.status = group.create_task(run.process.run())
        try:
            yield run
        finally:
            run.process.stop("stopped")
            await run.end()


def row(home: Home) -> SessionRow:
    journal = Journal(home.journal)
    try:
        found = journal.session(SESSION)
    finally:
        journal.close()
    assert found is not None
    return found


def receipt(home: Home) -> Receipt:
    data = (home.receipts / f"{SESSION}.json").read_bytes()
    return open_payload(decode_envelope(data), Receipt)


async def leave(run: Run) -> None:
    run.process.leave("shutdown")
    assert (await run.next(Paused)).session == SESSION
    assert await run.end() == 0
    assert row(run.home).state == "active"


async def test_the_next_process_goes_on_and_nobody_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            assert (await connection.run("echo one")).stdout == "one\n"
            sleeper = await connection.create_process("echo $$; exec sleep 300")
            pid = int(await sleeper.stdout.readline())
            await leave(run)
        assert not Path(f"/proc/{pid}").exists(), "what ran went with its process"
        began = row(run.home)
        async with next_process(run) as after:
            opened = await after.next(Opened)
            assert (opened.resumed, opened.scopes) == (True, ["view", "terminal", "files"])
            assert run.relay.presents[-1].session == SESSION
            async with console.ssh() as connection:
                assert (await connection.run("echo two")).stdout == "two\n"
                _, answer = await console.farewell(connection, "done")
            assert answer == {"ok": True}
            assert (await after.next(Ended)).reason == "closed"
            assert not any(isinstance(event, Asked) for event in after.seen)
    told = receipt(run.home)
    assert told.started_at == began.started_at[:19] + "Z"
    assert [(one.kind, one.detail) for one in told.actions] == [
        ("exec", "echo one"),
        ("exec", "echo $$; exec sleep 300"),
        ("link", "the agent was started again and the session went on"),
        ("exec", "echo two"),
    ]
    assert list(run.home.sessions.iterdir()) == []


async def test_stopped_while_nobody_served_it_never_reopens(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            await connection.run("echo one")
            await leave(run)
        journal = Journal(run.home.journal)
        assert journal.stop_session(SESSION, "stopped")
        journal.close()
        async with next_process(run) as after:
            assert (await after.next(Ended)).reason == "stopped"
            assert not any(isinstance(event, Opened) for event in after.seen)
            assert await after.end() == 0
        assert [one.detail for one in receipt(run.home).actions][:1] == ["echo one"]
        assert receipt(run.home).scopes == ["view", "terminal", "files"]
        assert [(await run.relay.reports.get()).state for _ in range(2)] == ["active", "ended"]
        async with next_process(run) as late:
            assert (await late.next(Failed)).code == "session-ended"
            assert await late.end() == 1


async def test_its_time_goes_on_while_nobody_serves_it(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await open_session(run)
        await leave(run)
        with sqlite3.connect(run.home.journal) as journal:
            journal.execute("UPDATE sessions SET expires = '2026-01-01T00:00:00Z'")
        journal.close()
        async with next_process(run) as after:
            assert (await after.next(Ended)).reason == "expired"
    assert receipt(run.home).reason == "expired"


async def test_who_left_the_roster_does_not_come_back_by_a_restart(tmp_path: Path) -> None:
    async with enrolled(tmp_path, policy=ALONE, grant={}, can_ask=False) as run:
        await run.next(Opened)
        await leave(run)
        verified = run.home.trust / "verified.json"
        fields = msgspec.json.decode(verified.read_bytes())
        fields["roster"]["operators"][0]["name"] = "carol"
        verified.write_bytes(msgspec.json.encode(fields))
        async with next_process(run) as after:
            assert (await after.next(Ended)).reason == "grant-operator-unknown"
            assert not any(isinstance(event, Opened) for event in after.seen)


async def test_what_policy_took_away_meanwhile_stays_closed(tmp_path: Path) -> None:
    async with enrolled(tmp_path, policy=ALONE, grant={}, can_ask=False) as run:
        await run.next(Opened)
        await leave(run)
        run.home.policy.write_text('scopes = ["view"]')
        async with next_process(run) as after:
            assert (await after.next(Opened)).scopes == ["view"]
            console = CodeConsole(run.relay)
            console.device_key = run.relay.devices[0]
            async with console.ssh() as connection:
                with pytest.raises(asyncssh.ChannelOpenError):
                    await connection.create_process("true")


async def test_a_relay_that_ended_it_meanwhile_is_heeded(tmp_path: Path) -> None:
    """It says so at once, before the next process has opened anything."""
    async with running(tmp_path) as run:
        await open_session(run)
        await leave(run)
        async with next_process(run) as after:
            after.process.stop("ended-by-relay")
            assert (await after.next(Ended)).reason == "ended-by-relay"
    assert receipt(run.home).reason == "ended-by-relay"


async def test_told_to_go_while_it_is_taken_up_it_stays_open(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await open_session(run)
        await leave(run)
        async with next_process(run) as after:
            after.process.leave("shutdown")
            assert await after.end() == 0
        assert row(run.home).state == "active"
        async with next_process(run) as last:
            await last.next(Opened)


# Where a pipe is dialled.


async def test_a_node_that_nobody_signed_for_is_not_dialled(tmp_path: Path) -> None:
    """The relay may name any address; the device goes to its own relay all the same."""
    async with running(tmp_path) as run, running_relay() as elsewhere:
        console = await open_session(run)
        token = os.urandom(16)
        at_home, lured = run.relay.expect(token), elsewhere.expect(token)
        await run.relay.say(
            AttachPipe(session=console.session, number=0, token=token, url=elsewhere.url)
        )
        stream = await at_home
        assert not lured.done()
        await stream.close()
        for malformed in ("http://[", "javascript:1", "http://127.0.0.1:x"):
            again = os.urandom(16)
            arriving = run.relay.expect(again)
            await run.relay.say(
                AttachPipe(session=console.session, number=0, token=again, url=malformed)
            )
            await (await arriving).close()


async def test_a_node_that_the_signed_policy_names_is_dialled(tmp_path: Path) -> None:
    async with (
        running_relay() as node,
        enrolled(tmp_path, policy=ALONE, grant={}, can_ask=False) as run,
    ):
        await run.next(Opened)
        verified = run.home.trust / "verified.json"
        fields = msgspec.json.decode(verified.read_bytes())
        fields["policy"]["relay_origins"] = [node.url]
        verified.write_bytes(msgspec.json.encode(fields))
        stream = await run.relay.open_pipe(SESSION, 0, node=node)
        await stream.close()


# A restart of the computer.


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that comes before the system's, and no systemd."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr("farhand_agent.session.restart._SYSTEMD", tmp_path / "no-systemd")
    return programs


def write_shutdown(system: Path, body: str) -> None:
    program = system / "shutdown"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


async def ask(connection: asyncssh.SSHClientConnection, line: bytes) -> dict[str, str]:
    process = await connection.create_process(subsystem="farhand-restart", encoding=None)
    process.stdin.write(line + b"\n")
    answer: dict[str, str] = msgspec.json.decode(await process.stdout.readline())
    return answer


async def test_a_restart_keeps_the_session_though_its_terminal_goes(
    tmp_path: Path, system: Path
) -> None:
    write_shutdown(system, f'echo "$@" > {tmp_path}/ran')
    async with running(tmp_path / "home") as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            first = await ask(connection, b'{"ask":true}')
            assert await ask(connection, b'{"restart":true}') == {**first, "ok": True}
            assert (tmp_path / "ran").read_text() == "-r now\n"
            assert (await run.next(Restarting)).session == SESSION
            run.process.hang_up()  # the end of the terminal's pipe
            await run.next(Paused)
            assert await run.end() == 0
        async with next_process(run) as after:
            await after.next(Opened)
            async with console.ssh() as connection:
                assert await ask(connection, b"nonsense") != first
    assert "restart this computer" in [one.detail for one in receipt(run.home).actions]


async def test_a_restart_that_the_system_refuses_changes_nothing(
    tmp_path: Path, system: Path
) -> None:
    write_shutdown(system, "exit 3")
    async with running(tmp_path / "home") as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            answer = await ask(connection, b'{"restart":true}')
            assert answer["error"] == "reboot-failed"
            await run.next(Restarting)
            run.process.hang_up()
            assert (await run.next(Ended)).reason == "stopped"


async def test_without_the_terminal_nobody_restarts_anything(tmp_path: Path, system: Path) -> None:
    write_shutdown(system, f"touch {tmp_path}/ran")
    async with running(tmp_path / "home", scopes=("view", "files")) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await ask(connection, b'{"restart":true}')
    assert not (tmp_path / "ran").exists()


# What the person sees of the line.


async def test_the_person_sees_the_line_come_and_go(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh():
            assert (await run.next(LineChanged)).state == "connected"
        assert (await run.next(LineChanged)).state == "idle"
        stream = await run.relay.open_pipe(SESSION, 1)
        await stream.send(b"\x03" + bytes(8) + b"p" * 16)
        assert (await run.next(LineChanged)).state == "connected"
        await stream.close()
        lost = await run.next(LineChanged)
        assert (lost.state, lost.left_s) == ("reconnecting", 300)


# The file of actions.


def action(detail: str) -> Action:
    return Action(
        at="2026-11-22T08:00:00Z", kind="exec", detail=detail, size_bytes=None, sha256=None
    )


def test_actions_outlive_a_kill_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "actions"
    file = ActionFile(path)
    for number in range(3):
        file.append(action(str(number)))
    file.omit(7)
    file.close()
    whole = path.read_bytes()
    for cut in range(len(whole), -1, -1):
        path.write_bytes(whole[:cut])
        again = ActionFile(path)
        count = max(0, whole[16:cut].count(b"\n"))
        assert [one.detail for one in again.actions] == ["0", "1", "2"][:count]
        assert again.omitted == (7 if cut >= 16 else 0) or cut < 16
        again.append(action("next"))
        again.close()
        last = ActionFile(path)
        assert [one.detail for one in last.actions][-1] == "next"
        assert len(last.actions) == count + 1
        last.close()


def test_a_damaged_file_of_actions_keeps_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "actions"
    file = ActionFile(path)
    file.append(action("good"))
    file.close()
    path.write_bytes(path.read_bytes() + b'{"at": 1}\n\xff\xff\n')
    again = ActionFile(path)
    assert [one.detail for one in again.actions] == ["good"]
    again.remove()
    again.close()
    assert not path.exists()


async def test_a_full_disk_does_not_end_the_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = ActionFile(tmp_path / "actions")
    os.close(file._descriptor)  # every write fails from now on
    file.append(action("one"))
    file.append(action("two"))
    await file.settle()
    assert len([one for one in caplog.records if "could not be written" in one.message]) == 1
