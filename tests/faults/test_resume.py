"""A session outlives its line, its relay, a stop of its processes, and its agent.

Everything here is the product as a person runs it; between it and the relay stands one address that
cuts, closes and slows down (tests/support/front.py).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import psutil
import pytest

from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_console.session.record import load
from farhand_console.session.ssh import SessionRestarted, connect_ssh
from tests.support.faults.environment import fault_environment
from tests.support.front import Front
from tests.support.stage import AgentHome, ConsoleHome, Process, Stage

pytestmark = pytest.mark.slow

SIZE = 60_000_000
CUTS = 20
OUTAGE_S = 10.0
# Slow enough that everything happens while both copies are under way.
RATE = 3_000_000


@dataclass
class House:
    """One relay behind the front, an admin and a device whose clock can be moved."""

    front: Front
    stage: Stage
    admin: ConsoleHome
    agent: AgentHome
    clock: Path
    ordered: Path

    def open_session(self, *options: str) -> tuple[str, Process]:
        """Open a session by code; returns its id and the terminal at the device."""
        helper = self.agent.code("--yes", *options)
        opened = self.admin.json("session", "open", "--code", helper.next_json()["code"])
        for event in ("request", "session"):
            assert helper.next_json()["event"] == event
        return str(opened["session"]), helper

    def processes(self, *started: Process) -> list[psutil.Process]:
        """Return everything of the agent that runs, programs of a session included."""
        assert self.agent.process is not None
        roots = [psutil.Process(one.popen.pid) for one in (self.agent.process, *started)]
        return [*roots, *(child for root in roots for child in root.children(recursive=True))]

    def kill(self, *started: Process) -> None:
        """End all of it at once, as a loss of power does."""
        everything = self.processes(*started)
        # One after the other, those killed late would still act on the end of the first.
        strike("suspend", everything)
        strike("kill", everything)

    def start_agent(self) -> None:
        """Start the resident agent."""
        self.agent.start()

    def actions(self, session: str) -> list[tuple[str, str]]:
        """Return kind and detail of each action in the device's receipt."""
        [path] = [
            one["path"] for one in self.agent.json("receipts")["items"] if one["session"] == session
        ]
        payload = json.loads(base64.b64decode(json.loads(Path(path).read_bytes())["payload"]))
        return [(one["kind"], one["detail"]) for one in payload["actions"]]


