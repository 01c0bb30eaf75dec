"""A node with a real port, and devices that dial it: what the gateway's tests are made of."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import uvicorn
from sqlalchemy import insert, select
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from farhand_protocol import messages
from farhand_protocol.frames import Side, parse_attach_reply, write_attach
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner, verify
from farhand_protocol.link import DeviceHandshake, Role
from farhand_server.api import sessions as sessions_api
from farhand_server.gateway.limits import GatewayLimits
from farhand_server.gateway.node import Gateway, make_gateway
from farhand_server.gateway.protocol import Connection
from farhand_server.relay import Relay
from farhand_server.store.schema import audit as audit_table
from farhand_server.store.schema import devices
from tests.server.relays import TENANT, ManualClock, serving

M = TypeVar("M")

RELAY_KEY = SeedSigner(b"\x07" * 32).public_key


async def settle(relay: Relay) -> None:
    """Let all background work of the relay run to its end; no loops are running in these tests."""
    async with asyncio.timeout(20):
        while len(relay.tasks):
            await asyncio.sleep(0)


class Node:
    """A relay node that listens; time moves only with `advance`."""

    def __init__(self, relay: Relay, gateway: Gateway, port: int, clock: ManualClock) -> None:
        self.relay = relay
        self.gateway = gateway
        self.port = port
        self.clock = clock
        self.closed: list[tuple[str, int, str]] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def advance(self, seconds: float) -> None:
        """Move the time and run what is due, tick by tick as the node would."""
        for _ in range(max(1, int(seconds))):
            self.clock.advance(seconds / max(1, int(seconds)))
            self.gateway.wheel.advance(self.clock.monotonic())

    async def audited(self, action: str) -> int:
        """Return how many audit records have this action."""
        await settle(self.relay)
        async with self.relay.db.read() as c:
            rows = await c.execute(select(audit_table.c.action))
            return sum(row.action == action for row in rows)


@asynccontextmanager
async def open_node(
    relay: Relay, clock: ManualClock, *, limits: GatewayLimits | None = None, node_url: str = ""
) -> AsyncIterator[Node]:
    """Serve a relay on a free port of the loopback."""
    gateway = Gateway(
        relay, limits=limits or GatewayLimits(), node_url=node_url or "http://127.0.0.1:1"
    )
    relay._services[make_gateway] = gateway
    await gateway.open()

    class Listener(Connection):
        __slots__ = ()
        opener = gateway.doorway

    with serving(relay, [sessions_api.AREA]) as app:
        config = uvicorn.Config(app, ws=Listener, lifespan="off", log_config=None, access_log=False)
        config.load()
        state = ServerState()

        def protocol() -> asyncio.Protocol:
            make: Any = config.http_protocol_class
            made: asyncio.Protocol = make(config=config, server_state=state, app_state={})
            return made

        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if not node_url:
            gateway.rendezvous._pipe_url = f"ws://127.0.0.1:{port}/pipe"
        try:
            yield Node(relay, gateway, port, clock)
        finally:
            server.close()
            for connection in list(state.connections):
                connection.shutdown()
                if isinstance(connection, Connection):
                    connection.abort()
            await settle(relay)


class Device:
    """A device's key, and links made with it."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.signer = SeedSigner(seed or os.urandom(32))
        self.key = self.signer.public_key
        self.id = device_id(self.key)

    async def enrol(self, relay: Relay, *, retired: bool = False) -> None:
        """Put the device's row into the database, as enrolment does."""
        async with relay.db.write() as c:
            await c.execute(
                insert(devices).values(
                    tenant=TENANT, id=self.id, key=self.key, name="box", device_group="default",
                    token="t-1", enrolment=b"", confirmed=True, os="debian", host_name="box",
                    agent_version="0", enrolled_at=relay.stamp(),
                    retired_at=relay.stamp() if retired else None,
                )
            )  # fmt: skip

    def handshake(self, role: Role, tenant: str = TENANT) -> DeviceHandshake:
        pin = RELAY_KEY if tenant else None
        return DeviceHandshake(role, tenant, self.key, pin, nonce=os.urandom(32))

    async def dial(self, node: Node, role: Role = "device", tenant: str = TENANT) -> LinkEnd:
        """Open a link and prove the key; the welcome is read."""
        ws = await connect(f"{node.url}/agent", compression=None, ping_interval=None)
        shake = self.handshake(role, tenant)
        await ws.send(shake.hello())
        key, signature, message = shake.receive_challenge(await receive_bytes(ws))
        assert verify(key, signature, message)
        await ws.send(self.signer.sign(shake.message_to_sign()))
        end = LinkEnd(ws)
        end.welcome = await end.receive(messages.Welcome)
        return end

    async def present(
        self, node: Node, role: Role = "device", tenant: str = TENANT, session: str | None = None
    ) -> LinkEnd:
        """Open a link and say what is running here."""
        end = await self.dial(node, role, tenant)
        await end.send(
            messages.Present(agent_version="0", host_name="box", os="debian", session=session)
        )
        return end


async def receive_bytes(ws: ClientConnection) -> bytes:
    async with asyncio.timeout(10):
        data = await ws.recv()
    assert isinstance(data, bytes)
    return data


class LinkEnd:
    """The device's end of an open link."""

    welcome: messages.Welcome

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws

    async def send(self, message: messages.DeviceMessage) -> None:
        await self.ws.send(messages.encode_message(message))

    async def receive(self, kind: type[M]) -> M:
        message = messages.decode_relay_message(await receive_bytes(self.ws))
        assert isinstance(message, kind), message
        return message

    async def closed(self) -> tuple[int, str]:
        return await closed(self.ws)

    async def close(self) -> None:
        await self.ws.close()


async def closed(ws: ClientConnection) -> tuple[int, str]:
    """Read to the end and return the relay's close code and reason; (1006, "") if it was cut."""
    async with asyncio.timeout(10):
        try:
            while True:
                await ws.recv()
        except ConnectionClosed as error:
            received = error.rcvd
    return (1006, "") if received is None else (received.code, received.reason)


async def attach(node: Node, side: Side, session: str, token: bytes) -> ClientConnection:
    """Dial `/pipe` and attach."""
    ws = await connect(f"{node.url}/pipe", compression=None, ping_interval=None)
    await ws.send(write_attach(side, session, token))
    parse_attach_reply(await receive_bytes(ws))
    return ws


@asynccontextmanager
async def cut_clients(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Cut whatever websocket a test opened and left, so that no socket outlives its test."""
    made: list[ClientConnection] = []
    original = ClientConnection.connection_made

    def record(self: ClientConnection, transport: asyncio.BaseTransport) -> None:
        made.append(self)
        original(self, transport)

    monkeypatch.setattr(ClientConnection, "connection_made", record)
    yield
    for one in made:
        one.transport.abort()
    await asyncio.gather(*(one.wait_closed() for one in made))
