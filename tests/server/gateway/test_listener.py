"""What may connect at all: paths, frames before proof, sizes, counts, deadlines."""

from __future__ import annotations

import asyncio
import os

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from farhand_protocol import messages
from farhand_protocol.errors import RemoteError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.link import HELLO_BYTES, DeviceHandshake
from farhand_server.gateway.limits import GatewayLimits
from farhand_server.relay import Relay
from tests.server.gateway.nodes import Device, Node, closed, open_node, receive_bytes, settle
from tests.server.relays import TENANT, ManualClock


@pytest.mark.parametrize("path", ["/", "/api/v1/sessions", "/agent/", "/agents", "/pipe/1"])
async def test_only_two_paths_are_websockets(node: Node, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(node.url + path)
    assert refused.value.response.status_code == 404


async def test_compression_is_never_negotiated(node: Node) -> None:
    async with connect(f"{node.url}/agent", compression="deflate") as ws:
        assert ws.protocol.extensions == []


async def test_an_enrolled_device_is_welcomed(node: Node, device: Device) -> None:
    link = await device.present(node)
    assert link.welcome.standing == "enrolled"
    assert link.welcome.ping_s == 30
    assert node.gateway.presence.is_online(device.id)
    await link.close()
    await settle(node.relay)
    assert not node.gateway.presence.is_online(device.id)
    assert len(node.gateway.links) == 0
    assert node.gateway.doorway.connections == 0


def hello(device: Device, **changes: bytes) -> bytes:
    frame = bytearray(device.handshake("device").hello())
    for at, value in changes.items():
        start = int(at[1:])
        frame[start : start + len(value)] = value
    return bytes(frame)


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (lambda f: f[:-1], 1008, "handshake-malformed"),
        (lambda f: f + b"\0", 1009, None),
        (lambda f: b"", 1008, "handshake-malformed"),
        (lambda f: b"GET " + f[4:], 1008, "handshake-malformed"),
        (lambda f: f[:4] + b"\x02" + f[5:], 1008, "handshake-version"),
        (lambda f: f[:5] + b"\x09" + f[6:], 1008, "handshake-malformed"),
        (lambda f: f[:6] + b"\xff" + f[7:], 1008, "handshake-malformed"),
        (lambda f: os.urandom(100_000), 1009, None),
    ],
    ids=["short", "long", "empty", "magic", "version", "role", "tenant", "oversized"],
)
async def test_a_wrong_first_frame_ends_it(
    node: Node, device: Device, change: object, code: int, reason: str | None
) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        await ws.send(change(device.handshake("device").hello()))  # type: ignore[operator]
        got = await closed(ws)
    assert got[0] == code
    if reason is not None:
        assert got[1] == reason


async def test_text_is_not_spoken_here(node: Node) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        await ws.send("hello")
        assert await closed(ws) == (1003, "text-frame")


async def test_another_tenant_is_refused(node: Node, device: Device) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        await ws.send(device.handshake("device", "n-somebodyelse").hello())
        assert await closed(ws) == (1008, "tenant-unknown")


async def test_a_guest_cannot_open_a_device_link(node: Node, device: Device) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        await ws.send(device.handshake("device", "").hello())
        assert await closed(ws) == (1008, "tenant-unknown")


async def test_a_wrong_signature_is_refused(node: Node, device: Device) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        shake = device.handshake("device")
        await ws.send(shake.hello())
        shake.receive_challenge(await receive_bytes(ws))
        await ws.send(SeedSigner(os.urandom(32)).sign(shake.message_to_sign()))
        assert await closed(ws) == (1008, "handshake-signature")


async def test_a_replayed_proof_is_refused(node: Node, device: Device) -> None:
    shake = device.handshake("device")
    first = await connect(f"{node.url}/agent", compression=None)
    await first.send(shake.hello())
    shake.receive_challenge(await receive_bytes(first))
    proof = device.signer.sign(shake.message_to_sign())
    async with first, connect(f"{node.url}/agent", compression=None) as ws:
        # The same hello, nonce included, and the proof that was right on the other connection.
        await ws.send(shake.hello())
        await receive_bytes(ws)
        await ws.send(proof)
        assert await closed(ws) == (1008, "handshake-signature")


