"""The console's end of a pipe against a splice that cuts, restarts and refuses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from farhand_console.relay.answers import PipeToken
from farhand_console.session.pipe import ConsolePipe
from farhand_console.session.status import StatusLine
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.frames import parse_attach, write_attach_reply
from farhand_protocol.pipe import Data, ResumablePipe

SESSION = "s-aaaaaaaaaaaaaaaa"
TOKEN = bytes(16)
DEADLINE_S = 60


class Device:
    """The other end behind the splice: echoes, and drops the line when told."""

    def __init__(self) -> None:
        self.state = ResumablePipe(pipe_id=os.urandom(16))
        self.attachments = 0
        self.cut_after: list[int] = []
        self.refuse = 0
        self.received = bytearray()

    async def serve(self, websocket: ServerConnection) -> None:
        frame = await websocket.recv()
        assert isinstance(frame, bytes)
        assert parse_attach(frame) == ("console", SESSION, TOKEN)
        if self.refuse:
            self.refuse -= 1
            await websocket.send(write_attach_reply(False))
            return
        await websocket.send(write_attach_reply(True))
        self.attachments += 1
        left = self.cut_after.pop(0) if self.cut_after else None
        loop = asyncio.get_running_loop()
        self.state.attach(loop.time())
        try:
            await self._send(websocket)
            async for message in websocket:
                assert isinstance(message, bytes)
                self.state.receive_message(message, loop.time())
                for event in self.state.events():
                    if isinstance(event, Data):
                        self.received += event.data
                        self.state.send(event.data, loop.time())
                await self._send(websocket)
                if left is not None:
                    left -= 1
                    if left <= 0:
                        websocket.transport.abort()
                        return
        except (ConnectionClosed, RemoteError):
            return
        finally:
            self.state.detach(loop.time())

    async def _send(self, websocket: ServerConnection) -> None:
        for message in self.state.messages_to_send():
            await websocket.send(message)


class Relay:
    """What the pipe asks of the relay: a fresh token for each attachment."""

    certificate = None

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.answer = PipeToken(url=f"ws://127.0.0.1:{port}/pipe", token=TOKEN)
        self.errors: list[FarhandError] = []
        self.asked: list[str] = []

    def post(self, path: str, kind: type[Any]) -> PipeToken:
        self.asked.append(path)
        if self.errors:
            raise self.errors.pop(0)
        return self.answer


class Collector(asyncio.Protocol):
    """What SSH would be: gathers bytes until there are enough."""

    def __init__(self, wanted: int) -> None:
        self.data = bytearray()
        self.wanted = wanted
        self.enough = asyncio.Event()
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.data += data
        if len(self.data) >= self.wanted:
            self.enough.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)
        self.enough.set()


@pytest.fixture
def device() -> Device:
    """The device's end."""
    return Device()


@pytest.fixture
async def relay(device: Device) -> AsyncIterator[Relay]:
    """A splice on a free port."""
    server: Server
    async with serve(device.serve, "127.0.0.1", 0, compression=None) as server:
        yield Relay(next(iter(server.sockets)).getsockname()[1])


async def drive(
    relay: Relay,
    wanted: int,
    work: Callable[[ConsolePipe, Any, Collector], Awaitable[None]],
    *,
    patience_s: float = 30.0,
) -> tuple[ConsolePipe, Collector, list[str]]:
    """Run a pipe while `work` uses it."""
    words: list[str] = []
    status = StatusLine(words.append, is_terminal=False)
    pipe = ConsolePipe(relay, SESSION, 3, watch=status.show, patience_s=patience_s)  # type: ignore[arg-type]
    collector = Collector(wanted)
    transport = pipe.connect(collector)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        driver = group.create_task(pipe.run())
        await work(pipe, transport, collector)
        pipe.end()
        await driver
    return pipe, collector, words


async def send_and_wait(data: bytes, transport: Any, collector: Collector) -> None:
    for start in range(0, len(data), 50_000):
        transport.write(data[start : start + 50_000])
    await collector.enough.wait()


async def test_bytes_go_there_and_back(device: Device, relay: Relay) -> None:
    data = os.urandom(1_000_000)

    async def work(_pipe: ConsolePipe, transport: Any, collector: Collector) -> None:
        await send_and_wait(data, transport, collector)

    pipe, collector, words = await drive(relay, len(data), work)
    assert bytes(collector.data) == data
    assert relay.asked == [f"/sessions/{SESSION}/pipes/3"]
    assert (pipe.reason, collector.lost, words) == ("done", [None], [])


