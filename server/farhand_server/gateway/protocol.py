"""One websocket connection on uvicorn's transport, without a task of its own.

A driver around websockets' sans-I/O `ServerProtocol`: it bounds, reassembles, paces and closes, and
hands whole binary messages to its endpoint (a link or the end of a pipe).  It knows nothing of
what they mean.

    state     event                      -> state
    new       request, accepted             open
    new       request, refused              closing   (HTTP answer, then end of stream)
    open      close() / peer closed         closing   (deadline CLOSE_S, then aborted)
    any       transport lost                closed

Reading stops while any hold is set: `HOLD_WRITE` because this peer does not read what it is sent
(its pings would otherwise fill our memory with pongs), `HOLD_INBOX` because its own messages wait
to be handled, `HOLD_PEER` because the other end of its pipe is slow.  So what one connection may
occupy is bounded by one message, one read of the transport, and the write buffer.
"""

from __future__ import annotations

import asyncio
import http
import logging
from typing import Any, Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from farhand_protocol.link import HELLO_BYTES
from farhand_server.gateway.timers import TimerWheel

__all__ = [
    "CLOSE_BAD_DATA",
    "CLOSE_GONE",
    "CLOSE_NORMAL",
    "CLOSE_OVERLOAD",
    "CLOSE_POLICY",
    "CLOSE_PROTOCOL",
    "CLOSE_RESTART",
    "CLOSE_TROUBLE",
    "HOLD_INBOX",
    "HOLD_PEER",
    "Connection",
    "Endpoint",
    "Opener",
    "Refusal",
]

logger = logging.getLogger(__name__)

# RFC 6455 s7.4.1 and the IANA registry of close codes.
CLOSE_NORMAL = 1000
CLOSE_GONE = 1006
CLOSE_PROTOCOL = 1002
CLOSE_BAD_DATA = 1003
CLOSE_POLICY = 1008
CLOSE_TROUBLE = 1011
CLOSE_RESTART = 1012
CLOSE_OVERLOAD = 1013

CLOSE_S = 5.0
_MAX_REASON_BYTES = 123
# An honest peer sends an inventory section in a few dozen fragments; CVE-2026-48779 is what an
# unbounded number of them does.
_MAX_FRAGMENTS = 1024

HOLD_WRITE = 1
HOLD_INBOX = 2
HOLD_PEER = 4

_NEW, _OPEN, _CLOSING, _CLOSED = range(4)


class Refusal:
    """An upgrade that is answered with an HTTP status instead.

    Args:
        status: HTTP status.
        code: stable code, sent as the body.
        retry_after_s: whole seconds for Retry-After, or None.
    """

    __slots__ = ("code", "retry_after_s", "status")

    def __init__(self, status: int, code: str, *, retry_after_s: int | None = None) -> None:
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class Endpoint(Protocol):
    """What a connection is for: it gets whole messages, deadlines and the end."""

    def on_message(self, data: bytes) -> None:
        """Take one binary message, at most as long as the connection's bound."""

    def on_deadline(self, now: float) -> None:
        """Act on the deadline that was set with `Connection.set_deadline`."""

    def on_writable(self, writable: bool) -> None:
        """Hear that the peer stopped or resumed reading."""

    def on_lost(self, code: int, reason: str) -> None:
        """Hear that the connection is over; called once, if the upgrade was accepted."""


class Opener(Protocol):
    """What a listener asks about each upgrade, and the clock and wheel its connections share."""

    wheel: TimerWheel

    def now(self) -> float:
        """Return the monotonic time in seconds."""

    def open(self, path: str, connection: Connection) -> Endpoint | Refusal:
        """Say what a new connection is for, or refuse it."""

    def closed(self, connection: Connection) -> None:
        """Hear that a connection that was accepted is gone."""


