"""Real agent processes for tests: run a command to its end, or keep the resident one running."""

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

COMMAND = [sys.executable, "-P", "-m", "farhand_agent"]
WAIT_S = 60.0


class Outcome:
    """How a command ended."""

    def __init__(self, status: int, stdout: bytes, stderr: bytes) -> None:
        self.status = status
        self.stdout = stdout.decode()
        self.stderr = stderr.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, **extra}


async def agent(*arguments: str, **env: str) -> Outcome:
    """Run one `farhand-agent` command to its end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**env),
    )
    async with asyncio.timeout(WAIT_S):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in stderr, stderr.decode()
    return Outcome(process.returncode, stdout, stderr)


class Resident:
    """A running resident agent and the lines it wrote."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, containing: str) -> str:
        """Read stderr until a line contains the words."""
        for line in self.lines:
            if containing in line:
                return line
        assert self.process.stderr is not None
        async with asyncio.timeout(WAIT_S):
            while data := await self.process.stderr.readline():
                line = data.decode().rstrip("\n")
                self.lines.append(line)
                if containing in line:
                    return line
        raise AssertionError(f"{containing!r} is not in {self.lines}")

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert self.process.stderr is not None
            rest = await self.process.stderr.read()
            self.lines += rest.decode().splitlines()
            status = await self.process.wait()
        assert not any("Traceback" in line for line in self.lines), self.lines
        return status


@asynccontextmanager
async def resident(home: Path, *arguments: str, **env: str) -> AsyncIterator[Resident]:
    """Run the resident agent for as long as the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(arguments or (*COMMAND, "run", "--home", str(home))),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**env),
    )
    running = Resident(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        # Children of a killed agent may hold its stderr: without this its pipe stays open until
        # the garbage collector finds it, in somebody else's test.
        process._transport.close()  # type: ignore[attr-defined]
