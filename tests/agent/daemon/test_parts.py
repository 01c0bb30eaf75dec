"""Small parts of the resident agent: waits, the local socket, sessions in the journal, settings."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio import sslproto
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent import daemon, local, processes
from farhand_agent.config import Home, Settings, load_settings, write_settings
from farhand_agent.journal import Journal
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import check_url
from farhand_agent.local_server import LocalServer
from farhand_agent.locks import is_held, try_lock
from farhand_agent.reconnect import CAP_S, MAX_RETRY_AFTER_S, MAX_WINDOW_S, Backoff
from farhand_agent.session_children import MAX_TRIES, SessionChildren, stop_sessions
from farhand_agent.updates.state import UpdateState, load_state, save_state
from farhand_protocol.errors import FarhandError
from tests.agent.agents import agent
from tests.support.listeners import hang_up


@given(
    window=st.floats(allow_nan=True, allow_infinity=True),
    retry=st.floats(allow_nan=True, allow_infinity=True),
    share=st.floats(0, 1, exclude_max=True),
    failures=st.integers(0, 40),
)
def test_waits_stay_within_their_bounds(
    window: float, retry: float, share: float, failures: int
) -> None:
    backoff = Backoff(lambda: share)
    backoff.connected(window)
    for _ in range(failures):
        backoff.next_wait_s()
    wait = backoff.next_wait_s(retry_after_s=retry)
    assert 0 <= wait <= max(CAP_S, MAX_WINDOW_S) + MAX_RETRY_AFTER_S
    if retry > 0:
        assert wait >= min(retry, MAX_RETRY_AFTER_S)


def test_waits_grow_and_a_good_link_forgets_them() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next_wait_s() for _ in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    backoff.connected(7.5)
    assert backoff.next_wait_s() == 7.5


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a journal."""
    home = Home.at(tmp_path / ("a-long-folder-name-" * 9))
    home.make()
    Journal(home.journal, create=True).close()
    return home


async def test_the_socket_is_short_owner_only_and_bounded(home: Home) -> None:
    path = local.socket_path(home)
    assert len(str(path)) < 100

    async def echo(request: dict[str, object]) -> dict[str, object]:
        return {"got": request["value"]}

    async with LocalServer(home, {"echo": echo}):
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
        answer = await asyncio.to_thread(local.ask, home, {"do": "echo", "value": 5})
        assert answer == {"got": 5}
        for line, code in [
            (b'{"do": "shell"}\n', b"request-unknown"),
            (b"not json\n", b"request-malformed"),
            (b"[" * 5000 + b"\n", b"request-malformed"),
            (b"x" * 200_000 + b"\n", b""),
        ]:
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(line)
            try:
                got = await reader.read()
            except ConnectionError:
                got = b""
            finally:
                await hang_up(writer, at_once=True)
            assert code in got if code else got == b""
    assert not path.exists()


def test_the_systems_agent_has_its_socket_where_nobody_takes_the_name(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "run"
    elsewhere = local.socket_path(home)
    monkeypatch.setattr(local, "SYSTEM_HOME", home.path)
    monkeypatch.setattr(local, "_SYSTEM_RUNTIME", runtime)
    # Nobody made it, or not for this agent: where it always was.
    assert local.socket_path(home) == elsewhere
    runtime.mkdir()
    runtime.chmod(0o777)
    assert local.socket_path(home) == elsewhere
    runtime.chmod(0o755)
    path = local.socket_path(home, make=True)
    assert path.parent == runtime / "own"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    # Whatever the environment of a command says.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path)[:60])
    assert local.socket_path(home) == path
    assert local.socket_path(Home.at(tmp_path / "another")).parent != path.parent


def test_a_socket_folder_that_others_may_enter_is_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "XDG_RUNTIME_DIR", str(tmp_path)[:60] if len(str(tmp_path)) <= 60 else "/tmp"
    )
    folder = local._folder(home)
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
    before = folder.stat().st_mode
    os.chmod(folder, 0o777)
    try:
        with pytest.raises(FarhandError) as caught:
            local.socket_path(home)
    finally:
        os.chmod(folder, before)
    assert caught.value.code == "home-unusable"


def grant(journal: Journal, session: str, pid: int, started: float) -> None:
    journal.grant_session(
        session,
        grant=b"g",
        operator="bo",
        operator_key=b"k" * 32,
        organisation="Org",
        ticket="FH-1",
        scopes=["view"],
        expires="2030-01-01T00:00:00Z",
        pid=pid,
        pid_started=started,
    )


def test_stop_ends_the_very_process_and_no_other(home: Home) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        started = processes.started_at(sleeper.pid)
        journal = Journal(home.journal)
        grant(journal, "s-right", sleeper.pid, started)
        grant(journal, "s-other", sleeper.pid, started + 1)
        assert stop_sessions(journal, reason="stopped", session="s-other") == ["s-other"]
        assert sleeper.poll() is None
        assert set(stop_sessions(journal, reason="stopped")) == {"s-other", "s-right"}
        assert sleeper.wait(20) == -15
        row = journal.session("s-right")
        assert row is not None
        assert (row.state, row.reason) == ("stopping", "stopped")
        journal.close()
    finally:
        sleeper.kill()
        sleeper.wait()


