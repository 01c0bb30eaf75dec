"""Real agent processes under a hostile relay: started, watched line by line, killed.

A `Device` is one home and the processes on it.  Nothing of the agent is imported into the test to
be run there, except for enrolment and for reading what is left on the disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from farhand_agent.config import Home, Settings, load_settings
from farhand_agent.enrolment import enrol
from farhand_agent.journal import Journal
from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.messages import OfferOrder, ResultReport
from farhand_protocol.orders import Result
from farhand_protocol.tokens import parse_enrolment_token
from tests.support.hostile_relay import HostileRelay
from tests.support.stage import leave_out_most

__all__ = ["Device", "Program", "code_shown", "enrolled_device", "running_program"]

WAIT_S = 60.0
COMMAND = (sys.executable, "-P", "-m", "farhand_agent")


class Program:
    """A process of the agent and everything it wrote; both streams are read all the time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()
        assert process.stdout is not None
        assert process.stderr is not None
        self._reading = [
            asyncio.ensure_future(self._read(process.stdout, events=True)),
            asyncio.ensure_future(self._read(process.stderr, events=False)),
        ]
        self._closing = asyncio.ensure_future(self._close())

    async def _close(self) -> None:
        """Close the pipes when both streams are through; a loop that ends leaves them open.

        Not before asyncio knows the status: closing asks the process itself, and the status that it
        takes away then is "unknown" (255) to asyncio.
        """
        await asyncio.wait(self._reading)
        await self.process.wait()
        self.process._transport.close()  # type: ignore[attr-defined]

    async def _read(self, stream: asyncio.StreamReader, *, events: bool) -> None:
        while data := await stream.readline():
            line = data.decode(errors="replace").rstrip("\n")
            async with self._changed:
                if events and line.startswith("{"):
                    self.events.append(json.loads(line))
                else:
                    self.lines.append(line)
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

    def _ended(self) -> bool:
        return all(task.done() for task in self._reading)

    async def line(self, containing: str, *, since: int = 0) -> str:
        """Wait for a line that contains the words, among those after the first `since`."""

        def found() -> list[str]:
            return [one for one in self.lines[since:] if containing in one]

        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: bool(found()) or self._ended())
        assert found(), f"{containing!r} is not in {self.lines[since:]}"
        return found()[0]

    async def event(self, name: str) -> dict[str, Any]:
        """Wait for a JSON event of that name."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.events if one.get("event") == name]

        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: bool(found()) or self._ended())
        assert found(), f"no event {name!r} in {self.events} {self.lines}"
        return found()[0]

    async def wait(self) -> int:
        """Wait for its end and return the status; a traceback on the way is a failure."""
        async with asyncio.timeout(WAIT_S):
            status = await self.process.wait()
            # Children of a killed agent outlive it and hold its stderr: they are read on until they
            # end, or until the loop does.
            await asyncio.wait(self._reading, timeout=None if status >= 0 else 0.1)
        assert not any("Traceback" in line for line in self.lines), "\n".join(self.lines)
        return status

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.wait()


@asynccontextmanager
async def running_program(*arguments: str, **env: str) -> AsyncIterator[Program]:
    """Run a program for as long as the block runs; it is killed at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
        limit=2**20,
    )
    program = Program(process)
    try:
        yield program
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(10):
                    await program.wait()
            except TimeoutError:
                process.kill()
        await program.wait()


class Device:
    """One home under one relay."""

    def __init__(self, relay: HostileRelay, home: Home) -> None:
        self.relay = relay
        self.home = home
        self.env: dict[str, str] = {}

    @property
    def settings(self) -> Settings:
        """Return its config.toml."""
        return load_settings(self.home)

    @property
    def id(self) -> str:
        """Return the device id."""
        return self.settings.device

    @asynccontextmanager
    async def resident(self) -> AsyncIterator[Program]:
        """Run `farhand-agent run` and wait until it is ready."""
        words = (*COMMAND, "run", "--home", str(self.home.path))
        async with running_program(*words, **self.env) as program:
            await program.line("ready ")
            yield program

    @asynccontextmanager
    async def code(self, *options: str) -> AsyncIterator[Program]:
        """Run `farhand-agent code --json`."""
        words = (*COMMAND, "code", "--home", str(self.home.path), "--json", *options)
        async with running_program(*words, **self.env) as program:
            yield program

    def journal(self) -> Journal:
        """Open the journal; the caller closes it."""
        return Journal(self.home.journal)

    def log_kinds(self) -> list[str]:
        """Return the kinds of the device's log, oldest first."""
        journal = self.journal()
        try:
            return [one.kind for one in journal.log_records(limit=10_000)]
        finally:
            journal.close()

    def logged(self, kind: str) -> list[dict[str, Any]]:
        """Return the details of the log records of one kind."""
        journal = self.journal()
        try:
            records = journal.log_records(limit=10_000)
        finally:
            journal.close()
        return [json.loads(one.detail) for one in records if one.kind == kind]

    def result(self, message: ResultReport) -> Result:
        """Read a result, checked against the device's key."""
        envelope = decode_envelope(message.envelope)
        key = self.settings.device_key_raw
        assert signers(envelope, [key]) == {key}
        return open_payload(envelope, Result)

    async def outcome(self, order: str, data: bytes) -> Result:
        """Offer an order and return the device's next signed word about it."""

        def reports() -> list[ResultReport]:
            return [one for one in self.relay.of(ResultReport) if one.order == order]

        before = len(reports())
        link = await self.relay.link(device=self.id)
        await link.send(OfferOrder(order=order, envelope=data))
        await self.relay.until(lambda: len(reports()) > before)
        return self.result(reports()[-1])


async def enrolled_device(relay: HostileRelay, folder: Path, **token: Any) -> Device:
    """Enrol a home in this process, over the real wire."""
    home = Home.at(folder)
    await enrol(home, parse_enrolment_token(relay.token(**token)), name="desk-1")
    leave_out_most(home.path)
    return Device(relay, home)


async def code_shown(program: Program) -> tuple[str, str]:
    """Wait for the code; returns (code, nameplate)."""
    code = str((await program.event("code"))["code"])
    return code, code.partition("-")[0]