class Connection(asyncio.Protocol):
    """A uvicorn websocket protocol; the listener's subclass sets `opener`.

    Args:
        config, server_state, app_state: as uvicorn gives them; only the set of connections is used,
            so that uvicorn's shutdown finds them.
    """

    __slots__ = (
        "_close_code",
        "_close_reason",
        "_connections",
        "_endpoint",
        "_holds",
        "_parts",
        "_state",
        "_transport",
        "_ws",
        "address",
        "bytes_in",
        "bytes_out",
        "deadline",
        "heard",
        "opened_at",
    )

    opener: Opener
    first_frame_bytes = HELLO_BYTES
    write_high_bytes = 64 * 1024

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._connections: set[Any] = server_state.connections
        self._ws = ServerProtocol(max_size=self.first_frame_bytes, logger=logger)
        self._endpoint: Endpoint | None = None
        self._parts: list[bytes] | None = None
        self._holds = 0
        self._state = _NEW
        self._close_code = CLOSE_GONE
        self._close_reason = ""
        self.address = ""
        self.deadline = 0.0
        self.heard = self.opened_at = self.opener.now()
        self.bytes_in = 0
        self.bytes_out = 0

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport from uvicorn's HTTP protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) and peer else ""

    def data_received(self, data: bytes) -> None:
        """Feed what the peer sent; the frames of one read are handled at once."""
        if self._state is _CLOSED:
            return
        self.heard = self.opener.now()
        self.bytes_in += len(data)
        ws = self._ws
        ws.receive_data(data)
        for event in ws.events_received():
            if self._state is _OPEN:
                self._frame(cast(Frame, event))
            elif self._state is _NEW and isinstance(event, Request):
                self._request(event)
        if ws.parser_exc is not None and self._state is _OPEN:
            sent = ws.close_sent
            self._begin_closing(CLOSE_PROTOCOL if sent is None else int(sent.code), "bad-frame")
        self._flush()

    def eof_received(self) -> bool:
        """Treat the end of the peer's stream as the end of the connection."""
        if self._state is not _CLOSED:
            self._ws.receive_eof()
            self._flush()
        return False

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read."""
        self.hold(HOLD_WRITE)
        if self._endpoint is not None:
            self._endpoint.on_writable(False)

    def resume_writing(self) -> None:
        """Read again."""
        self.release(HOLD_WRITE)
        if self._endpoint is not None:
            self._endpoint.on_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and tell the endpoint."""
        self._connections.discard(self)
        self.opener.wheel.cancel(self)
        was, self._state = self._state, _CLOSED
        self._parts = None
        endpoint, self._endpoint = self._endpoint, None
        if was is not _CLOSED and endpoint is not None:
            self.opener.closed(self)
            endpoint.on_lost(self._close_code, self._close_reason)

    def shutdown(self) -> None:
        """Close for uvicorn, which is stopping."""
        if self._state is _NEW:
            self._transport.abort()
        else:
            self.close(CLOSE_RESTART, "relay-restart")

    # The endpoint's side.

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._state is _OPEN

    @property
    def unsent_bytes(self) -> int:
        """How much the peer has not taken yet."""
        return self._transport.get_write_buffer_size()

    def allow(self, max_message_bytes: int, *, write_high_bytes: int | None = None) -> None:
        """Raise the bound of inbound messages, from the next frame on."""
        self._ws.max_message_size = max_message_bytes
        if write_high_bytes is not None:
            self._transport.set_write_buffer_limits(write_high_bytes, write_high_bytes // 4)

    def set_deadline(self, at: float) -> None:
        """Call the endpoint's `on_deadline` at this monotonic time."""
        if self._state is _OPEN:
            self.opener.wheel.set(self, at)

    def send(self, data: bytes) -> None:
        """Send one binary message, or nothing when the connection is closing.

        The caller bounds what it sends by `unsent_bytes` or by `on_writable`.
        """
        if self._state is _OPEN:
            self._ws.send_binary(data)
            self._flush()

    def ping(self) -> None:
        """Send a ping; the answer only moves `heard`."""
        if self._state is _OPEN:
            self._ws.send_ping(b"")
            self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; the peer has `CLOSE_S` to finish it."""
        if self._state is _OPEN:
            self._ws.send_close(code, reason[:_MAX_REASON_BYTES])
            self._begin_closing(code, reason)
            self._flush()

    def abort(self) -> None:
        """Cut the connection now."""
        if self._state is not _CLOSED:
            self._transport.abort()

    def hold(self, why: int) -> None:
        """Stop reading for this reason."""
        if not self._holds and self._state is not _CLOSED:
            self._transport.pause_reading()
        self._holds |= why

    def release(self, why: int) -> None:
        """Read again if this was the last reason not to."""
        if self._holds & why:
            self._holds &= ~why
            if not self._holds and self._state is not _CLOSED:
                self._transport.resume_reading()

    def is_held(self, why: int) -> bool:
        """Tell whether reading is stopped for this reason."""
        return bool(self._holds & why)

    def on_deadline(self, now: float) -> None:
        """Cut a connection that did not finish closing; else ask the endpoint."""
        if self._state is _OPEN and self._endpoint is not None:
            self._endpoint.on_deadline(now)
        elif self._state is not _CLOSED:
            self._transport.abort()

    # Inside.

    def _begin_closing(self, code: int, reason: str) -> None:
        self._state = _CLOSING
        self._close_code, self._close_reason = code, reason
        self._parts = None
        # The peer's answer must be read; only a peer that does not read stays held.
        self.release(HOLD_INBOX | HOLD_PEER)
        self.opener.wheel.set(self, self.opener.now() + CLOSE_S)

    def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self.bytes_out += len(data)
                self._transport.write(data)
            else:
                # websockets' SEND_EOF: a server ends the TCP connection after the closing frames.
                if self._state is _OPEN:
                    self._begin_closing(CLOSE_GONE, "lost")
                self._transport.close()

    def _request(self, request: Request) -> None:
        response = self._ws.accept(request)
        if response.status_code == 101:
            path = request.path.partition("?")[0]
            opened = self.opener.open(path, self)
            if isinstance(opened, Refusal):
                response = self._refuse(opened)
            else:
                self._endpoint = opened
                self._transport.set_write_buffer_limits(
                    self.write_high_bytes, self.write_high_bytes // 4
                )
        self._ws.send_response(response)
        if self._endpoint is not None:
            self._state = _OPEN
        else:
            self._begin_closing(CLOSE_POLICY, "refused")

    def _refuse(self, refusal: Refusal) -> Response:
        response = self._ws.reject(http.HTTPStatus(refusal.status), refusal.code + "\n")
        if refusal.retry_after_s is not None:
            response.headers["Retry-After"] = str(refusal.retry_after_s)
        return response

    def _frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.BINARY:
            if frame.fin:
                self._message(bytes(frame.data))
            else:
                self._parts = [bytes(frame.data)]
        elif opcode is Opcode.CONT:
            self._continuation(frame)
        elif opcode is Opcode.TEXT:
            self.close(CLOSE_BAD_DATA, "text-frame")
        elif opcode is Opcode.CLOSE:
            received = self._ws.close_rcvd
            code = CLOSE_GONE if received is None else int(received.code)
            self._begin_closing(code, "" if received is None else received.reason)

    def _continuation(self, frame: Frame) -> None:
        parts = self._parts
        if parts is None:
            return
        parts.append(bytes(frame.data))
        if frame.fin:
            self._parts = None
            self._message(b"".join(parts))
        elif len(parts) >= _MAX_FRAGMENTS:
            self.close(CLOSE_POLICY, "too-many-fragments")

    def _message(self, data: bytes) -> None:
        if self._endpoint is not None:
            self._endpoint.on_message(data)
