"""A relay that has turned hostile: the real wire, the real keys, and a test that drives each step.

What it is: a server on one loopback port that speaks the link, the pipe and the console's HTTP API
with the protocol package, holds the relay key (which is the TUF online key), the organisation's
whole metadata, every order and every envelope it carried, and lies where a test tells it to.  What
it is not: the product's relay; nothing is stored, checked or authorised.

    devices   -> /agent   DeviceLink: `relay.links`, each with what it received; `send`, `send_raw`
    consoles  -> /api/v1  the calls that a session needs, answered from the same memory
    both      -> /pipe    Splice: every message that went through is kept in `seen`, and `tap` may
                          change, drop, repeat or add messages

Honest unless told otherwise: `answer`, `tamper`, `claim`, `mailbox` and each splice's `tap` are the
places to lie.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.frames import (
    MAX_PIPE_MESSAGE_BYTES,
    Side,
    parse_attach,
    write_attach_reply,
)
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import verify
from farhand_protocol.link import RelayHandshake, Role
from farhand_protocol.messages import (
    TRUST_CHUNK_BYTES,
    Ack,
    AllocateNameplate,
    AttachPipe,
    DeviceMessage,
    Enrol,
    FetchTrust,
    MailboxBlob,
    MailboxOpen,
    MailboxReply,
    Nameplate,
    OfferGrant,
    Present,
    RelayMessage,
    SessionReport,
    TrustFile,
    TrustNotice,
    Welcome,
    decode_device_message,
    encode_message,
)
from farhand_protocol.tokens import Enrolment
from tests.support.hostile_organisation import HostileOrganisation, now
from tests.support.listeners import hang_up, listener

__all__ = ["DeviceLink", "HostileRelay", "Splice"]

M = TypeVar("M")
WAIT_S = 60.0
Direction = Literal["to-device", "to-console"]
_PIPES = re.compile(r"/sessions/([^/]+)/pipes/([0-7])\Z")
_MAILBOX = re.compile(r"/sessions/([^/]+)/mailbox\Z")


@dataclass(eq=False)
class DeviceLink:
    """One link whose handshake was finished."""

    connection: ServerConnection
    role: Role
    device: str
    device_key: bytes
    session: str | None = None
    received: list[DeviceMessage] = field(default_factory=list)
    closed: bool = False

    async def send(self, message: RelayMessage) -> None:
        """Send a message of the closed list."""
        await self.connection.send(encode_message(message))

    async def send_raw(self, data: bytes | str) -> None:
        """Send whatever a hostile relay likes."""
        await self.connection.send(data)

    def of(self, kind: type[M]) -> list[M]:
        """Return what came, of one kind."""
        return [one for one in self.received if isinstance(one, kind)]


class Splice:
    """One attachment of one pipe: two websockets, and what the relay saw and did between them."""

    def __init__(self, session: str, number: int) -> None:
        self.session = session
        self.number = number
        self.tokens: dict[Side, bytes] = {"device": os.urandom(16), "console": os.urandom(16)}
        self.sides: dict[Side, ServerConnection] = {}
        self.both = asyncio.Event()
        self.over = asyncio.Event()

    async def run(self, side: Side, connection: ServerConnection, relay: HostileRelay) -> None:
        """Carry one side's messages to the other until either is gone."""
        self.sides[side] = connection
        if len(self.sides) == 2:
            self.both.set()
        other: Side = "console" if side == "device" else "device"
        direction: Direction = "to-console" if side == "device" else "to-device"
        try:
            await self.both.wait()
            async for data in connection:
                assert isinstance(data, bytes)
                relay.seen.append((direction, data))
                for message in relay.tap(self, direction, data):
                    await self.sides[other].send(message)
        except ConnectionClosed:
            return
        finally:
            self.over.set()
            for one in self.sides.values():
                await one.close()

    def cut(self) -> None:
        """Lose both transports, as a relay that dies does."""
        for one in self.sides.values():
            one.transport.abort()


