"""One picture of the person's screen, if she sends one: asked for, bounded, checked.

asked -> she takes it, looks it over, blackens what is hers, sends it   the picture
asked -> she refuses, or does not answer                                `screenshot-refused`, ...

Only what she sent arrives, and it is checked against the size and the hash that the device's
receipt names.  The bytes are foreign: nothing here decodes them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Final

import asyncssh
import msgspec

from farhand_console.session.channel import Channel, open_channel, raise_error
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.pictures import MAX_PICTURE_BYTES, PART_BYTES, read_png

__all__ = ["MAX_REASON_CHARS", "Screenshot", "ask_screenshot"]

MAX_REASON_CHARS: Final = 300
_SUBSYSTEM: Final = "farhand-screenshot"
_REFUSALS: Final = ("screenshot-refused", "screenshot-timeout", "screenshot-nobody")


class Screenshot(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that she sent: a PNG."""

    data: bytes
    sha256: str
    width: int
    height: int


async def ask_screenshot(
    connection: asyncssh.SSHClientConnection, *, reason: str = ""
) -> Screenshot:
    """Ask for one picture and wait for it; safe to cancel, which takes the question back.

    Args:
        connection: to the device.
        reason: told to the person, at most `MAX_REASON_CHARS`.

    Raises:
        UsageError: `screenshot-malformed` for a reason that is too long.
        RefusedError: `screenshot-refused`, `screenshot-timeout`, `screenshot-nobody`.
        FarhandError: `screenshot-busy`, `screenshot-malformed`, `too-fast`, `session-lost`.
    """
    if len(reason) > MAX_REASON_CHARS:
        raise UsageError(
            "screenshot-malformed", f"a reason has {MAX_REASON_CHARS} characters at most"
        )
    async with open_channel(connection, _SUBSYSTEM) as channel:
        await channel.send({"screenshot": True, "reason": reason})
        answer = await channel.receive()
        if answer is None:
            raise FarhandError("session-lost", "the session ended before there was an answer")
        try:
            raise_error(answer)
        except FarhandError as error:
            if error.code in _REFUSALS:
                raise RefusedError(error.code, error.message) from error
            raise
        return await _receive(channel, answer)


async def _receive(channel: Channel, answer: dict[str, Any]) -> Screenshot:
    head = answer.get("picture")
    size = head.get("size_bytes") if isinstance(head, dict) else None
    if not isinstance(head, dict) or not isinstance(size, int):
        raise _malformed()
    if not 0 < size <= MAX_PICTURE_BYTES:
        raise _malformed()
    data = bytearray()
    while len(data) < size:
        line = await channel.receive()
        if line is None:
            raise FarhandError("session-lost", "the session ended within the picture")
        part = line.get("part")
        try:
            piece = base64.b64decode(part, validate=True) if isinstance(part, str) else b""
        except (binascii.Error, ValueError) as error:
            raise _malformed() from error
        if not 0 < len(piece) <= PART_BYTES:
            raise _malformed()
        data += piece
    sha256 = hashlib.sha256(data).hexdigest()
    if len(data) != size or sha256 != head.get("sha256"):
        raise _malformed()
    picture = read_png(bytes(data))
    return Screenshot(data=bytes(data), sha256=sha256, width=picture.width, height=picture.height)


def _malformed() -> FarhandError:
    return FarhandError("screenshot-malformed", "the device sent something else than a picture")