async def test_sessions_of_the_dead_are_ended_and_of_the_dropped_stopped(home: Home) -> None:
    journal = Journal(home.journal)
    grant(journal, "s-dead", 2**22 + 1, 1.0)
    own = os.getpid(), processes.started_at(os.getpid())
    grant(journal, "s-alive", own[0], own[1] + 1)  # served by the lock, not by the process id
    lock = try_lock(home.session_lock("s-alive"))
    assert lock is not None
    posted = asyncio.Event()
    children = SessionChildren(home, JournalThread(journal), posted)
    watching = asyncio.ensure_future(children.run())
    async with asyncio.timeout(20):
        await posted.wait()
    other = Journal(home.journal)
    assert [row.id for row in other.live_sessions()] == ["s-alive"]
    assert [(row.kind, row.subject) for row in other.outbox()] == [("session", "s-dead")]
    assert await children.drop_operators({(b"k" * 32).hex()}, reason="operator-removed") == []
    assert await children.drop_operators(set(), reason="operator-removed") == ["s-alive"]
    row = other.session("s-alive")
    assert row is not None
    assert (row.state, row.reason) == ("stopping", "operator-removed")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    lock.release()
    assert not is_held(home.session_lock("s-alive"))
    other.close()
    journal.close()


async def test_a_session_that_cannot_be_taken_up_is_tried_and_then_buried(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("farhand_agent.session_children._CHILD_POLL_S", 0.05)
    journal = Journal(home.journal)
    session = "s-abcdefghijklmnop"
    grant(journal, session, 2**22 + 1, 1.0)  # nothing that its process could check
    posted = asyncio.Event()
    children = SessionChildren(home, JournalThread(journal), posted)
    watching = asyncio.ensure_future(children.run())
    async with asyncio.timeout(60):
        await posted.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await children.close(5.0)
    row = journal.session(session)
    journal.close()
    assert row is not None
    assert (row.state, row.reason) == ("ended", "interrupted")
    assert capsys.readouterr().err.count(f"session {session} goes on") == MAX_TRIES


def settings() -> Settings:
    return Settings(
        program="farhand-agent",
        url="http://127.0.0.1:1",
        relay_key="A" * 43 + "=",
        tls="none",
        tls_sha256="",
        tenant="n-x",
        device="d-x",
        device_key="A" * 43 + "=",
        name='näme "quoted" \\ é',
        group="default",
        root_version=1,
        root_sha256="00",
        targets_floor=1,
    )


def test_settings_survive_being_written(home: Home) -> None:
    write_settings(home, settings())
    assert load_settings(home) == settings()
    assert home.config.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("line", ["surprise = 1", "inventory_interval_s = 5", "name = 3", "="])
def test_settings_that_are_wrong_are_refused(home: Home, line: str) -> None:
    write_settings(home, settings())
    home.config.write_text(home.config.read_text() + line + "\n")
    with pytest.raises(FarhandError) as caught:
        load_settings(home)
    assert caught.value.code == "home-unusable"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8443",
        "http://[::1]:8443",
        "http://localhost",
        "https://relay.example",
        "https://relay.example:8443",
    ],
)
def test_addresses_that_are_fine(url: str) -> None:
    check_url(url)


async def test_the_command_line_answers_in_one_line(home: Home) -> None:
    nothing = await agent("status", "--home", str(home.path), "--json")
    assert nothing.json["running"] is False
    assert nothing.json["device"] is None
    assert (await agent("stop", "--home", str(home.path), "--json")).json == {"stopped": []}
    assert (await agent("receipts", "--json", FARHAND_HOME=str(home.path))).json == {
        "items": [],
        "next": None,
    }
    missing = await agent("run", "--home", str(home.path))
    assert (missing.status, missing.stdout) == (2, "")
    assert missing.stderr.startswith("farhand-agent: error: not-enrolled: ")
    usage = await agent("log", "--limit", "many")
    assert usage.status == 2
    assert usage.stderr.startswith("farhand-agent: error: usage: ")
    damaged = home.receipts / "s-x.json"
    damaged.write_text("{}")
    listed = (await agent("--home", str(home.path), "receipts", "--json")).json["items"]
    assert [one["reason"] for one in listed] == ["receipt-malformed"]


def test_a_home_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "farhand.db").touch()
    with pytest.raises(FarhandError) as caught:
        Home.at(tmp_path).make()
    assert caught.value.code == "home-foreign"


@pytest.mark.parametrize(("is_stopped", "starts"), [(False, 1), (True, 0)])
def test_who_is_told_to_stop_makes_way_for_nobody(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_stopped: bool, starts: int
) -> None:
    """SIGTERM while an update takes over: the agent ends, and the update waits for its start."""

    async def run(self: daemon.Daemon) -> None:
        await self._updates.hand_over({})
        if is_stopped:
            signal.raise_signal(signal.SIGTERM)
        await self._stopping.wait()
        self._journal.close()

    became: list[list[str]] = []
    monkeypatch.setattr(daemon.Daemon, "run", run)
    monkeypatch.setattr(os, "execv", lambda _, arguments: became.append(arguments))
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)
    write_settings(home, settings())
    journal = Journal(home.journal)
    journal.set_meta("device", settings().device)
    journal.close()
    staged = UpdateState(
        attempt="o-test", version="0.2.0", before="0.1.0", step="staged", deadline_s=1
    )
    save_state(home, staged)
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert daemon.main([str(home.path)]) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert len(became) == starts
    assert load_state(home) == staged
