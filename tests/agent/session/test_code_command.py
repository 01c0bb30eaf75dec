"""`farhand-agent code` as a person runs it: real processes, a real terminal, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from farhand_agent.config import Home
from farhand_agent.receipts import list_receipts
from farhand_protocol.receipts import verify_receipt
from tests.agent.session.code_console import CodeConsole
from tests.support.session_relay import SessionRelay, running_relay


class Screen:
    """A terminal: what the command writes to it, and what the person types."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.text = ""
        self._more = asyncio.Event()
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._on_readable)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self.text += data.decode("utf-8", "replace")
        self._more.set()

    async def wait_for(self, text: str) -> None:
        async with asyncio.timeout(40):
            while text not in self.text:
                self._more.clear()
                await self._more.wait()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())


class Command:
    """The running command."""

    def __init__(self, process: asyncio.subprocess.Process, screen: Screen | None) -> None:
        self.process = process
        self.screen = screen

    async def event(self, name: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(40):
            while line := await self.process.stdout.readline():
                event: dict[str, Any] = json.loads(line)
                if event["event"] == name:
                    return event
        raise AssertionError(f"no {name}")

    async def status(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 40)


@asynccontextmanager
async def command(
    relay: SessionRelay, home: Path, *options: str, terminal: bool = False
) -> AsyncIterator[Command]:
    master, slave = pty.openpty() if terminal else (-1, -1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "farhand_agent",
        "code",
        *("--home", str(home), "--url", relay.url, "--json", *options),
        stdin=slave if terminal else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=slave if terminal else asyncio.subprocess.DEVNULL,
    )
    screen = Screen(master) if terminal else None
    if terminal:
        os.close(slave)
    try:
        yield Command(process, screen)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if terminal:
            asyncio.get_running_loop().remove_reader(master)
            os.close(master)


async def test_consent_on_a_real_terminal_then_ctrl_c(tmp_path: Path) -> None:
    async with running_relay() as relay, command(relay, tmp_path, terminal=True) as run:
        console = CodeConsole(relay)
        shown = await run.event("code")
        assert set(shown) >= {"event", "code", "expires_at"}
        pairing = await console.pair(shown["code"])
        assert run.screen is not None
        run.screen.type("y\n")  # typed before the question: it must not count
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing, reason="\x1b[2Jprinter\u202e"))
            await run.screen.wait_for("Allow this? [y/N]")
            assert not asking.done()
            run.screen.type("y\n")
            decision = await asking
        assert decision.granted
        request = await run.event("request")
        assert request["words"] == console.words
        assert (request["operator"], request["organisation"]) == ("bob", "Acme")
        assert (request["ticket"], request["minutes"]) == ("FH-1", 30)
        session = (await run.event("session"))["session"]
        assert "The relay says: bob of Acme" in run.screen.text
        assert "type commands on this computer" in run.screen.text
        assert "\x1b[2J" not in run.screen.text
        assert "\\x1b[2Jprinter\\u202e" in run.screen.text
        assert "press you for this code" in run.screen.text
        async with console.ssh() as connection:
            done = await connection.run("echo hi")
            assert done.stdout == "hi\n"
            await run.screen.wait_for("echo hi")
            run.process.send_signal(signal.SIGINT)
            await asyncio.wait_for(connection.wait_closed(), 40)
        ended = await run.event("end")
        assert (ended["session"], ended["reason"]) == (session, "stopped")
        assert verify_receipt(Path(ended["receipt"]).read_bytes()).one_sided
        assert await run.status() == 0


async def test_no_on_the_terminal_is_exit_3(tmp_path: Path) -> None:
    async with running_relay() as relay, command(relay, tmp_path, terminal=True) as run:
        console = CodeConsole(relay)
        pairing = await console.pair((await run.event("code"))["code"])
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing))
            assert run.screen is not None
            await run.screen.wait_for("Allow this? [y/N]")
            run.screen.type("\n")
            decision = await asking
        assert decision.code == "consent-refused"
        assert (await run.event("refused"))["reason"] == "consent-refused"
        assert await run.status() == 3


async def test_yes_answers_and_the_farewell_ends_the_command(tmp_path: Path) -> None:
    async with running_relay() as relay:
        async with command(relay, tmp_path, "--yes", "--scope", "terminal") as run:
            console = CodeConsole(relay)
            pairing = await console.pair((await run.event("code"))["code"])
            decision = await console.ask(pairing)
            assert decision.scopes == ["terminal"]
            async with console.ssh() as connection:
                _, answer = await console.farewell(connection, "all good")
            assert answer == {"ok": True}
            assert (await run.event("end"))["reason"] == "closed"
            assert await run.status() == 0
        items = list_receipts(Home.at(tmp_path))
        assert [(one["note"], one["one_sided"]) for one in items] == [("all good", False)]


async def test_ctrl_c_before_anybody_came_is_quiet(tmp_path: Path) -> None:
    async with running_relay() as relay, command(relay, tmp_path) as run:
        await run.event("code")
        run.process.send_signal(signal.SIGINT)
        assert await run.status() == 0


async def test_the_session_ends_when_its_command_is_killed(tmp_path: Path) -> None:
    async with running_relay() as relay, command(relay, tmp_path, "--yes") as run:
        console = CodeConsole(relay)
        pairing = await console.pair((await run.event("code"))["code"])
        await console.ask(pairing)
        children = psutil.Process(run.process.pid).children()
        assert len(children) == 1
        async with console.ssh() as connection:
            process = await connection.create_process("echo $$; sleep 300")
            pid = int(await process.stdout.readline())
            run.process.kill()
            await asyncio.wait_for(connection.wait_closed(), 40)
        assert [(await relay.reports.get()).state for _ in range(2)] == ["active", "ended"]
        await asyncio.to_thread(psutil.wait_procs, children, timeout=20)
        assert not children[0].is_running()
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_wrong_option_is_a_usage_error(tmp_path: Path) -> None:
    async with running_relay() as relay, command(relay, tmp_path, "--scope", "everything") as run:
        assert await run.status() == 2
