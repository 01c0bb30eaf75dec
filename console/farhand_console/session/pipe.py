"""One pipe of a session from the console's end: dials, resumes, and looks like a transport.

Each attachment asks the relay for a fresh one-minute token (which also calls the device's end) and
dials `/pipe` on the node that holds the session.  What runs on top (SSH here, or a foreign ssh
through `farhand proxy`) never sees a lost connection until the resume window is over.
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
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.frames import MAX_PIPE_MESSAGE_BYTES, parse_attach_reply, write_attach
from farhand_protocol.pipe import PIPE_ID_BYTES, Attached, Closed, Data, Eof, ResumablePipe

__all__ = ["ConsolePipe", "PipeTransport", "PipeTunnel"]

P = TypeVar("P", bound=asyncio.Protocol)
# RFC 7600: an address that no host has; asyncssh wants one.
_PEER_ADDRESS = "192.0.0.8"
_DIAL_S = 15.0
_RETRY_S = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
# Final answers; everything else may be the network, and is tried again within the resume window.
_FINAL = frozenset(
    {"session-ended", "session-unknown", "not-found", "not-permitted", "not-signed-in"}
)


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
        return self._pipe.state.unacked_bytes

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
        number: 0 to 7.
        notice: told in words when the line is lost and when it is back.
    """

    def __init__(
        self, relay: Relay, session: str, number: int, *, notice: Callable[[str], None]
    ) -> None:
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.reason = ""
        self.state = ResumablePipe(pipe_id=secrets.token_bytes(PIPE_ID_BYTES))
        self._relay = relay
        self._session = session
        self._number = number
        self._notice = notice
        self._protocol: asyncio.Protocol | None = None
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._was_attached = False
        # What was sent before the first byte came back, in case the device still holds an older
        # pipe of this number and both have to begin anew.
        self._early: bytearray | None = bytearray()
        self._fresh_starts = 0

    def connect(self, protocol: asyncio.Protocol) -> PipeTransport:
        """Put a protocol on top."""
        transport = PipeTransport(self)
        self._protocol = protocol
        protocol.connection_made(transport)
        return transport

    def send(self, data: bytes) -> None:
        """Append to our stream."""
        if data and not self.closed.is_set():
            if self._early is not None:
                self._early += data
            self.state.send(data, self._now())
            self._after()

    def end(self) -> None:
        """Close the pipe from this side."""
        self.state.close(self._now())
        self._after()

    async def run(self) -> None:
        """Keep the pipe attached until it closes.

        Raises:
            FarhandError: when the relay says for good that the session is gone.
        """
        attempt = 0
        try:
            while not self.closed.is_set():
                try:
                    websocket = await self._dial()
                except FarhandError as error:
                    if error.code in _FINAL or (not self._was_attached and attempt >= 3):
                        raise
                    await self._pause(attempt)
                    attempt += 1
                    continue
                attempt = 0
                await self._serve(websocket)
                if not self.closed.is_set() and self._was_attached:
                    self._notice("the line is down, reconnecting")
        except FarhandError as error:
            self._finish(error.code)
            raise
        finally:
            self._finish("done")
            if self._timer is not None:
                self._timer.cancel()

    async def _pause(self, attempt: int) -> None:
        if not self._was_attached or attempt == 0:
            self.state.detach(self._now())
            self._arm()
        delay = _RETRY_S[min(attempt, len(_RETRY_S) - 1)] * random.uniform(0.5, 1.0)
        try:
            async with asyncio.timeout(delay):
                await self.closed.wait()
        except TimeoutError:
            return

    async def _dial(self) -> ClientConnection:
        path = segments("sessions", self._session, "pipes", self._number)
        answer = await asyncio.to_thread(self._relay.post, path, PipeToken)
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
        state = self.state
        state.attach(self._now())
        self._after()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(websocket, state))
                group.create_task(self._write(websocket, state))
        except* _AttachmentOver:
            pass  # the ordinary end of an attachment; `run` makes the next one
        finally:
            await websocket.close()
            self.state.detach(self._now())
            self._after()

    async def _read(self, websocket: ClientConnection, state: ResumablePipe) -> None:
        try:
            # A pipe begun afresh needs an attachment of its own.
            while self.state is state and not self.closed.is_set():
                await self.reading.wait()
                message = await websocket.recv()
                if isinstance(message, str):
                    break
                state.receive_message(message, self._now())
                self._after()
        except RemoteError as error:
            self._start_afresh()  # if that is not possible, `run` attaches the same pipe again
            raise _AttachmentOver from error
        except (WebSocketException, OSError) as error:
            raise _AttachmentOver from error
        raise _AttachmentOver

    async def _write(self, websocket: ClientConnection, state: ResumablePipe) -> None:
        try:
            while True:
                self._wake.clear()
                for message in state.messages_to_send():
                    await websocket.send(message)
                self._check_writable()
                if self.closed.is_set():
                    raise _AttachmentOver
                await self._wake.wait()
        except (WebSocketException, OSError) as error:
            raise _AttachmentOver from error

    def _after(self) -> None:
        for event in self.state.events():
            if isinstance(event, Data):
                self._early = None
                if self._protocol is not None:
                    self._protocol.data_received(event.data)
            elif isinstance(event, Attached):
                if self._was_attached:
                    self._notice("connected again")
                self._was_attached = True
            elif isinstance(event, Closed):
                if event.reason == "peer-changed" and self._start_afresh():
                    return
                self._finish(event.reason)
            elif isinstance(event, Eof):
                self.state.close(self._now())
        self._wake.set()
        self._check_writable()
        self._arm()

    def _start_afresh(self) -> bool:
        """Begin with a new pipe, where the device still held an older one of this number.

        Only before anything was received: then nothing can have been lost or doubled.
        """
        if self._early is None or self._fresh_starts >= 3:
            return False
        self._fresh_starts += 1
        self._was_attached = False
        self.state = ResumablePipe(pipe_id=secrets.token_bytes(PIPE_ID_BYTES))
        if self._early:
            self.state.send(bytes(self._early), self._now())
        self._wake.set()
        return True

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

    def _check_writable(self) -> None:
        if self._protocol is None or self.closed.is_set():
            return
        if self.state.writable == self._paused:
            self._paused = not self.state.writable
            if self._paused:
                self._protocol.pause_writing()
            else:
                self._protocol.resume_writing()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.state.next_deadline()
        if due is not None and not self.closed.is_set():
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.state.handle_timeout(self._now())
        self._after()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
