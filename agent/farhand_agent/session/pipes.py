"""Driver of one resumable pipe: websockets come and go below, one SSH connection stays above.

What happens when is decided by farhand_protocol.attachment (its table), which has no I/O; this
module reads, feeds, writes and waits.  Towards asyncssh it looks like a transport: `PipeTunnel` is
the object that `connect_reverse` takes as `tunnel=`, the way its maintainers document for
transports that are not sockets.  A second `serve` takes the place of the first.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Protocol, TypeVar

from farhand_protocol.attachment import Attachment, Deliver, Flow, LineState
from farhand_protocol.errors import RemoteError
from farhand_protocol.lived import LOOK_S, LivedClock
from farhand_protocol.pipe import PIPE_ID_BYTES, ResumablePipe

__all__ = ["MessageStream", "PipeDriver", "PipeTransport", "PipeTunnel", "StreamLost"]

_log = logging.getLogger(__name__)
# RFC 7600: an IPv4 address that no host has.  asyncssh parses the peer's address when it meets a
# certificate with a source-address option, and fails on an empty one.
PEER_ADDRESS = "192.0.0.8"

P = TypeVar("P", bound=asyncio.Protocol)


class StreamLost(Exception):
    """The websocket below is gone; an ordinary event in a pipe's life."""


class MessageStream(Protocol):
    """What carries whole messages: a websocket, or a pair of queues in a test."""

    async def send(self, message: bytes) -> None:
        """Send one message, waiting while the peer is slow; StreamLost when it is gone."""

    async def receive(self) -> bytes:
        """Return the next message; StreamLost when it is gone."""


class PipeTransport(asyncio.Transport):
    """The pipe as asyncssh sees it: a byte stream with an address."""

    def __init__(self, driver: PipeDriver, number: int) -> None:
        super().__init__(extra={"peername": (PEER_ADDRESS, number)})
        self._driver = driver

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to our stream; sent when a websocket is up."""
        self._driver.send(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the peer has not acknowledged yet."""
        return self._driver.unacked_bytes

    def is_closing(self) -> bool:
        """Tell whether the pipe is over."""
        return self._driver.closed.is_set()

    def close(self) -> None:
        """End the pipe after what was written."""
        self._driver.end()

    def abort(self) -> None:
        """End the pipe; asyncssh calls this after its last message, so that is still sent."""
        self._driver.end()

    def pause_reading(self) -> None:
        """Stop delivering; the websocket below is then not read either."""
        self._driver.reading.clear()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._driver.reading.set()

    def can_write_eof(self) -> bool:
        """SSH ends its connection with a message, never by a half-closed stream."""
        return False


class PipeTunnel:
    """Hands the pipe to asyncssh, which asks its `tunnel=` for a connection."""

    logger = _log

    def __init__(self, driver: PipeDriver) -> None:
        self._driver = driver

    async def create_connection(
        self, factory: Callable[[], P], _host: str, _port: int
    ) -> tuple[PipeTransport, P]:
        """Return the pipe's transport and the SSH connection made for it."""
        connection = factory()
        return self._driver.connect(connection), connection

    def close(self) -> None:
        """End the pipe."""
        self._driver.end()

    async def wait_closed(self) -> None:
        """Wait until the pipe is over."""
        await self._driver.closed.wait()


class PipeDriver:
    """One pipe of a session.

    Args:
        number: 0 to 7, as the relay numbers the session's pipes.
        pipe: the sans-I/O pipe; a fresh one by default.
        on_state: is told when the line is connected, lost, back, or over; must not block.
    """

    def __init__(
        self,
        number: int,
        *,
        pipe: ResumablePipe | None = None,
        on_state: Callable[[LineState], None] = lambda _: None,
    ) -> None:
        self.number = number
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.attached = asyncio.Event()
        self.reason = ""
        self._loop = asyncio.get_running_loop()
        self._clock = LivedClock(self._loop.time())
        pipe = pipe or ResumablePipe(pipe_id=os.urandom(PIPE_ID_BYTES))
        self._line = Attachment(lambda: pipe)
        self._on_state = on_state
        self._protocol: asyncio.Protocol | None = None
        self._connected = asyncio.Event()
        self._replaced = asyncio.Event()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def unacked_bytes(self) -> int:
        """Return what the peer has not acknowledged."""
        return self._line.unacked_bytes

    def connect(self, protocol: asyncio.Protocol) -> PipeTransport:
        """Put an SSH connection on top; no websocket is attached before."""
        transport = PipeTransport(self, self.number)
        self._protocol = protocol
        protocol.connection_made(transport)
        self._connected.set()
        return transport

    def send(self, data: bytes) -> None:
        """Append to our stream."""
        now = self._now()
        self._line.send(data, now)
        self._after(now)

    def end(self) -> None:
        """Close the pipe from this side; CLOSE is still written if a websocket is up."""
        now = self._now()
        self._line.close(now)
        self._after(now)

    async def serve(self, messages: MessageStream) -> None:
        """Run the pipe over one websocket until that is lost, replaced or no longer needed.

        Args:
            messages: attached already (frames.write_attach was answered).

        Safe to cancel: the pipe then waits for the next websocket.
        """
        await self._connected.wait()
        if self.closed.is_set():
            return
        self._replaced.set()
        self._replaced = replaced = asyncio.Event()
        now = self._now()
        turn = self._line.begin(now)
        self._after(now)
        try:
            async with asyncio.TaskGroup() as group:
                # HELLO goes out before the other's is read, which may end the pipe.
                group.create_task(self._write(messages, turn))
                group.create_task(self._read(messages, turn))
                group.create_task(_until(replaced))
        except* StreamLost:
            pass  # the ordinary end of a websocket; the pipe waits for the next one
        except* RemoteError as errors:
            for error in errors.exceptions:
                _log.warning("pipe %d: %s", self.number, error)
        finally:
            now = self._now()
            self._line.lose(turn, now)
            self._after(now)

    async def _read(self, messages: MessageStream, turn: int) -> None:
        # Once the pipe is over the writer still has CLOSE to write, and then ends both.
        while self._line.is_current(turn):
            await self.reading.wait()
            message = await messages.receive()
            now = self._now()
            try:
                self._line.receive(turn, message, now)
            finally:
                self._after(now)

    async def _write(self, messages: MessageStream, turn: int) -> None:
        while True:
            self._wake.clear()
            for message in (waiting := self._line.messages(turn)):
                await messages.send(message)
            if waiting:
                continue  # more may have come meanwhile, CLOSE among it
            if not self._line.is_current(turn):
                self._wake.set()  # meant for the writer that came after this one
                raise StreamLost
            await self._wake.wait()

    def _after(self, now: float) -> None:
        """Carry out what the last call into the attachment brought about."""
        for effect in self._line.effects(now):
            if isinstance(effect, Deliver):
                if self._protocol is not None and not self.closed.is_set():
                    self._protocol.data_received(effect.data)
            elif isinstance(effect, Flow):
                self._hold(effect.may_write)
            elif isinstance(effect, LineState):
                if effect.name == "connected":
                    self.attached.set()
                else:
                    self.attached.clear()
                self._on_state(effect)
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
        self.reason = reason
        self.closed.set()
        self.reading.set()
        self._connected.set()
        if self._protocol is not None:
            error = None if reason == "done" else ConnectionError(f"the pipe closed: {reason}")
            self._protocol.connection_lost(error)

    def _arm(self) -> None:
        due = self._line.next_alarm()
        if due is None:
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


async def _until(replaced: asyncio.Event) -> None:
    await replaced.wait()
    raise StreamLost