def fake_system(folder: Path) -> Path:
    """Write programs that say they restart this computer, and do not."""
    for name in ("shutdown", "systemctl"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" > {folder}/ordered\n')
        program.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    clock = tmp_path_factory.mktemp("clock") / "ahead"
    programs = fake_system(tmp_path_factory.mktemp("programs"))
    with Front() as front, Stage() as stage:
        stage.url = front.url
        front.devices_go_to = front.others_go_to = stage.port
        stage.env |= fault_environment(clock=clock)
        stage.env["PATH"] = f"{programs}:{stage.env['PATH']}"
        admin, _ = stage.settle(library=False, url=front.url)
        stage.start_relay()
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create")["token"])
        house = House(front, stage, admin, agent, clock, programs / "ordered")
        house.start_agent()
        yield house


def strike(what: str, processes: list[psutil.Process]) -> None:
    """Kill, suspend or resume processes; those that live for a moment only may have gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            getattr(process, what)()


class Typist:
    """Types numbers into a terminal and reads each back; keeps the longest wait for a key."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.keys = 0
        self.typing = asyncio.Event()

    async def run(self, connection: asyncssh.SSHClientConnection) -> None:
        """Type until cancelled, or until the connection is lost."""
        process = await connection.create_process(
            "stty raw -echo; echo ready; exec cat", term_type="xterm", encoding=None
        )
        await process.stdout.readuntil(b"ready\n")
        loop = asyncio.get_running_loop()
        while True:
            key = b"%08d" % self.keys
            began = loop.time()
            process.stdin.write(key)
            assert await process.stdout.readexactly(len(key)) == key
            self.longest_s = max(self.longest_s, loop.time() - began)
            self.keys += 1
            self.typing.set()
            await asyncio.sleep(0.02)  # as fast as nobody types

    async def types_on(self) -> None:
        """Wait until one more key has come back."""
        self.typing.clear()
        async with asyncio.timeout(60):
            await self.typing.wait()


def grown(folder: Path, at_least: int, process: Process) -> None:
    """Wait until some file in a folder has so many bytes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(one.stat().st_size >= at_least for one in folder.iterdir()):
            return
        assert process.popen.poll() is None, process.failed("the copy ended too early")
        time.sleep(0.01)  # the file grows in another process
    raise process.failed("the copy does not go on")


async def test_a_session_outlives_whatever_happens(house: House, tmp_path: Path) -> None:
    """Twenty cuts, an outage, a killed relay, a stop with a clock jump, a killed agent."""
    session, helper = await asyncio.to_thread(house.open_session)
    up, down, there, here = (tmp_path / name for name in ("up", "down", "there", "here"))
    for folder in (there, here):
        folder.mkdir()
    sent, wanted = os.urandom(SIZE), os.urandom(SIZE)
    up.write_bytes(sent)
    down.write_bytes(wanted)
    house.front.rate = RATE
    copies = [
        house.admin.start("cp", str(up), f"{session}:{there}/landed"),
        house.admin.start("cp", f"{session}:{down}", f"{here}/landed"),
    ]
    context = Context(Home(house.admin.home), as_json=True)
    record = load(context.home, session)
    typist, dice = Typist(), random.Random(12)
    lost: list[BaseException] = []

    async def type_on() -> None:
        try:
            async with connect_ssh(
                context.home, context.relay, record, notice=lambda _: None
            ) as connection:
                await typist.run(connection)
        except* SessionRestarted as errors:
            lost.extend(errors.exceptions)

    async with asyncio.TaskGroup() as group:
        typing = group.create_task(type_on())
        await typist.types_on()
        for folder, copy in zip((there, here), copies, strict=True):
            await asyncio.to_thread(grown, folder, 1_000_000, copy)

        for _ in range(CUTS):
            await asyncio.to_thread(house.front.cut)
            await asyncio.sleep(dice.uniform(0.0, 0.4))  # anywhere in what follows a cut
        await typist.types_on()

        await asyncio.to_thread(house.front.close_for_now)
        await asyncio.sleep(OUTAGE_S)
        house.front.open_again()
        await typist.types_on()

        assert house.stage.relay is not None
        await asyncio.to_thread(house.stage.relay.end, signal.SIGKILL)
        await asyncio.to_thread(house.stage.start_relay)
        await typist.types_on()

        stopped = house.processes(helper)
        strike("suspend", stopped)
        house.clock.write_text("300")
        await asyncio.sleep(2)
        strike("resume", stopped)
        await typist.types_on()
        assert not lost
        assert all(copy.popen.poll() is None for copy in copies), "too fast to tell anything"

        house.kill(helper)
        await asyncio.to_thread(house.start_agent)
        house.front.rate = 0
        async with asyncio.timeout(60):
            await typing
    assert lost, "what ran there is gone, and that is said"
    for copy in copies:
        assert await asyncio.to_thread(copy.popen.wait, 60) == 0, copy.failed("the copy was lost")
        copy.end()
        assert not any("Traceback" in line for line in copy.stderr_lines)
    assert (there / "landed").read_bytes() == sent
    assert (here / "landed").read_bytes() == wanted
    assert typist.keys > 5  # each of them came back as it was typed
    print(f"longest key gap {typist.longest_s:.1f} s")
    # The same session still, by the same consent; its receipt holds both lives of it.
    again = await asyncio.to_thread(house.admin.run, "exec", session, "--", "echo", "again")
    assert again.stdout == b"again\n"
    ended = await asyncio.to_thread(house.admin.json, "session", "end", session)
    assert ended["receipt"] is not None
    told = await asyncio.to_thread(house.actions, session)
    assert ("link", "the agent was started again and the session went on") in told
    assert [detail for kind, detail in told if kind == "exec"][-1] == "echo again"
    assert any(detail.startswith("stty raw") for _, detail in told)
    context.relay.close()
    house.clock.unlink()


def test_a_device_restarts_and_the_session_goes_on(house: House) -> None:
    """Ordered from the console, waited for, under the same grant; the person sees both."""
    session, helper = house.open_session()
    waiting = house.admin.start("session", "reboot", session, "--wait")
    assert helper.next_json()["event"] == "restarting"
    waiting.wait_line("waiting until it is back")
    assert house.ordered.read_text() in ("shutdown -r now\n", "systemctl reboot\n")
    # The system tells everybody to go, as it does before it restarts.
    assert house.agent.process is not None
    assert house.agent.process.end(signal.SIGTERM) == 0
    helper.popen.send_signal(signal.SIGTERM)
    paused = helper.next_json()
    assert (paused["event"], paused["session"]) == ("paused", session)
    assert helper.end() == 0
    house.start_agent()
    back = waiting.next_json(timeout_s=90)
    assert (back["session"], back["back"]) == (session, True)
    assert waiting.popen.wait(20) == 0
    assert house.admin.run("exec", session, "--", "echo", "back").stdout == b"back\n"
    assert house.admin.json("session", "end", session)["receipt"] is not None
    assert ("tool", "restart this computer") in house.actions(session)


def test_stopped_is_stopped_whatever_is_killed(house: House) -> None:
    """What the person stopped while nothing ran never goes on."""
    session, helper = house.open_session()
    house.kill(helper)
    house.agent.json("stop")
    house.start_agent()
    assert house.admin.refused("exec", session, "--", "true", expect=255) == "session-ended"
    assert ("exec", "true") not in house.actions(session)


def test_a_guest_takes_its_session_up_itself(house: House) -> None:
    """Where no resident agent runs the person says so, and a new code is not needed."""
    guest = house.stage.agent("guest")
    helper = guest.code("--yes", "--url", house.stage.url)
    opened = house.admin.json("session", "open", "--code", helper.next_json()["code"])
    session = str(opened["session"])
    assert house.admin.run("exec", session, "--", "echo", "one").stdout == b"one\n"
    root = psutil.Process(helper.popen.pid)
    everything = [root, *root.children(recursive=True)]
    strike("kill", everything)
    helper.end()
    psutil.wait_procs(everything, timeout=20)  # the last of them holds the session's lock
    again = guest.code("--resume", "--url", house.stage.url)
    event = again.next_json()
    assert event == event | {"event": "session", "session": session, "resumed": True}
    assert house.admin.run("exec", session, "--", "echo", "two").stdout == b"two\n"
    assert house.admin.json("session", "end", session)["receipt"] is not None
    assert again.next_json()["event"] == "end"
    assert guest.refused("code", "--resume", "--url", house.stage.url) == "session-none"
