"""A picture of a screen as both ends of a session bound it: a PNG of a sane size.

Only the head is read here; whoever shows the pixels has a decoder for that.  Source: PNG (third
edition), 5.2 and 11.2.1.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import msgspec

from farhand_protocol.errors import RemoteError

__all__ = ["MAX_PICTURE_BYTES", "MAX_PICTURE_SIDE", "PART_BYTES", "Picture", "read_png"]

MAX_PICTURE_BYTES: Final = 16 * 1024 * 1024
MAX_PICTURE_SIDE: Final = 16_384
# As base64 in a line of JSON this stays below what an agent's local socket takes at once.
PART_BYTES: Final = 24 * 1024
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
# Where the header chunk ends: the signature, length, name, 13 bytes, checksum.
_HEAD_BYTES: Final = 33


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What the head of a picture says; in pixels."""

    width: int
    height: int


def read_png(data: bytes) -> Picture:
    """Return what a PNG's head says.

    Args:
        data: the whole file.

    Raises:
        RemoteError: `screenshot-malformed` when it is none, or larger than a screen can be.
    """
    if len(data) > MAX_PICTURE_BYTES:
        raise RemoteError("screenshot-malformed", "the picture is too large")
    if (
        len(data) < _HEAD_BYTES + len(_END)
        or not data.startswith(_SIGNATURE)
        or data[8:16] != b"\x00\x00\x00\rIHDR"
        or not data.endswith(_END)
        or zlib.crc32(data[12:29]) != struct.unpack(">I", data[29:33])[0]
    ):
        raise RemoteError("screenshot-malformed", "the picture is no PNG")
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= MAX_PICTURE_SIDE and 0 < height <= MAX_PICTURE_SIDE):
        raise RemoteError("screenshot-malformed", "the picture has no size of a screen")
    return Picture(width=width, height=height)
