"""The bulk half of the session suites, in a process of its own as `farhand cp` is.

    python -m bench.session_bulk HOME SESSION

Joins the session, says `ready`, then for each line `get|put SECONDS SOURCE TARGET` on its stdin
copies the file again and again, as cp does, and answers the rate in MB/s.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh

from bench.session_stage import Opened
from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_console.session.files import Copying, Endpoint
from farhand_console.session.record import load
from farhand_console.session.ssh import connect_ssh

__all__ = ["Bulk", "Quiet", "bulk"]


class Quiet:
    """A progress that nobody watches."""

    def begin(self, size_bytes: int, files: int) -> None:
        """Say nothing."""

    def advance(self, size_bytes: int) -> None:
        """Say nothing."""


class Bulk:
    """The process, as a suite sees it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, way: str, seconds: float, source: Path, target: Path) -> None:
        """Begin to copy."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{way} {seconds} {source} {target}\n".encode())
        self._process.stdin.flush()

    async def rate(self) -> float:
        """Return the rate of what `start` began, once it is over, in MB/s."""
        assert self._process.stdout is not None
        return float(await asyncio.to_thread(self._process.stdout.readline))


@contextlib.asynccontextmanager
async def bulk(opened: Opened) -> AsyncIterator[Bulk]:
    """Run the process."""
    words = [sys.executable, "-m", "bench.session_bulk", str(opened.console.home), opened.session]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if await asyncio.to_thread(process.stdout.readline) != b"ready\n":
            raise AssertionError("the bulk process did not join the session")
        yield Bulk(process)
    finally:
        await asyncio.to_thread(process.communicate)


async def _copy(connection: asyncssh.SSHClientConnection, words: list[str]) -> float:
    way, seconds, source, target = words
    far, near = Endpoint("s", source), Endpoint(None, target)
    ends = (far, near) if way == "get" else (Endpoint(None, source), Endpoint("s", target))
    start, size = time.perf_counter(), 0
    while time.perf_counter() - start < float(seconds):
        copying = Copying(*ends, recurse=False, resume=False, progress=Quiet())
        size += (await copying.run(connection)).size_bytes
    return size / 1e6 / (time.perf_counter() - start)


async def _serve(home: str, session: str) -> None:
    context = Context(Home(Path(home)), as_json=True)
    record = load(context.home, session)
    async with connect_ssh(
        context.home, context.relay, record, notice=lambda words: print(words, file=sys.stderr)
    ) as connection:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await _copy(connection, line.split()), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
