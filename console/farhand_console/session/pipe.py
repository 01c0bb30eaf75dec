"""One pipe of a session from the console's end: dials, resumes, and looks like a transport.

Each attachment asks the relay for a fresh one-minute token (which also calls the device's end) and
dials `/pipe` on the node that holds the session.  What runs on top (SSH here, or a foreign ssh
through `farhand proxy`) never sees a lost connection until the resume window is over.  What happens
when is decided by farhand_protocol.attachment (its table), which has no I/O; this module dials,
reads, feeds, writes and waits.

A session whose process is not connected just now, or a relay that is restarting, is waited for:
`PATIENCE_S` the first time, the resume window later.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from farhand_console.relay import Relay, segments, tls_context
from farhand_console.relay.answers import PipeToken
from farhand_protocol.attachment import Attachment, Deliver, Flow, LineState
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.frames import MAX_PIPE_MESSAGE_BYTES, parse_attach_reply, write_attach
from farhand_protocol.lived import LOOK_S, LivedClock
from farhand_protocol.messages import MAX_PIPES
from farhand_protocol.pipe import PIPE_ID_BYTES, ResumablePipe

__all__ = ["PATIENCE_S", "ConsolePipe", "PipeTransport", "PipeTunnel"]

P = TypeVar("P", bound=asyncio.Protocol)
# RFC 7600: an address that no host has; asyncssh wants one.
_PEER_ADDRESS = "192.0.0.8"
PATIENCE_S = 45.0
_DIAL_S = 15.0
_RETRY_S = (0.1, 0.5, 1.0, 2.0, 4.0)
# Final answers; everything else may be the network, and is tried again within the resume window.
_FINAL = frozenset(
    {"session-ended", "session-unknown", "not-found", "not-permitted", "not-signed-in"}
)
# What passes by itself soon: a node or a session's process that is being started again.
_PASSING = frozenset(
    {
        "bus-timeout",
        "bus-unreachable",
        "pipe-refused",
        "relay-lost",
        "relay-timeout",
        "relay-unreachable",
        "session-not-connected",
    }
)
_FIRST_TRIES = 4


class _AttachmentOver(Exception):
    """One websocket below the pipe is gone or no longer needed."""


class PipeTransport(asyncio.Transport):
    """The pipe as a byte stream."""

    def __init__(self, pipe: ConsolePipe) -> None:
        super().__init__(extra={"peername": (_PEER_ADDRESS, 22)})
        self._pipe = pipe

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to our stream."""
        self._pipe.send(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Return what the device has not acknowledged yet."""
        return self._pipe.unacked_bytes

    def is_closing(self) -> bool:
        """Tell whether the pipe is over."""
        return self._pipe.closed.is_set()

    def close(self) -> None:
        """End the pipe after what was written."""
        self._pipe.end()

    def abort(self) -> None:
        """End the pipe; what asyncssh wrote before is still sent."""
        self._pipe.end()

    def pause_reading(self) -> None:
        """Stop delivering; the websocket is then not read either."""
        self._pipe.reading.clear()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._pipe.reading.set()

    def can_write_eof(self) -> bool:
        """SSH ends its connection with a message."""
        return False


class PipeTunnel:
    """What asyncssh takes as `tunnel=`."""

    def __init__(self, pipe: ConsolePipe) -> None:
        self._pipe = pipe

    async def create_connection(
        self, factory: Callable[[], P], _host: str, _port: int
    ) -> tuple[PipeTransport, P]:
        """Return the pipe's transport and the SSH connection on it."""
        protocol = factory()
        return self._pipe.connect(protocol), protocol

    def close(self) -> None:
        """End the pipe."""
        self._pipe.end()

    async def wait_closed(self) -> None:
        """Wait until the pipe is over."""
        await self._pipe.closed.wait()


class ConsolePipe:
    """One pipe; `run` is its driver and belongs in the caller's TaskGroup.

    Args:
        relay: the signed-in relay; its calls run in a thread.
        session: session id.
        number: 0 to 7; None for one that the relay chooses at the first attachment.
        watch: is told of each state of the line; must not block.
        patience_s: how long a first attachment may take.
    """

    def __init__(
        self,
        relay: Relay,
        session: str,
        number: int | None,
        *,
        watch: Callable[[LineState], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.reason = ""
        self._relay = relay
        self._session = session
        self._number = number
        self._watch = watch
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._clock = LivedClock(self._loop.time())
        # The console is the end that renews: it may be a new program on a pipe of an older one.
        pipe_id = secrets.token_bytes(PIPE_ID_BYTES)
        self._line = Attachment(lambda: ResumablePipe(pipe_id=pipe_id), renews=True)
        self._protocol: asyncio.Protocol | None = None
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._was_connected = False

    @property
    def unacked_bytes(self) -> int:
        """Return what the device has not acknowledged yet."""
        return self._line.unacked_bytes

    def connect(self, protocol: asyncio.Protocol) -> PipeTransport:
        """Put a protocol on top."""
        transport = PipeTransport(self)
        self._protocol = protocol
        protocol.connection_made(transport)
        return transport

    def send(self, data: bytes) -> None:
        """Append to our stream."""
        now = self._now()
        self._line.send(data, now)
        self._after(now)

    def end(self) -> None:
        """Close the pipe from this side."""
        now = self._now()
        self._line.close(now)
        self._after(now)

    async def run(self) -> None:
        """Keep the pipe attached until it closes.

        Raises:
            FarhandError: when the relay says for good that the session is gone, or a first
                attachment did not come about in time.
        """
        attempt = 0
        give_up_at = self._now() + self._patience_s
        try:
            while not self.closed.is_set():
                try:
                    websocket = await self._dial()
                except FarhandError as error:
                    if error.code in _FINAL or self._is_hopeless(error, attempt, give_up_at):
                        raise
                    await self._pause(attempt, give_up_at)
                    attempt += 1
                    continue
                attempt = 0
                await self._serve(websocket)
        except FarhandError as error:
            self._finish(error.code)
            raise
        finally:
            self._finish("done")
            if self._timer is not None:
                self._timer.cancel()

    def _is_hopeless(self, error: FarhandError, attempt: int, give_up_at: float) -> bool:
        if self._was_connected:
            return False  # the resume window decides
        if error.code in _PASSING:
            return self._now() >= give_up_at
        return attempt + 1 >= _FIRST_TRIES

    async def _pause(self, attempt: int, give_up_at: float) -> None:
        if not self._was_connected and attempt == 0:
            self._line.wait(self._now())
            self._watch(LineState("connecting", left_s=give_up_at - self._now()))
            self._arm()
        delay = _RETRY_S[min(attempt, len(_RETRY_S) - 1)] * random.uniform(0.5, 1.0)
        try:
            async with asyncio.timeout(delay):
                await self.closed.wait()
        except TimeoutError:
            return

    async def _dial(self) -> ClientConnection:
        chosen = () if self._number is None else (self._number,)
        path = segments("sessions", self._session, "pipes", *chosen)
        answer = await asyncio.to_thread(self._relay.post, path, PipeToken)
        if self._number is None:
            if answer.number is None or not 0 <= answer.number < MAX_PIPES:
                raise FarhandError("relay-answer", "the relay names no pipe")
            self._number = answer.number  # its name at each attachment from now on
        try:
            parts = urlsplit(answer.url)
            if not parts.hostname or parts.port == 0:
                raise ValueError("no host")
            attach = write_attach("console", self._session, answer.token)
        except ValueError as error:
            raise FarhandError("relay-answer", "the relay's pipe token cannot be read") from error
        secure = parts.scheme in ("https", "wss")
        if not secure and self._relay.url.startswith("https:"):
            raise FarhandError("url-insecure", "the relay redirected to an address without TLS")
        address = urlunsplit(("wss" if secure else "ws", parts.netloc, "/pipe", "", ""))
        try:
            websocket = await connect(
                address,
                compression=None,
                max_size=MAX_PIPE_MESSAGE_BYTES,
                max_queue=16,
                write_limit=128 * 1024,
                open_timeout=_DIAL_S,
                close_timeout=2,
                proxy=None,
                ssl=tls_context(self._relay.certificate) if secure else None,
            )
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            raise FarhandError(
                "relay-unreachable", "the relay's pipe cannot be reached", detail=str(error)
            ) from error
        try:
            async with asyncio.timeout(_DIAL_S):
                await websocket.send(attach)
                reply = await websocket.recv()
                parse_attach_reply(reply if isinstance(reply, bytes) else reply.encode())
        except (OSError, TimeoutError, WebSocketException, RemoteError) as error:
            await websocket.close()
            raise FarhandError(
                "pipe-refused", "the relay did not attach the pipe", detail=str(error)
            ) from error
        return websocket

    async def _serve(self, websocket: ClientConnection) -> None:
        """Run one attachment; returns when it is over."""
        now = self._now()
        turn = self._line.begin(now)
        self._after(now)
        try:
            async with asyncio.TaskGroup() as group:
                # HELLO goes out before the other's is read, which may end this attachment.
                group.create_task(self._write(websocket, turn))
                group.create_task(self._read(websocket, turn))
        except* _AttachmentOver:
            pass  # the ordinary end of an attachment; `run` makes the next one
        finally:
            now = self._now()
            self._line.lose(turn, now)
            self._after(now)
            await websocket.close()

    async def _read(self, websocket: ClientConnection, turn: int) -> None:
        try:
            # Once the pipe is over the writer still has CLOSE to write, and then ends both.
            while self._line.is_current(turn):
                await self.reading.wait()
                message = await websocket.recv()
                if isinstance(message, str):
                    raise _AttachmentOver
                now = self._now()
                try:
                    self._line.receive(turn, message, now)
                finally:
                    self._after(now)
        except (WebSocketException, OSError, RemoteError) as error:
            raise _AttachmentOver from error

    async def _write(self, websocket: ClientConnection, turn: int) -> None:
        try:
            while True:
                self._wake.clear()
                for message in (waiting := self._line.messages(turn)):
                    await websocket.send(message)
                if waiting:
                    continue  # more may have come meanwhile, CLOSE among it
                if not self._line.is_current(turn):
                    raise _AttachmentOver
                await self._wake.wait()
        except (WebSocketException, OSError) as error:
            raise _AttachmentOver from error

    def _after(self, now: float) -> None:
        """Carry out what the last call into the attachment brought about."""
        for effect in self._line.effects(now):
            if isinstance(effect, Deliver):
                if self._protocol is not None and not self.closed.is_set():
                    self._protocol.data_received(effect.data)
            elif isinstance(effect, Flow):
                self._hold(effect.may_write)
            elif isinstance(effect, LineState):
                self._was_connected = self._was_connected or effect.name == "connected"
                self._watch(effect)
            else:
                self._finish(effect.reason)
        self._wake.set()
        self._arm()

    def _hold(self, may_write: bool) -> None:
        if self._protocol is None:
            return
        if may_write:
            self._protocol.resume_writing()
        else:
            self._protocol.pause_writing()

    def _finish(self, reason: str) -> None:
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        self.reading.set()
        self._wake.set()
        if self._protocol is not None:
            error = None if reason == "done" else ConnectionError(f"the pipe closed: {reason}")
            self._protocol.connection_lost(error)

    def _arm(self) -> None:
        due = self._line.next_alarm()
        if due is None or self.closed.is_set():
            return
        if self._timer is not None:
            self._timer.cancel()
        # Looked at often enough that a stop of this process is not taken for time that passed.
        wait_s = min(max(0.0, due - self._now()), LOOK_S)
        self._timer = self._loop.call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._now()
        self._line.handle_alarm(now)
        self._after(now)

    def _now(self) -> float:
        return self._clock.read(self._loop.time())