async def test_a_line_that_is_cut_again_and_again(device: Device, relay: Relay) -> None:
    data = os.urandom(2_000_000)
    device.cut_after = [3, 1, 5, 2]

    async def work(_pipe: ConsolePipe, transport: Any, collector: Collector) -> None:
        await send_and_wait(data, transport, collector)

    _, collector, words = await drive(relay, len(data), work)
    assert bytes(collector.data) == data
    assert bytes(device.received) == data
    assert device.attachments == 5
    assert words.count("the line is down, reconnecting (for 300 s at most)") >= 3
    assert words[-1] == "connected again"


async def test_a_device_that_still_holds_an_older_pipe(device: Device, relay: Relay) -> None:
    """Before anything came back, a pipe of this number may be begun anew on both sides."""
    old = device.state
    old.attach(0)
    old.receive_message(b"\x03" + (0).to_bytes(8, "big") + b"x" * 16, 0)
    old.detach(0)
    fresh = iter([old, ResumablePipe(pipe_id=os.urandom(16))])
    serve_one = device.serve

    async def serve_next(websocket: ServerConnection) -> None:
        device.state = next(fresh)
        await serve_one(websocket)

    async with serve(serve_next, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]

        async def work(_pipe: ConsolePipe, transport: Any, collector: Collector) -> None:
            await send_and_wait(b"hello", transport, collector)

        _, collector, _ = await drive(Relay(port), 5, work)
    assert bytes(collector.data) == b"hello"


async def test_a_device_that_lost_its_state_midway_ends_the_pipe(
    device: Device, relay: Relay
) -> None:
    device.cut_after = [2]
    first = asyncio.Event()

    async def work(pipe: ConsolePipe, transport: Any, collector: Collector) -> None:
        transport.write(b"hello")
        await collector.enough.wait()
        device.state = ResumablePipe(pipe_id=os.urandom(16))
        first.set()
        transport.write(b"more")
        await pipe.closed.wait()

    pipe, collector, _ = await drive(relay, 5, work)
    assert bytes(collector.data) == b"hello"  # never again from the beginning
    assert pipe.reason == "peer-changed"
    assert isinstance(collector.lost[0], ConnectionError)


@pytest.mark.parametrize("code", ["session-ended", "not-found", "not-permitted"])
async def test_the_relays_last_word(relay: Relay, code: str) -> None:
    relay.errors = [FarhandError(code, "over")]

    async def work(pipe: ConsolePipe, _transport: Any, _collector: Collector) -> None:
        await pipe.closed.wait()

    with pytest.raises(ExceptionGroup) as caught:
        await drive(relay, 1, work)
    assert caught.group_contains(FarhandError, match=code)
    assert relay.asked == [f"/sessions/{SESSION}/pipes/3"]


async def test_a_relay_that_comes_back_is_asked_again(device: Device, relay: Relay) -> None:
    relay.errors = [
        FarhandError("relay-unreachable", "x"),
        FarhandError("session-not-connected", "x"),
    ]
    device.refuse = 1

    async def work(_pipe: ConsolePipe, transport: Any, collector: Collector) -> None:
        await send_and_wait(b"hello", transport, collector)

    _, collector, _ = await drive(relay, 5, work)
    assert bytes(collector.data) == b"hello"
    assert len(relay.asked) == 4


async def test_a_pipe_that_never_attaches_gives_up(device: Device, relay: Relay) -> None:
    device.refuse = 100

    async def work(pipe: ConsolePipe, _transport: Any, _collector: Collector) -> None:
        await pipe.closed.wait()

    with pytest.raises(ExceptionGroup) as caught:
        await drive(relay, 1, work, patience_s=0.5)
    assert caught.group_contains(FarhandError, match="pipe-refused")


@pytest.mark.parametrize(
    ("url", "token"),
    [("ws://127.0.0.1:1/pipe", b"short"), ("http://[", TOKEN), ("ws://127.0.0.1:x/", TOKEN)],
)
async def test_a_token_that_makes_no_sense(relay: Relay, url: str, token: bytes) -> None:
    relay.answer = PipeToken(url=url, token=token)

    async def work(pipe: ConsolePipe, _transport: Any, _collector: Collector) -> None:
        await pipe.closed.wait()

    with pytest.raises(ExceptionGroup) as caught:
        await drive(relay, 1, work, patience_s=0.5)
    assert caught.group_contains(FarhandError, match=r"relay-(answer|unreachable)")


async def test_no_redirect_from_tls_to_plain(relay: Relay) -> None:
    relay.url = "https://relay.example"

    async def work(pipe: ConsolePipe, _transport: Any, _collector: Collector) -> None:
        await pipe.closed.wait()

    with pytest.raises(ExceptionGroup) as caught:
        await drive(relay, 1, work)
    assert caught.group_contains(FarhandError, match="url-insecure")
