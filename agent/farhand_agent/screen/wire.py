"""What the session's process and the screen's process say to each other, on a pair of sockets.

A frame is a kind, a length and that many bytes:

    R    RFB, whole messages on their way to the viewer; any bytes of it on their way here
    K    RFB as R, which begins with a full picture
    B    RFB that blackens the viewer as it is now; kept, and sent at the end
    J    one JSON object

The screen's process belongs to the person, so the session trusts its frames no more than hers.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final, Literal, TypeAlias

import msgspec

from farhand_protocol.errors import RemoteError

__all__ = ["MAX_FRAME_BYTES", "Kind", "encode_json", "read_frame", "write_frame"]

Kind: TypeAlias = Literal["R", "K", "B", "J"]
# A full picture of the largest screen, uncompressed, and its headers.
MAX_FRAME_BYTES: Final = 160 * 1024 * 1024
_HEAD: Final = struct.Struct(">cI")
_KINDS: Final[dict[bytes, Kind]] = {b"R": "R", b"K": "K", b"B": "B", b"J": "J"}


async def read_frame(reader: asyncio.StreamReader) -> tuple[Kind, bytes] | None:
    """Return the next frame; None at the end, also where that cuts one off.

    Raises:
        RemoteError: `screen-failed` for what is none.
    """
    try:
        head, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        kind = _KINDS.get(head)
        if kind is None or size > MAX_FRAME_BYTES:
            raise RemoteError("screen-failed", "the screen's process said something unknown")
        return kind, await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def write_frame(writer: asyncio.StreamWriter, kind: Kind, data: bytes) -> None:
    """Write a frame and wait until there is room for more.

    Raises:
        ConnectionError: the other side is gone.
    """
    writer.write(_HEAD.pack(kind.encode(), len(data)))
    writer.write(data)
    await writer.drain()


def encode_json(fields: dict[str, Any]) -> bytes:
    """Return the bytes of a frame of kind J."""
    return msgspec.json.encode(fields)
