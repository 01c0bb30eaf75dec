"""A relay for the agent's tests: the real wire, every answer a field that a test may change.

What it is: a websocket server that speaks the link with the protocol package, in one asyncio task
per link, and keeps what devices said. What it is not: the relay; it stores nothing and checks
nothing, and so can play a hostile one.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner, verify
from farhand_protocol.link import RelayHandshake
from farhand_protocol.messages import (
    TRUST_CHUNK_BYTES,
    Ack,
    DeviceMessage,
    Enrol,
    FetchTrust,
    HelpRequest,
    Nack,
    OrderProgress,
    Present,
    RelayMessage,
    ReportSections,
    ResultReport,
    SessionReport,
    TrustFile,
    Welcome,
    decode_device_message,
    encode_message,
)
from tests.agent.organisation import Organisation, now

M = TypeVar("M")
WAIT_S = 40.0


class TestRelay:
    """Set the fields, then let devices come."""

    __test__ = False

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation
        self.key = SeedSigner(os.urandom(32))
        self.signing_key = self.key
        self.standing: Any = "enrolled"
        self.ping_s = 20
        self.window_s = 0.0
        self.nack: dict[type, str] = {}
        self.silent: set[type] = set()
        self.refs: dict[str, str] = {}
        self.audit_head = b""
        self.http_status = 0
        self.retry_after = ""
        self.chunk_bytes = TRUST_CHUNK_BYTES
        self.tamper: Callable[[str, str, bytes], bytes] = lambda kind, name, body: body
        self.received: list[DeviceMessage] = []
        self.links: dict[str, ServerConnection] = {}
        self.roles: list[str] = []
        self.attempts = 0
        self.url = ""
        self._changed = asyncio.Condition()

    def token(self, **fields: Any) -> str:
        own: dict[str, Any] = {"url": self.url, "relay_key": self.key.public_key}
        return self.organisation.token(**own | fields)

    async def _note(self, change: Callable[[], None]) -> None:
        async with self._changed:
            change()
            self._changed.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something that this relay notes has come true."""
        async with asyncio.timeout(WAIT_S):
            async with self._changed:
                await self._changed.wait_for(true)

    def of(self, kind: type[M]) -> list[M]:
        return [message for message in self.received if isinstance(message, kind)]

    async def first(self, kind: type[M], where: Callable[[M], bool] = lambda _: True) -> M:
        """Wait for a message of a kind and return it."""
        await self.until(lambda: any(where(one) for one in self.of(kind)))
        return next(one for one in self.of(kind) if where(one))

    async def send(self, message: RelayMessage) -> None:
        """Send to the device's resident link, once there is one."""
        await self.until(lambda: "device" in self.links)
        await self.links["device"].send(encode_message(message))

    async def _serve(self, connection: ServerConnection) -> None:
        try:
            role = await self._shake_hands(connection)
            if not role:
                return
            await connection.send(
                encode_message(
                    Welcome(
                        standing=self.standing,
                        ping_s=self.ping_s,
                        reconnect_window_s=self.window_s,
                        now=format_instant(now()),
                        audit_head=self.audit_head,
                    )
                )
            )
            await self._note(lambda: self.links.__setitem__(role, connection))
            async for data in connection:
                assert isinstance(data, bytes)
                await self._answer(connection, decode_device_message(data))
        except ConnectionClosed:
            return

    async def _shake_hands(self, connection: ServerConnection) -> str:
        shake = RelayHandshake(self.key.public_key, nonce=os.urandom(32))
        hello = await connection.recv()
        assert isinstance(hello, bytes)
        signature = self.signing_key.sign(shake.receive_hello(hello))
        await connection.send(shake.challenge(signature))
        proof = await connection.recv()
        assert isinstance(proof, bytes)
        key, signed, message = shake.receive_proof(proof)
        if not verify(key, signed, message):
            await connection.close(1008, "proof-wrong")
            return ""
        await self._note(lambda: self.roles.append(shake.role))
        return shake.role

    async def _answer(self, connection: ServerConnection, message: DeviceMessage) -> None:
        await self._note(lambda: self.received.append(message))
        kind = type(message)
        if kind in self.silent or isinstance(message, Present):
            return
        seq: int = message.seq  # type: ignore[union-attr]
        if kind in self.nack:
            answer: RelayMessage = Nack(seq=seq, code=self.nack[kind], message="no")
        elif isinstance(message, FetchTrust):
            answer = self._trust_file(message)
        elif isinstance(message, HelpRequest):
            answer = Ack(seq=seq, ref=self.refs.get(message.id, ""))
        else:
            assert isinstance(
                message, Enrol | ReportSections | OrderProgress | ResultReport | SessionReport
            )
            answer = Ack(seq=seq)
        await connection.send(encode_message(answer))

    def _trust_file(self, message: FetchTrust) -> TrustFile:
        body = self.organisation.read(message.kind, message.name)
        if body is None:
            return TrustFile(seq=message.seq, total=-1, body=b"")
        body = self.tamper(message.kind, message.name, body)
        piece = body[message.offset : message.offset + self.chunk_bytes]
        return TrustFile(seq=message.seq, total=len(body), body=piece)

    def _process_request(self, connection: ServerConnection, request: Any) -> Any:
        self.attempts += 1
        if not self.http_status:
            return None
        response = connection.respond(self.http_status, "")
        if self.retry_after:
            response.headers["Retry-After"] = self.retry_after
        return response

    @asynccontextmanager
    async def running(
        self, *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> AsyncIterator[TestRelay]:
        """Listen on loopback for as long as the block runs."""
        async with serve(
            self._serve,
            "127.0.0.1",
            port,
            compression=None,
            ping_interval=None,
            ssl=tls,
            max_size=2**21,
            close_timeout=1,
            process_request=self._process_request,
        ) as server:
            number = next(iter(server.sockets)).getsockname()[1]
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{number}"
            self.port = number
            yield self
