"""The real relay is killed in the middle of an upload and of a session, and started again.

Everything here is the product as a person runs it (tests/support/stage.py): SQLite, one relay, one
agent, one console.  The resumable pipe goes on where it was; nothing is lost and nothing doubled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import AgentHome, ConsoleHome, Process, Stage

pytestmark = pytest.mark.slow

SIZE = 48 * 1024 * 1024


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, ConsoleHome, AgentHome]]:
    with Stage() as stage:
        admin, _ = stage.settle(library=False)
        stage.start_relay()
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        yield stage, admin, agent


@pytest.fixture
def session(stage: tuple[Stage, ConsoleHome, AgentHome]) -> Iterator[str]:
    _, admin, agent = stage
    shown = agent.code("--yes")
    opened = admin.json("session", "open", "--code", shown.next_json()["code"])
    yield str(opened["session"])
    admin.json("session", "end", str(opened["session"]))
    shown.end()


def kill_and_restart(stage: Stage) -> None:
    """End the relay by SIGKILL and start it on what is on its disk."""
    assert stage.relay is not None
    stage.relay.end(signal.SIGKILL)
    stage.start_relay()


def grown(folder: Path, name: str, at_least: int, process: Process) -> None:
    """Wait until a file that is being written has so many bytes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sizes = [one.stat().st_size for one in folder.glob(f"*{name}*")]
        if sizes and max(sizes) >= at_least:
            return
        assert process.popen.poll() is None, process.failed("the copy ended too early")
        time.sleep(0.002)  # the file grows in another process
    raise process.failed("the copy did not begin")


def test_an_upload_goes_on_after_the_relay_was_killed(
    stage: tuple[Stage, ConsoleHome, AgentHome], session: str, tmp_path: Path
) -> None:
    house, admin, _ = stage
    data = os.urandom(SIZE)
    source, folder = tmp_path / "source", tmp_path / "there"
    folder.mkdir()
    source.write_bytes(data)
    copying = admin.start("cp", str(source), f"{session}:{folder}/landed")
    grown(folder, "landed", 1024 * 1024, copying)
    kill_and_restart(house)
    assert copying.popen.wait(100) == 0, copying.failed("the copy failed")
    assert (folder / "landed").read_bytes() == data
    assert [one.name for one in folder.iterdir()] == ["landed"]
    assert not any("Traceback" in line for line in copying.stderr_lines)


def test_a_session_goes_on_after_the_relay_was_killed(
    stage: tuple[Stage, ConsoleHome, AgentHome], session: str, tmp_path: Path
) -> None:
    """A command that was running goes on, its output comes whole, and it ran once."""
    house, admin, _ = stage
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    command = (
        f"echo ran >> {trace}; echo before; while [ ! -e {gate} ]; do sleep 0.1; done;"
        " seq 1 20000; exit 7"
    )
    running = house.start(admin.words("exec", session, "--", command))
    assert running.wait_line("before", stream="stdout") == "before"
    kill_and_restart(house)
    gate.touch()
    assert running.popen.wait(100) == 7, running.failed("the command was lost")
    running.end()
    count = [line for line in running.stdout_lines if line.isdigit()]
    # The stage keeps ten thousand lines; those must be the first ones in order.
    assert count == [str(one) for one in range(1, len(count) + 1)]
    assert len(count) > 9_000
    assert trace.read_text() == "ran\n"
    done = admin.run("exec", session, "--", "echo", "again")
    assert done.stdout == b"again\n"


def test_the_device_is_back_and_takes_orders(
    stage: tuple[Stage, ConsoleHome, AgentHome],
) -> None:
    house, admin, agent = stage
    kill_and_restart(house)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = admin.json("device", "list")["items"]
        if [one["online"] for one in listed if one["id"] == agent.device] == [True]:
            return
        time.sleep(0.2)  # the agent waits a random part of its window
    raise AssertionError("the device did not come back")
