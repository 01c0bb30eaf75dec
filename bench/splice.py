"""Raw bytes through the relay's pipe, a bare websocket splice, and websocat.

Each splice runs in a process of its own; one sender and one receiver run here.  64 KiB binary
messages, compression off, the receiver counts.  MB are 10^6 bytes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from bench.device import SimulatedDevice
from bench.report import Figure, percentile
from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_protocol.frames import parse_attach_reply, write_attach
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import (
    Ack,
    AllocateNameplate,
    AttachPipe,
    MailboxBlob,
    MailboxOpen,
    MailboxReply,
    Nack,
    Nameplate,
    SessionReport,
)
from tests.support.stage import Stage, free_port

__all__ = ["run"]

M = TypeVar("M")
_MESSAGE = os.urandom(64 * 1024)
_OPTIONS = {"compression": None, "max_size": 1 << 20, "proxy": None, "ping_interval": None}


async def _connected(url: str) -> ClientConnection:
    deadline = time.monotonic() + 20
    while True:
        try:
            return await connect(url, **_OPTIONS)  # type: ignore[arg-type]
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def _measure(
    sender: ClientConnection, receiver: ClientConnection, size: int, echoes: int
) -> tuple[float, float]:
    """Return (MB/s one way, round trip p50 in ms)."""
    took = []
    for _ in range(echoes):
        start = time.perf_counter()
        await sender.send(b"x")
        await receiver.recv()
        await receiver.send(b"y")
        await sender.recv()
        took.append((time.perf_counter() - start) * 1000)
    count = size // len(_MESSAGE)

    async def send() -> None:
        for _ in range(count):
            await sender.send(_MESSAGE)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        got = 0
        while got < count * len(_MESSAGE):
            got += len(await receiver.recv())
    return got / 1e6 / (time.perf_counter() - start), percentile(took, 0.5)


@contextlib.asynccontextmanager
async def _process(*words: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)


async def _bare(size: int, echoes: int) -> tuple[float, float]:
    async with _process(sys.executable, "-m", "bench.splice", "bare") as process:
        assert process.stdout is not None
        port = int(await asyncio.to_thread(process.stdout.readline))
        url = f"ws://127.0.0.1:{port}"
        async with await _connected(url) as one, await _connected(url) as other:
            return await _measure(one, other, size, echoes)


async def _websocat(size: int, echoes: int) -> tuple[float, float]:
    ports = free_port(), free_port()
    words = [f"ws-l:127.0.0.1:{port}" for port in ports]
    async with _process(
        str(Path(sys.executable).with_name("websocat")), "-b", "-E", "-B", "1048576", *words
    ):
        # Its second side listens only once the first is connected.
        async with await _connected(f"ws://127.0.0.1:{ports[0]}") as one:
            async with await _connected(f"ws://127.0.0.1:{ports[1]}") as other:
                return await _measure(one, other, size, echoes)


async def _relay(size: int, echoes: int) -> tuple[float, float]:
    """Measure a pipe of a real relay process; both its ends are here."""
    with Stage() as stage:
        stage.init_relay()
        stage.start_relay()
        admin = stage.first_admin(library=False)
        device = SimulatedDevice(stage.url, SeedSigner(os.urandom(32)), tenant="", role="session")
        await device.open()
        await device.send(AllocateNameplate(seq=1))
        nameplate = await _next(device, Nameplate)
        relay = Context(Home(admin.home), as_json=True).relay
        body = {"nameplate": nameplate.nameplate, "ticket": None, "reason": "bench"}
        claimed = await asyncio.to_thread(relay.post, "/pairings", dict[str, Any], body)
        opened = await _next(device, MailboxOpen)
        for phase in ("pake", "confirm", "request"):
            blob = {"phase": phase, "body": b"bench"}
            mailbox = f"/sessions/{claimed['session']}/mailbox"
            async with asyncio.TaskGroup() as group:
                asked = asyncio.to_thread(relay.post, mailbox, dict[str, Any], blob)
                group.create_task(asked)
                await _next(device, MailboxBlob)
                await device.send(MailboxReply(session=opened.session, phase=phase, body=b"bench"))
        expires = format_instant(datetime.now(UTC) + timedelta(minutes=30))
        await device.send(
            SessionReport(
                seq=2, session=opened.session, state="active", scopes=["view"], expires=expires
            )
        )
        await _next(device, Ack)
        path = f"/sessions/{claimed['session']}/pipes/0"
        answer = await asyncio.to_thread(relay.post, path, dict[str, Any])
        attach = await _next(device, AttachPipe)
        url = stage.url.replace("http", "ws", 1) + "/pipe"
        console = base64.b64decode(answer["token"])
        async with await _connected(url) as one, await _connected(url) as other:
            await one.send(write_attach("console", opened.session, console))
            await other.send(write_attach("device", opened.session, attach.token))
            for end in (one, other):
                reply = await end.recv()
                assert isinstance(reply, bytes)
                parse_attach_reply(reply)
            return await _measure(one, other, size, echoes)


async def _next(device: SimulatedDevice, kind: type[M]) -> M:
    async with asyncio.timeout(30):
        while True:
            message = await device.receive()
            if isinstance(message, kind):
                return message
            if isinstance(message, Nack):
                raise AssertionError(f"{message.code}: {message.message}")


def run(*, quick: bool) -> list[Figure]:
    """Measure the three, the relay's pipe between two runs of the bare one."""
    size, echoes = (32_000_000, 100) if quick else (512_000_000, 2000)

    async def measure() -> list[tuple[float, float]]:
        return [
            await _bare(size, echoes),
            await _relay(size, echoes),
            await _websocat(size, echoes),
            await _bare(size, echoes),
        ]

    first, relay, other, second = asyncio.run(measure())
    bulk, trip = max(first[0], second[0]), min(first[1], second[1])
    return [
        Figure("pipe splice, 64 KiB messages", relay[0], "MB/s", "bare splice", bulk),
        Figure("pipe splice, 64 KiB messages", relay[0], "MB/s", "websocat", other[0]),
        Figure("pipe round trip p50", relay[1], "ms", "bare splice", trip),
        Figure("pipe round trip p50", relay[1], "ms", "websocat", other[1]),
    ]


async def _serve_bare() -> None:
    """The baseline: two connections, each message of one sent to the other."""
    waiting: asyncio.Queue[ServerConnection] = asyncio.Queue()
    done = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        if waiting.empty():
            await waiting.put(connection)
            await done.wait()
            return
        other = await waiting.get()

        async def copy(source: ServerConnection, target: ServerConnection) -> None:
            async for message in source:
                await target.send(message)

        async with asyncio.TaskGroup() as group:
            group.create_task(copy(connection, other))
            group.create_task(copy(other, connection))
        done.set()

    async with serve(
        handle, "127.0.0.1", 0, compression=None, max_size=1 << 20, ping_interval=None
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve_bare())
