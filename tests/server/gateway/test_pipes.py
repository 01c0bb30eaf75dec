"""The blind splice: tokens, joining, backpressure, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.frames import write_attach
from farhand_server.gateway.limits import GatewayLimits
from farhand_server.gateway.pipes import Pipes, Splice
from farhand_server.relay import Relay
from tests.server.gateway.nodes import Node, attach, closed, open_node, receive_bytes
from tests.server.relays import ManualClock

SESSION = "s-" + "a" * 16
OTHER = "s-" + "b" * 16


def offer(node: Node, number: int = 0, session: str = SESSION) -> tuple[Splice, bytes, bytes]:
    splice = node.gateway.pipes.offer(session, number)
    return splice, splice.tokens["device"], splice.tokens["console"]


async def joined(node: Node) -> tuple[ClientConnection, ClientConnection]:
    _, for_device, for_console = offer(node)
    device = await attach(node, "device", SESSION, for_device)
    return device, await attach(node, "console", SESSION, for_console)


async def test_bytes_go_through_both_ways(node: Node) -> None:
    device, console = await joined(node)
    blobs = [os.urandom(size) for size in (1, 125, 126, 65_536, 131_072)] + [b""]
    for blob in blobs:
        await device.send(blob)
        await console.send(blob[::-1])
    assert [await receive_bytes(console) for _ in blobs] == blobs
    assert [await receive_bytes(device) for _ in blobs] == [blob[::-1] for blob in blobs]
    assert node.gateway.pipes.bytes_spliced == 2 * sum(map(len, blobs))


async def test_what_the_first_side_sends_early_is_not_lost(node: Node) -> None:
    _, for_device, for_console = offer(node)
    device = await connect(f"{node.url}/pipe", compression=None)
    device.protocol.send_binary(write_attach("device", SESSION, for_device))
    for number in range(10):
        device.protocol.send_binary(b"%d" % number)
    device.transport.write(b"".join(device.protocol.data_to_send()))
    await receive_bytes(device)
    console = await attach(node, "console", SESSION, for_console)
    assert [await receive_bytes(console) for _ in range(10)] == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize(
    ("side", "session", "which"),
    [
        ("console", SESSION, 0),
        ("device", OTHER, 0),
        ("device", SESSION, 2),
    ],
    ids=["other side", "other session", "made up"],
)
async def test_a_token_opens_one_place_only(
    node: Node, side: str, session: str, which: int
) -> None:
    offer(node, session=OTHER)
    _, for_device, for_console = offer(node)
    token = (for_device, for_console, os.urandom(16))[which]
    with pytest.raises(RemoteError, match="attach-refused"):
        await attach(node, side, session, token)  # type: ignore[arg-type]


async def test_a_token_works_once(node: Node) -> None:
    _, for_device, _ = offer(node)
    await attach(node, "device", SESSION, for_device)
    with pytest.raises(RemoteError, match="attach-refused"):
        await attach(node, "device", SESSION, for_device)


async def test_a_token_expires(node: Node) -> None:
    _, for_device, _ = offer(node)
    node.advance(61)
    with pytest.raises(RemoteError, match="attach-refused"):
        await attach(node, "device", SESSION, for_device)
    assert len(node.gateway.pipes) == 0


async def test_a_side_that_waits_is_let_go(node: Node) -> None:
    _, for_device, for_console = offer(node)
    device = await attach(node, "device", SESSION, for_device)
    node.advance(61)
    assert await closed(device) == (4001, "pipe-half-open")
    with pytest.raises(RemoteError, match="attach-refused"):
        await attach(node, "console", SESSION, for_console)


@pytest.mark.parametrize("frame", [b"", b"x" * 60, write_attach("device", SESSION, b"t" * 16)[:-1]])
async def test_a_malformed_attachment_is_refused(node: Node, frame: bytes) -> None:
    async with connect(f"{node.url}/pipe", compression=None) as ws:
        await ws.send(frame)
        assert await closed(ws) == (1008, "attach-malformed")


async def test_a_new_offer_takes_the_old_place(node: Node) -> None:
    device, console = await joined(node)
    _, for_device, for_console = offer(node)
    assert await closed(device) == (4001, "pipe-replaced")
    assert await closed(console) == (4001, "pipe-replaced")
    await attach(node, "device", SESSION, for_device)
    await attach(node, "console", SESSION, for_console)
    assert len(node.gateway.pipes) == 1


async def test_when_one_side_is_cut_the_other_may_reattach(node: Node) -> None:
    device, console = await joined(node)
    await device.send(b"last words")
    assert await receive_bytes(console) == b"last words"
    device.transport.abort()
    assert await closed(console) == (4001, "pipe-detached")


async def test_a_clean_end_is_passed_on_after_the_data(node: Node) -> None:
    device, console = await joined(node)
    blob = os.urandom(100_000)
    for _ in range(20):
        await device.send(blob)
    await device.close(1000)
    got = [await receive_bytes(console) for _ in range(20)]
    assert got == [blob] * 20
    assert (await closed(console))[0] == 1000


async def test_the_end_of_a_session_closes_its_pipes(node: Node) -> None:
    device, console = await joined(node)
    node.gateway.pipes.end_session(SESSION)
    assert await closed(device) == (4002, "session-ended")
    assert await closed(console) == (4002, "session-ended")
    assert len(node.gateway.pipes) == 0


async def test_an_oversized_message_ends_the_pipe(node: Node) -> None:
    device, console = await joined(node)
    await device.send(b"x" * (128 * 1024 + 1))
    assert (await closed(device))[0] == 1009
    assert await closed(console) == (4001, "pipe-detached")


async def test_text_ends_the_pipe(node: Node) -> None:
    device, console = await joined(node)
    await device.send("text")
    assert (await closed(device))[0] == 1003
    assert await closed(console) == (4001, "pipe-detached")


async def test_a_slow_reader_stops_its_sender(node: Node) -> None:
    device, console = await joined(node)
    console.transport.pause_reading()
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while sent < 4_000:
            await device.send(b"x" * 65_536)
            sent += 1

    sending = asyncio.create_task(flood())
    before = -1
    while before != sent or sent == 0:
        before = sent
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
    # 250 MB were on offer; what was taken lies in the buffers of the kernel and the two clients.
    assert sent * 65_536 < 40_000_000
    splice = node.gateway.pipes._splices[SESSION, 0]
    for end in splice.ends.values():
        assert end._connection.unsent_bytes < 1024 * 1024
    # While it stands the sender is not taken for dead, and afterwards nothing is missing.
    console.transport.resume_reading()
    for _ in range(4_000):
        assert len(await receive_bytes(console)) == 65_536
    await sending


async def test_a_dead_reader_is_found_and_its_sender_may_reattach(node: Node) -> None:
    device, console = await joined(node)
    console.transport.pause_reading()
    for _ in range(5):
        if device.close_code is None:
            node.advance(25)
            # Whether the answer or the end comes first depends on where in its beat it is.
            with contextlib.suppress(ConnectionClosed):
                await (await device.ping())
    assert await closed(device) == (4001, "pipe-detached")


async def test_numbers_and_room_are_bounded(relay: Relay, clock: ManualClock) -> None:
    async with open_node(relay, clock, limits=GatewayLimits(pipes=2)) as node:
        pipes: Pipes = node.gateway.pipes
        for number in (-1, 8):
            with pytest.raises(FarhandError, match="pipe-number"):
                pipes.offer(SESSION, number)
        pipes.offer(SESSION, 0)
        pipes.offer(SESSION, 7)
        pipes.offer(SESSION, 7)
        with pytest.raises(FarhandError, match="relay-full"):
            pipes.offer(SESSION, 1)
        node.advance(61)
        pipes.offer(SESSION, 1)
