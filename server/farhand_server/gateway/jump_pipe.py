"""The console's end of a session's pipe, held by the relay for a stock SSH client.

`ssh -J` brings a TCP stream and cannot speak the pipe's frames, so the jump port does it for her.
What runs inside stays SSH between her ssh and the device: these bytes are carried, never read.
A lost websocket is dialled again with a fresh token, as a console would, until the resume window is
over; what the far side has not taken yet holds back the near one.  What happens when is decided by
farhand_protocol.attachment; this module dials, reads, feeds, writes and waits.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from farhand_protocol.attachment import Attachment, Deliver, Flow, Over
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.frames import MAX_PIPE_MESSAGE_BYTES, parse_attach_reply, write_attach
from farhand_protocol.lived import LOOK_S, LivedClock
from farhand_protocol.pipe import PIPE_ID_BYTES, ResumablePipe
from farhand_server.sessions import control

__all__ = ["JumpPipe"]

_log = logging.getLogger(__name__)

_DIAL_S: Final = 15.0
_RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
_WRITE_LIMIT: Final = 128 * 1024
_QUEUE: Final = 16
# What the relay itself says for good; anything else may pass.
_FINAL: Final = frozenset({"session-ended", "session-state", "not-found", "not-permitted"})


class _Detached(Exception):
    """One websocket below the pipe is gone or no longer needed."""


class JumpPipe:
    """One pipe from a stock client's stream to the device.

    Args:
        session: whose pipe it is.
        attach: asks for a fresh token and the place to show it, as the session's operator.
        tls: for nodes reached by TLS; None where they are not.
        random: cryptographic random bytes.
        deliver: takes bytes from the device, at once.
        on_writable: is told when more may be sent (True) or nothing more for now (False).
    """

    def __init__(
        self,
        session: str,
        *,
        attach: Callable[[], Awaitable[control.Attached]],
        tls: ssl.SSLContext | None,
        random: Callable[[int], bytes],
        deliver: Callable[[bytes], None],
        on_writable: Callable[[bool], None],
    ) -> None:
        self.session = session
        self.reading = asyncio.Event()
        self.reading.set()
        self.closed = asyncio.Event()
        self.reason = ""
        self._attach = attach
        self._tls = tls
        self._deliver = deliver
        self._on_writable = on_writable
        self._clock = LivedClock(asyncio.get_running_loop().time())
        self._line = Attachment(lambda: ResumablePipe(pipe_id=random(PIPE_ID_BYTES)), renews=True)
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, data: bytes) -> None:
        """Append bytes to the stream towards the device."""
        self._line.send(data, self._now())
        self._after()

    def end(self) -> None:
        """Close the pipe after what was sent."""
        self._line.close(self._now())
        self._after()

    async def run(self) -> None:
        """Keep the pipe attached until it closes; runs once.

        Safe to cancel: the device's end then waits for its resume window.
        """
        attempt = 0
        try:
            while not self.closed.is_set():
                try:
                    websocket = await self._dial()
                except FarhandError as error:
                    _log.info("session %s: %s", self.session, error)
                    if error.code in _FINAL:
                        self._finish(error.code)
                        break
                    await self._wait(attempt)
                    attempt += 1
                    continue
                attempt = 0
                await self._serve(websocket)
        finally:
            self._finish("done")
            if self._timer is not None:
                self._timer.cancel()

    async def _wait(self, attempt: int) -> None:
        self._line.wait(self._now())
        self._after()
        try:
            async with asyncio.timeout(_RETRY_S[min(attempt, len(_RETRY_S) - 1)]):
                await self.closed.wait()
        except TimeoutError:
            return

    async def _dial(self) -> ClientConnection:
        place = await self._attach()
        parts = urlsplit(place.url)
        secure = parts.scheme == "https"
        try:
            websocket = await connect(
                urlunsplit(("wss" if secure else "ws", parts.netloc, "/pipe", "", "")),
                compression=None,
                max_size=MAX_PIPE_MESSAGE_BYTES,
                max_queue=_QUEUE,
                write_limit=_WRITE_LIMIT,
                open_timeout=_DIAL_S,
                close_timeout=2,
                proxy=None,
                ssl=self._tls if secure else None,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise FarhandError(
                "pipe-refused", "the node of the session cannot be reached", detail=str(error)
            ) from error
        try:
            async with asyncio.timeout(_DIAL_S):
                await websocket.send(write_attach("console", self.session, place.token))
                reply = await websocket.recv()
                parse_attach_reply(reply if isinstance(reply, bytes) else reply.encode())
        except (OSError, TimeoutError, WebSocketException, RemoteError) as error:
            await websocket.close()
            raise FarhandError(
                "pipe-refused", "the node of the session did not attach the pipe", detail=str(error)
            ) from error
        return websocket

    async def _serve(self, websocket: ClientConnection) -> None:
        turn = self._line.begin(self._now())
        self._after()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(websocket, turn))
                group.create_task(self._write(websocket, turn))
        except* _Detached:
            pass  # the ordinary end of a websocket; `run` dials the next one
        finally:
            self._line.lose(turn, self._now())
            self._after()
            await websocket.close()

    async def _read(self, websocket: ClientConnection, turn: int) -> None:
        try:
            # Once the pipe is over the writer still has CLOSE to write, and then ends both.
            while self._line.is_current(turn):
                await self.reading.wait()
                message = await websocket.recv()
                if isinstance(message, str):
                    raise _Detached
                try:
                    self._line.receive(turn, message, self._now())
                finally:
                    self._after()
        except (WebSocketException, OSError, RemoteError) as error:
            raise _Detached from error

    async def _write(self, websocket: ClientConnection, turn: int) -> None:
        try:
            while True:
                self._wake.clear()
                for message in (waiting := self._line.messages(turn)):
                    await websocket.send(message)
                if waiting:
                    continue  # more may have come meanwhile, CLOSE among it
                if not self._line.is_current(turn):
                    raise _Detached
                await self._wake.wait()
        except (WebSocketException, OSError) as error:
            raise _Detached from error

    def _after(self) -> None:
        """Carry out what the last call into the attachment brought about."""
        for effect in self._line.effects(self._now()):
            match effect:
                case Deliver():
                    self._deliver(effect.data)
                case Flow():
                    self._on_writable(effect.may_write)
                case Over():
                    self._finish(effect.reason)
                case _:
                    _log.debug("session %s: %s", self.session, effect.name)
        self._wake.set()
        self._arm()

    def _arm(self) -> None:
        if (due := self._line.next_alarm()) is None or self.closed.is_set():
            return
        if self._timer is not None:
            self._timer.cancel()
        # Looked at often, so that lived time stays true.
        delay = min(max(0.0, due - self._now()), LOOK_S)
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_alarm)

    def _on_alarm(self) -> None:
        self._timer = None
        self._line.handle_alarm(self._now())
        self._after()

    def _finish(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.closed.set()
        self.reading.set()
        self._wake.set()

    def _now(self) -> float:
        return self._clock.read(asyncio.get_running_loop().time())
