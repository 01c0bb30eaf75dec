"""One subsystem of a session, as the lines of JSON that all of them speak.

What the device sends is foreign: lines are bounded before they are read, an error of its is raised
as ours with its code, and text in it is escaped by whoever shows it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncssh
import msgspec

from farhand_protocol.errors import FarhandError, RefusedError

__all__ = ["MAX_LINE_BYTES", "Channel", "open_channel", "raise_error"]

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_CODE: Final = re.compile(r"[a-z][a-z0-9-]{1,60}\Z")
_REFUSALS: Final = frozenset({"tool-refused"})


class Channel:
    """An open channel."""

    # `Any`: asyncssh types both by their encoding, which is bytes here.
    def __init__(self, writer: Any, reader: Any) -> None:
        self._writer = writer
        self._reader = reader
        self._held = bytearray()

    async def send(self, request: dict[str, Any]) -> None:
        """Write one line and wait until there is room for more.

        Raises:
            FarhandError: `session-lost`.
        """
        try:
            self._writer.write(msgspec.json.encode(request) + b"\n")
            await self._writer.drain()
        except (asyncssh.Error, OSError) as error:
            raise _lost(error) from error

    async def receive(self) -> dict[str, Any] | None:
        """Return the next line, None at the end; may be cancelled without losing any.

        Raises:
            FarhandError: `session-lost` when the connection goes, or the line cannot be read.
        """
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > MAX_LINE_BYTES:
                raise _lost("the device sent a line that is too long")
            try:
                piece = await self._reader.read(_PIECE_BYTES)
            except (asyncssh.Error, OSError) as error:
                raise _lost(error) from error
            if not piece:
                return None
            self._held += piece
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        try:
            answer = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise _lost(error) from error
        return answer

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one line and return the one that answers it.

        Raises:
            FarhandError: what the device answers, or `session-lost`.
        """
        await self.send(request)
        answer = await self.receive()
        if answer is None:
            raise _lost("the device ended the channel")
        raise_error(answer)
        return answer


@asynccontextmanager
async def open_channel(
    connection: asyncssh.SSHClientConnection, subsystem: str
) -> AsyncIterator[Channel]:
    """Open a subsystem and close it at the end of the block.

    Raises:
        FarhandError: `subsystem-unknown` when the device refuses it, `session-lost`.
    """
    try:
        streams: tuple[Any, Any, Any] = await connection.open_session(
            subsystem=subsystem, encoding=None
        )
    except asyncssh.ChannelOpenError as error:
        raise FarhandError(
            "subsystem-unknown", "the device does not offer this", detail=str(error)
        ) from error
    except (asyncssh.Error, OSError) as error:
        raise _lost(error) from error
    writer, reader, _ = streams
    try:
        yield Channel(writer, reader)
    finally:
        writer.close()


def raise_error(answer: dict[str, Any]) -> None:
    """Raise the device's error, if this answer is one.

    Raises:
        FarhandError: with the device's code and words; a `RefusedError` where policy said no.
    """
    if not isinstance(error := answer.get("error"), dict):
        return
    told, words = str(error.get("code", "")), str(error.get("message", ""))[:500]
    code = told if _CODE.match(told) else "tool-failed"
    kind = RefusedError if code in _REFUSALS else FarhandError
    raise kind(code, words or "the device refused")


def _lost(why: object) -> FarhandError:
    return FarhandError("session-lost", "the device gave no answer", detail=str(why))