class HostileRelay:
    """Set the fields, then let devices and consoles come.

    Args:
        organisation: whose relay it is; it holds the online key and no other.
    """

    def __init__(self, organisation: HostileOrganisation) -> None:
        self.organisation = organisation
        self.key = organisation.relay_key
        self.links: list[DeviceLink] = []
        self.enrolments: dict[str, bytes] = {}
        self.plates: dict[str, DeviceLink] = {}
        self.splices: list[Splice] = []
        self.seen: list[tuple[Direction, bytes]] = []
        self.calls: list[str] = []
        self.url = ""
        self.operator, self.organisation_name, self.ticket = "bo", "Example Support", "FH-1"
        # The places to lie.
        self.answer: Callable[[DeviceLink, DeviceMessage], list[RelayMessage] | None] = (
            lambda link, message: None
        )
        self.tamper: Callable[[str, str, bytes], bytes] = lambda kind, name, body: body
        self.total: Callable[[str, int], int] = lambda name, length: length
        self.claim: Callable[[MailboxOpen], MailboxOpen] = lambda opened: opened
        self.mailbox: Callable[[Direction, str, bytes], bytes] = lambda way, phase, body: body
        self.device_answer: Callable[[dict[str, Any]], dict[str, Any]] = lambda told: told
        self.tap: Callable[[Splice, Direction, bytes], list[bytes]] = lambda pipe, way, data: [data]
        self.on_attach: Callable[[Splice], Awaitable[bool]] | None = None
        self._numbers = itertools.count(1)
        self._changed = asyncio.Condition()

    # Waiting.

    async def _note(self, change: Callable[[], None] = lambda: None) -> None:
        async with self._changed:
            change()
            self._changed.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something that this relay sees has come true."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(true)

    def find(
        self, role: Role, *, session: str | None = None, device: str | None = None
    ) -> DeviceLink | None:
        """Return the newest open link of a role, of one session or device where named."""
        return next(
            (
                one
                for one in reversed(self.links)
                if one.role == role
                and not one.closed
                and session in (None, one.session)
                and device in (None, one.device)
            ),
            None,
        )

    async def link(
        self, role: Role = "device", *, session: str | None = None, device: str | None = None
    ) -> DeviceLink:
        """Wait for an open link of a role."""
        await self.until(lambda: self.find(role, session=session, device=device) is not None)
        found = self.find(role, session=session, device=device)
        assert found is not None
        return found

    def of(self, kind: type[M]) -> list[M]:
        """Return everything of a kind that any device said."""
        return [one for link in self.links for one in link.of(kind)]

    async def first(self, kind: type[M], where: Callable[[M], bool] = lambda _: True) -> M:
        """Wait for a message of a kind on any link and return it."""
        await self.until(lambda: any(where(one) for one in self.of(kind)))
        return next(one for one in self.of(kind) if where(one))

    # Devices.

    def token(self, **fields: Any) -> str:
        """Return an enrolment token for this relay."""
        own: dict[str, Any] = {"url": self.url, "relay_key": self.key.public_key}
        return self.organisation.token(**own | fields)

    async def _serve_link(self, connection: ServerConnection) -> None:
        shake = RelayHandshake(self.key.public_key, nonce=os.urandom(32))
        hello = await connection.recv()
        assert isinstance(hello, bytes)
        await connection.send(shake.challenge(self.key.sign(shake.receive_hello(hello))))
        proof = await connection.recv()
        assert isinstance(proof, bytes)
        key, signed, message = shake.receive_proof(proof)
        if not verify(key, signed, message):
            await connection.close(1008, "proof-wrong")
            return
        link = DeviceLink(connection, shake.role, shake.device, shake.device_key)
        standing: Any = "enrolled" if shake.tenant else "guest"
        await link.send(
            Welcome(standing=standing, ping_s=60, reconnect_window_s=0.0, now=format_instant(now()))
        )
        await self._note(lambda: self.links.append(link))
        try:
            async for data in connection:
                assert isinstance(data, bytes)
                await self._heard(link, decode_device_message(data))
        finally:
            link.closed = True
            await self._note()

    async def _heard(self, link: DeviceLink, message: DeviceMessage) -> None:
        if isinstance(message, Present):
            link.session = message.session
        if isinstance(message, SessionReport) and link.role == "session":
            link.session = message.session
        if isinstance(message, Enrol):
            self.enrolments[link.device] = message.envelope
        await self._note(lambda: link.received.append(message))
        answers = self.answer(link, message)
        if answers is None:
            answers = self._honest(link, message)
        for answer in answers:
            await link.send(answer)

    def _honest(self, link: DeviceLink, message: DeviceMessage) -> list[RelayMessage]:
        match message:
            case Present() | MailboxReply():
                return []
            case FetchTrust():
                return [self._trust_file(message)]
            case AllocateNameplate():
                plate = str(4000 + next(self._numbers))
                self.plates[plate] = link
                return [Nameplate(seq=message.seq, nameplate=plate, expires_in_s=600)]
            case _:
                return [Ack(seq=message.seq)]

    def _trust_file(self, message: FetchTrust) -> TrustFile:
        body = self.organisation.read(message.kind, message.name)
        if body is None:
            return TrustFile(seq=message.seq, total=-1, body=b"")
        body = self.tamper(message.kind, message.name, body)
        piece = body[message.offset : message.offset + TRUST_CHUNK_BYTES]
        return TrustFile(seq=message.seq, total=self.total(message.name, len(body)), body=piece)

    async def notice(self, device: str | None = None) -> None:
        """Tell a resident agent that there is newer trust metadata."""
        link = await self.link(device=device)
        await link.send(TrustNotice(timestamp_version=self.organisation.version))

    # Sessions.

    async def claim_code(self, nameplate: str, session: str | None = None) -> MailboxOpen:
        """Tell the session process that shows a code that a console claimed it."""
        link = self.plates[nameplate]
        opened = self.claim(
            MailboxOpen(
                session=session or make_id("s", os.urandom(16)),
                nameplate=nameplate,
                operator=self.operator,
                organisation=self.organisation_name,
                ticket=self.ticket,
            )
        )
        link.session = opened.session
        await link.send(opened)
        return opened

    async def ask_device(self, session: str, phase: str, body: bytes) -> MailboxReply:
        """Carry one mailbox blob to the device and return its answer."""
        link = await self.link("session", session=session)
        before = len(link.of(MailboxReply))
        await link.send(MailboxBlob(session=session, phase=phase, body=body))
        await self.until(lambda: len(link.of(MailboxReply)) > before or link.closed)
        replies = link.of(MailboxReply)
        if len(replies) == before:
            return MailboxReply(session=session, phase=phase, error="link-lost")
        return replies[-1]

    async def offer_grant(self, session: str, envelope: bytes) -> SessionReport:
        """Offer a sealed grant to the resident agent and return its first word about it."""
        before = len(self._reports(session))
        await (await self.link()).send(OfferGrant(session=session, envelope=envelope))
        await self.until(lambda: len(self._reports(session)) > before)
        return self._reports(session)[before]

    def _reports(self, session: str) -> list[SessionReport]:
        return [one for one in self.of(SessionReport) if one.session == session]

    async def open_pipe(self, session: str, number: int) -> Splice:
        """Make the tokens of one attachment and call the device's end."""
        link = await self.link("session", session=session)
        splice = Splice(session, number)
        self.splices.append(splice)
        if self.on_attach is None or await self.on_attach(splice):
            await link.send(
                AttachPipe(session=session, number=number, token=splice.tokens["device"])
            )
        return splice

    async def _serve_pipe(self, connection: ServerConnection) -> None:
        frame = await connection.recv()
        assert isinstance(frame, bytes)
        side, session, token = parse_attach(frame)
        found = [
            one for one in self.splices if one.session == session and one.tokens[side] == token
        ]
        await connection.send(write_attach_reply(bool(found)))
        if found:
            await found[0].run(side, connection, self)

    # Consoles.

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        if path == "/trust":
            return {"root_version": 1, "online_key": self.key.public_key}
        if path.startswith("/trust/metadata/"):
            return self._file("metadata", path.removeprefix("/trust/metadata/"))
        if path.startswith("/trust/targets/"):
            return self._file("target", path.removeprefix("/trust/targets/"))
        if path == "/pairings":
            opened = await self.claim_code(body["nameplate"])
            return {"session": opened.session, "ticket": self.ticket, "device_online": True}
        if path == "/sessions" and method == "POST":
            report = await self.offer_grant(body["session"], base64.b64decode(body["envelope"]))
            return {
                "session": report.session,
                "state": report.state,
                "scopes": report.scopes,
                "expires_at": report.expires,
                "reason": report.reason,
                **_SESSION_FIELDS,
            }
        if path.startswith("/devices/"):
            return self.device_answer(self._device(path.removeprefix("/devices/")))
        if path.startswith("/tickets/"):
            return {"id": "t-1", "number": self.ticket, "title": "t", "state": "new"} | _TICKET
        if (match := _MAILBOX.match(path)) is not None:
            blob = self.mailbox("to-device", body["phase"], base64.b64decode(body["body"]))
            reply = await self.ask_device(match[1], body["phase"], blob)
            if reply.error:
                raise FarhandError(reply.error, "the device refused")
            return {"body": self.mailbox("to-console", body["phase"], reply.body)}
        if (match := _PIPES.match(path)) is not None:
            splice = await self.open_pipe(match[1], int(match[2]))
            return {"url": self.url, "token": splice.tokens["console"]}
        raise FarhandError("not-found", "there is nothing here")

    def _file(self, kind: str, name: str) -> bytes:
        body = self.organisation.read(kind, name)
        if body is None:
            raise FarhandError("not-found", "there is no such file")
        return self.tamper(kind, name, body)

    def _device(self, named: str) -> dict[str, Any]:
        device = named if named in self.enrolments else next(iter(self.enrolments))
        envelope = self.enrolments[device]
        enrolment = open_payload(decode_envelope(envelope), Enrolment)
        return {
            "id": device,
            "key": enrolment.device_key,
            "name": enrolment.name,
            "group": enrolment.group,
            "host_name": next(one.host_name for one in self.of(Present)),
            "enrolment": envelope,
            "token_envelope": self.organisation.token_envelopes.get(enrolment.token),
            "confirmation": None,
            "tags": [],
            "online": True,
            "confirmed": True,
            "os": "linux",
            "last_seen": None,
        }

    # One port for all.

    async def _front(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ", 2)
            if target in ("/agent", "/pipe"):
                await self._forward(head, reader, writer)
            else:
                await self._http(method, target, head, reader, writer)
        except (asyncio.IncompleteReadError, ValueError):
            return  # whoever called is gone, or spoke nonsense

    async def _forward(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
        inner_writer.write(head)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, inner_writer))
                group.create_task(_copy(inner_reader, writer))
        finally:
            await hang_up(inner_writer, at_once=True)

    async def _http(
        self,
        method: str,
        target: str,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        raw = await reader.readexactly(int(length[1])) if length else b""
        path = unquote(target.partition("?")[0]).removeprefix("/api/v1")
        self.calls.append(f"{method} {path}")
        try:
            answer = await self._call(method, path, msgspec.json.decode(raw) if raw else {})
            status = "200 OK"
            body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        except FarhandError as error:
            status = "404 Not Found" if error.code == "not-found" else "409 Conflict"
            problem = {"title": "no", "code": error.code, "detail": error.message, "hint": None}
            body = msgspec.json.encode(problem)
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()

    async def _websocket(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        serving = {"/agent": self._serve_link, "/pipe": self._serve_pipe}
        try:
            await serving[connection.request.path](connection)
        except (ConnectionClosed, FarhandError):
            return

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HostileRelay]:
        """Listen on loopback for as long as the block runs."""
        async with serve(
            self._websocket,
            "127.0.0.1",
            0,
            compression=None,
            ping_interval=None,
            max_size=max(2**21, MAX_PIPE_MESSAGE_BYTES),
            close_timeout=0.5,
        ) as inner:
            self._inner = next(iter(inner.sockets)).getsockname()[1]
            async with listener(self._front) as port:
                self.url = f"http://127.0.0.1:{port}"
                yield self


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.close()


_SESSION_FIELDS = {"device": "", "operator": "", "active_s": 0}
_TICKET = {"created_at": "2030-01-01T00:00:00Z", "updated_at": "2030-01-01T00:00:00Z"}
