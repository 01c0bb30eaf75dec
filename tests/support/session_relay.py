"""A relay in the test itself, for session processes: real handshake, real messages, a splice.

It has no accounts, no store and no rules, so that a test decides what the relay does next, hostile
things included.  The device's side is real (websockets, `farhand_protocol`); the console's side is
the test, which calls `claim`, `blob` and `open_pipe`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Literal

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from farhand_agent.session.pipes import StreamLost
from farhand_protocol.frames import TOKEN_BYTES, parse_attach, write_attach_reply
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner, verify
from farhand_protocol.link import RelayHandshake
from farhand_protocol.messages import (
    Ack,
    AllocateNameplate,
    AttachPipe,
    DeviceMessage,
    FetchTrust,
    JoinReport,
    MailboxBlob,
    MailboxOpen,
    MailboxReply,
    Nack,
    Nameplate,
    Present,
    RecordingChunk,
    RelayMessage,
    SessionReport,
    TrustFile,
    Welcome,
    Witnessed,
    decode_device_message,
    encode_message,
)
from farhand_protocol.recording import open_head, sign_witness

RELAY_SEED = bytes(range(64, 96))


class RelayStream:
    """One websocket of a device's pipe, as the console's end sees it through a blind relay."""

    def __init__(self, websocket: ServerConnection) -> None:
        self._websocket = websocket
        self.done = asyncio.Event()

    async def send(self, message: bytes) -> None:
        try:
            await self._websocket.send(message)
        except ConnectionClosed as error:
            raise StreamLost from error

    async def receive(self) -> bytes:
        try:
            message = await self._websocket.recv()
        except ConnectionClosed as error:
            raise StreamLost from error
        assert isinstance(message, bytes)
        return message

    async def close(self) -> None:
        self.done.set()
        await self._websocket.close()


class SessionRelay:
    """The relay; see `running_relay`."""

    def __init__(self) -> None:
        self.signer = SeedSigner(RELAY_SEED)
        self.url = ""
        self.standing: Literal["enrolled", "guest", "unknown", "retired"] = "guest"
        self.timestamp_version = 0
        self.nameplates: asyncio.Queue[str] = asyncio.Queue()
        self.replies: asyncio.Queue[MailboxReply] = asyncio.Queue()
        self.reports: asyncio.Queue[SessionReport] = asyncio.Queue()
        self.joins: asyncio.Queue[JoinReport] = asyncio.Queue()
        self.presents: list[Present] = []
        self.devices: list[bytes] = []
        self.acknowledge = True
        self.chunks: list[RecordingChunk] = []
        self.refuses_chunks = ""
        self._next = 4071
        self._link: ServerConnection | None = None
        self._linked = asyncio.Event()
        self._pipes: dict[bytes, asyncio.Future[RelayStream]] = {}

    async def handle(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        try:
            if websocket.request.path == "/pipe":
                await self._pipe(websocket)
            else:
                await self._agent(websocket)
        except ConnectionClosed:
            return  # the device went; its next connection is another call

    async def _agent(self, websocket: ServerConnection) -> None:
        handshake = RelayHandshake(self.signer.public_key, nonce=os.urandom(32))
        hello = await websocket.recv()
        assert isinstance(hello, bytes)
        signature = self.signer.sign(handshake.receive_hello(hello))
        await websocket.send(handshake.challenge(signature))
        proof = await websocket.recv()
        assert isinstance(proof, bytes)
        assert verify(*handshake.receive_proof(proof))
        self.devices.append(handshake.device_key)
        welcome = Welcome(
            standing=self.standing,
            ping_s=20,
            reconnect_window_s=0.0,
            now=format_instant(datetime.now(UTC)),
            timestamp_version=self.timestamp_version,
        )
        await websocket.send(encode_message(welcome))
        self._link = websocket
        self._linked.set()
        try:
            async for data in websocket:
                assert isinstance(data, bytes)
                await self._on_message(websocket, decode_device_message(data))
        finally:
            if self._link is websocket:
                self._link = None
                self._linked.clear()

    async def _on_message(self, websocket: ServerConnection, message: DeviceMessage) -> None:
        answer: RelayMessage | None = None
        match message:
            case Present():
                self.presents.append(message)
            case AllocateNameplate():
                nameplate = str(self._next)
                self._next += 1
                answer = Nameplate(seq=message.seq, nameplate=nameplate, expires_in_s=600)
                await self.nameplates.put(nameplate)
            case MailboxReply():
                await self.replies.put(message)
            case SessionReport():
                await self.reports.put(message)
                answer = Ack(seq=message.seq) if self.acknowledge else None
            case JoinReport():
                await self.joins.put(message)
                answer = Ack(seq=message.seq)
            case RecordingChunk():
                answer = self._chunk(message)
            case FetchTrust():
                answer = TrustFile(seq=message.seq, total=-1, body=b"")
            case _:
                raise AssertionError(f"a session link does not say {message}")
        if answer is not None:
            await websocket.send(encode_message(answer))

    def _chunk(self, message: RecordingChunk) -> RelayMessage:
        if self.refuses_chunks:
            return Nack(seq=message.seq, code=self.refuses_chunks, message="no")
        self.chunks.append(message)
        at = format_instant(datetime.now(UTC))
        witness = sign_witness(open_head(message.head), at, self.signer)
        return Witnessed(seq=message.seq, at=at, signature=witness.signature)

    async def _pipe(self, websocket: ServerConnection) -> None:
        frame = await websocket.recv()
        assert isinstance(frame, bytes)
        side, _, token = parse_attach(frame)
        future = self._pipes.pop(token, None)
        if side != "device" or future is None:
            await websocket.send(write_attach_reply(False))
            return
        await websocket.send(write_attach_reply(True))
        stream = RelayStream(websocket)
        future.set_result(stream)
        await stream.done.wait()

    # What the test, as the console or as a hostile relay, has it do.

    async def say(self, message: RelayMessage) -> None:
        """Send a message on the device's link, once there is one."""
        while self._link is None:
            await self._linked.wait()
        await self._link.send(encode_message(message))

    async def claim(
        self,
        session: str,
        nameplate: str,
        *,
        operator: str = "bob",
        ticket: str = "FH-1",
    ) -> None:
        """Tell the device that a console claimed its nameplate."""
        await self.say(
            MailboxOpen(
                session=session,
                nameplate=nameplate,
                operator=operator,
                organisation="Acme",
                ticket=ticket,
            )
        )

    async def blob(self, session: str, phase: str, body: bytes) -> MailboxReply:
        """Carry a console's blob and return the device's answer."""
        await self.say(MailboxBlob(session=session, phase=phase, body=body))
        return await self.replies.get()

    async def open_pipe(
        self, session: str, number: int, *, node: SessionRelay | None = None
    ) -> RelayStream:
        """Have the device dial a pipe, here or at another node, and return the console's end."""
        token = os.urandom(TOKEN_BYTES)
        future = (node or self).expect(token)
        url = node.url if node is not None else ""
        await self.say(AttachPipe(session=session, number=number, token=token, url=url))
        return await future

    def expect(self, token: bytes) -> asyncio.Future[RelayStream]:
        """Take the device that shows this token."""
        future: asyncio.Future[RelayStream] = asyncio.get_running_loop().create_future()
        self._pipes[token] = future
        return future

    async def drop_link(self) -> None:
        """Cut the device's link."""
        link, self._link = self._link, None
        self._linked.clear()
        if link is not None:
            await link.close()


@asynccontextmanager
async def running_relay() -> AsyncIterator[SessionRelay]:
    """Run a relay on a free port of 127.0.0.1."""
    relay = SessionRelay()
    async with serve(relay.handle, "127.0.0.1", 0, compression=None, max_size=2**20) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        relay.url = f"http://127.0.0.1:{port}"
        yield relay