async def test_nothing_may_follow_the_proof_before_the_welcome(node: Node, device: Device) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        shake = device.handshake("device")
        await ws.send(shake.hello())
        shake.receive_challenge(await receive_bytes(ws))
        # Both in one write: the relay reads them together, before any row was looked up.
        ws.protocol.send_binary(device.signer.sign(shake.message_to_sign()))
        ws.protocol.send_binary(b"\x80")
        ws.transport.write(b"".join(ws.protocol.data_to_send()))
        assert await closed(ws) == (1008, "handshake-early")


async def test_two_frames_at_once_do_not_get_past_the_challenge(node: Node, device: Device) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        ws.protocol.send_binary(device.handshake("device").hello())
        ws.protocol.send_binary(b"x" * HELLO_BYTES)
        ws.transport.write(b"".join(ws.protocol.data_to_send()))
        assert await closed(ws) == (1008, "handshake-malformed")


async def test_a_silent_newcomer_is_closed(node: Node) -> None:
    async with connect(f"{node.url}/agent", compression=None) as ws:
        node.advance(11)
        assert await closed(ws) == (1008, "handshake-timeout")
    async with connect(f"{node.url}/pipe", compression=None) as ws:
        node.advance(11)
        assert await closed(ws) == (1008, "attach-timeout")


async def test_a_peer_that_never_finishes_closing_is_cut(node: Node) -> None:
    ws = await connect(f"{node.url}/agent", compression=None)
    ws.transport.pause_reading()
    node.advance(11)
    assert node.gateway.doorway.connections == 1
    node.advance(6)
    ws.transport.resume_reading()
    await ws.wait_closed()
    await settle(node.relay)
    assert node.gateway.doorway.connections == 0


async def test_unproved_connections_are_limited(relay: Relay, clock: ManualClock) -> None:
    limits = GatewayLimits(unproved=3)
    async with open_node(relay, clock, limits=limits) as node:
        held = [await connect(f"{node.url}/agent", compression=None) for _ in range(3)]
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{node.url}/agent", compression=None)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) >= 1
        await held[0].close()
        await asyncio.gather(*(ws.close() for ws in held))
        async with connect(f"{node.url}/agent", compression=None):
            pass


async def test_one_address_cannot_take_all_places(relay: Relay, clock: ManualClock) -> None:
    async with open_node(relay, clock, limits=GatewayLimits(unproved_per_address=1)) as node:
        async with connect(f"{node.url}/agent", compression=None):
            with pytest.raises(InvalidStatus):
                await connect(f"{node.url}/agent", compression=None)
            async with connect(f"{node.url}/agent", compression=None, local_addr=("127.0.0.2", 0)):
                pass


async def test_a_storm_is_shed_before_any_signature(relay: Relay, clock: ManualClock) -> None:
    limits = GatewayLimits(accept_rate=1.0, accept_burst=2)
    async with open_node(relay, clock, limits=limits) as node:
        for _ in range(2):
            await (await connect(f"{node.url}/agent", compression=None)).close()
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{node.url}/agent", compression=None)
        assert refused.value.response.status_code == 503
        assert refused.value.response.body == b"relay-busy\n"
        node.advance(2)
        await (await connect(f"{node.url}/agent", compression=None)).close()


async def test_fragments_are_put_together_within_the_bound(node: Node, device: Device) -> None:
    link = await device.dial(node)
    present = messages.encode_message(
        messages.Present(agent_version="0", host_name="box", os="debian")
    )
    await link.ws.send([present[:3], present[3:4], present[4:]])
    pong = await link.ws.ping()
    await pong
    assert link.ws.close_code is None

    async def flood() -> None:
        part = b"x" * 300_000
        await link.ws.send([part] * 5)

    sending = asyncio.create_task(flood())
    code, _ = await link.closed()
    assert code == 1009
    await asyncio.gather(sending, return_exceptions=True)


async def test_too_many_fragments_are_cut_off(node: Node, device: Device) -> None:
    link = await device.present(node)
    sending = asyncio.create_task(link.ws.send([b"x"] * 5_000))
    assert await link.closed() == (1008, "too-many-fragments")
    await asyncio.gather(sending, return_exceptions=True)


async def test_the_relays_key_is_proved_to_the_device(node: Node, device: Device) -> None:
    # `Device.dial` verifies the signature; here the pin itself is what must not match.
    async with connect(f"{node.url}/agent", compression=None) as ws:
        shake = DeviceHandshake("device", TENANT, device.key, b"\x01" * 32, nonce=os.urandom(32))
        await ws.send(shake.hello())
        with pytest.raises(RemoteError, match="relay-key-mismatch"):
            shake.receive_challenge(await receive_bytes(ws))
