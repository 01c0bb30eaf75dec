"""Rectangles in the Tight encoding: one colour, JPEG, or compressed as they are.

Each compressed rectangle begins its zlib stream anew.  That costs a few bytes, and makes every
rectangle readable by itself, so that a recording can be entered at any full picture.
Source: the Tight encoding in github.com/rfbproto/rfbproto.
"""

from __future__ import annotations

import io
import zlib
from typing import Final

from PIL import Image

__all__ = ["MAX_RECTANGLE_PIXELS", "MAX_RECTANGLE_WIDTH", "basic", "fill", "jpeg", "jpeg_quality"]

# Tight's own bounds: a rectangle is at most so wide, and its length fits 22 bits.
MAX_RECTANGLE_WIDTH: Final = 2048
MAX_RECTANGLE_PIXELS: Final = 512 * 1024
_FILL: Final = b"\x80"
_JPEG: Final = b"\x90"
# Stream 0, which is reset first; the copy filter.
_BASIC: Final = b"\x01"
_UNCOMPRESSED_BELOW: Final = 12
# What viewers mean by their levels 0 to 9.
_QUALITIES: Final = (15, 29, 41, 50, 60, 70, 77, 83, 90, 95)


def jpeg_quality(level: int) -> int:
    """Return the quality of JPEG, 1 to 95, that a viewer's level 0 to 9 means."""
    return _QUALITIES[level]


def fill(red: int, green: int, blue: int) -> bytes:
    """Return a rectangle of one colour."""
    return _FILL + bytes((red, green, blue))


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """Return a rectangle as JPEG, which loses a little of it."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return _JPEG + _length(out.tell()) + out.getvalue()


def basic(picture: Image.Image, level: int) -> bytes:
    """Return a rectangle compressed, with nothing lost.

    Args:
        picture: RGB, at most `MAX_RECTANGLE_PIXELS`.
        level: of zlib, 0 to 9.
    """
    pixels = picture.tobytes()
    if len(pixels) < _UNCOMPRESSED_BELOW:
        return _BASIC + pixels
    packer = zlib.compressobj(level)
    packed = packer.compress(pixels) + packer.flush(zlib.Z_SYNC_FLUSH)
    return _BASIC + _length(len(packed)) + packed


def _length(size: int) -> bytes:
    """Return Tight's compact length, one to three bytes of seven bits."""
    out = bytearray([size & 0x7F])
    if size > 0x7F:
        out[0] |= 0x80
        out.append((size >> 7) & 0x7F)
    if size > 0x3FFF:
        out[1] |= 0x80
        out.append((size >> 14) & 0xFF)
    return bytes(out)
