"""What the resumable pipe costs, and what a person notices while the line is cut.

Through the real relay, one agent and this process as the console, behind one address that cuts
(tests/support/front.py).  The cost is that of one upload with cuts beside one without, in the same
minute; a key gap is the time from typing a key to seeing it.  `replay peak` is the most that this
end kept because the device had not acknowledged it.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import asyncssh

from bench.report import Figure, percentile
from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_console.session import ssh
from farhand_console.session.pipe import ConsolePipe
from farhand_console.session.record import load
from farhand_console.session.ssh import connect_ssh
from tests.support.front import Front
from tests.support.stage import Stage

__all__ = ["run"]

_BLOCK = 128 * 1024
_REQUESTS = 16
_CUT_EVERY_S = (0.3, 0.8)
Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[asyncssh.SSHClientConnection]]


async def _put(connection: asyncssh.SSHClientConnection, source: Path, target: Path) -> float:
    async with connection.start_sftp_client() as sftp:
        start = time.perf_counter()
        await sftp.put(str(source), str(target), block_size=_BLOCK, max_requests=_REQUESTS)
        return time.perf_counter() - start


async def _type(connection: asyncssh.SSHClientConnection, waits: list[float]) -> None:
    process = await connection.create_process("stty raw -echo; exec cat", term_type="xterm")
    while True:
        start = time.perf_counter()
        process.stdin.write("x")
        await process.stdout.readexactly(1)
        waits.append(time.perf_counter() - start)
        await asyncio.sleep(0.02)


async def _cut(front: Front, count: int, cuts: list[int]) -> None:
    dice = random.Random(7)
    for _ in range(count):
        await asyncio.sleep(dice.uniform(*_CUT_EVERY_S))
        cuts.append(await asyncio.to_thread(front.cut))


async def _both(
    connect: Connect, folder: Path, front: Front, cuts: int
) -> tuple[float, list[float]]:
    """Upload and type at once, each on a connection of its own; returns seconds and key gaps."""
    waits: list[float] = []
    done: list[int] = []
    async with connect() as one, connect() as other, asyncio.TaskGroup() as group:
        typing = group.create_task(_type(other, waits))
        cutting = group.create_task(_cut(front, cuts, done))
        took = await _put(one, folder / "source", folder / "landed")
        await cutting
        typing.cancel()
    if (folder / "landed").read_bytes() != (folder / "source").read_bytes():
        raise AssertionError("the upload arrived with other bytes")
    return took, waits


class _Watched(ConsolePipe):
    """A pipe that remembers the most it had to keep."""

    peak = 0

    def send(self, data: bytes) -> None:
        """Append to our stream, and look how much is kept."""
        super().send(data)
        _Watched.peak = max(_Watched.peak, self.unacked_bytes)


async def _measure(
    home: Path, session: str, front: Front, size: int, cuts: int
) -> tuple[tuple[float, list[float]], tuple[float, list[float]]]:
    context = Context(Home(home), as_json=True)
    record = load(context.home, session)

    def connect() -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
        return connect_ssh(context.home, context.relay, record, notice=lambda _: None)

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "source").write_bytes(random.Random(1).randbytes(size))
        try:
            undisturbed = await _both(connect, folder, front, 0)
            return undisturbed, await _both(connect, folder, front, cuts)
        finally:
            context.relay.close()


def run(*, quick: bool) -> list[Figure]:
    """Measure an upload and a typist without cuts, then with them."""
    size, cuts = (8_000_000, 3) if quick else (96_000_000, 20)
    with Front() as front, Stage() as stage:
        stage.url = front.url
        front.devices_go_to = front.others_go_to = stage.port
        stage.init_relay(url=front.url)
        stage.start_relay()
        admin = stage.first_admin(library=False)
        agent = stage.agent("bench")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        helper = agent.code("--yes")
        opened = admin.json("session", "open", "--code", helper.next_json()["code"])
        with patch.object(ssh, "ConsolePipe", _Watched):
            (calm_s, calm), (cut_s, gaps) = asyncio.run(
                _measure(admin.home, opened["session"], front, size, cuts)
            )
    megabytes = size / 1e6
    return [
        Figure("upload", megabytes / calm_s, "MB/s"),
        Figure("upload while cut", megabytes / cut_s, "MB/s", "without cuts", megabytes / calm_s),
        Figure("cost of one cut", max(0.0, cut_s - calm_s) / cuts, "s"),
        Figure("key gap, longest, without cuts", max(calm), "s"),
        Figure("key gap, median, while cut", percentile(gaps, 0.5), "s"),
        Figure("key gap, longest, while cut", max(gaps), "s", at_most=10.0),
        Figure("replay peak of one pipe", _Watched.peak / 1e6, "MB", at_most=8.4),
    ]
