"""How a viewer wants its pixels: true colour of 32 bits with whole bytes for each colour.

That is what every viewer of this century asks for.  Palettes and fewer bits would need a conversion
of each pixel by hand; a viewer that insists on them is told so and nothing is shown to it.
Source: RFC 6143 s7.4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from farhand_protocol.errors import RemoteError

__all__ = ["FORMAT_BYTES", "OURS", "PixelFormat", "read_format"]

_LAYOUT: Final = struct.Struct(">BBBBHHHBBB3x")
FORMAT_BYTES: Final = _LAYOUT.size
_BYTE_SHIFTS: Final = (0, 8, 16, 24)


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """Where red, green and blue stand in a pixel's four bytes, from 0, and what `depth` it says."""

    red: int
    green: int
    blue: int
    depth: int = 24

    @property
    def has_short_pixels(self) -> bool:
        """Whether Tight writes a pixel as three bytes (its TPIXEL)."""
        return self.depth == 24

    def write(self) -> bytes:
        """Return it as it goes over the wire, little end first."""
        return _LAYOUT.pack(
            32, self.depth, 0, 1, 255, 255, 255, 8 * self.red, 8 * self.green, 8 * self.blue
        )

    def convert(self, bgrx: bytes) -> bytes:
        """Return pixels of ours (blue, green, red, nothing) as this viewer wants them."""
        if (self.red, self.green, self.blue) == (2, 1, 0):
            return bgrx
        out = bytearray(len(bgrx))
        out[self.red :: 4] = bgrx[2::4]
        out[self.green :: 4] = bgrx[1::4]
        out[self.blue :: 4] = bgrx[0::4]
        return bytes(out)


OURS: Final = PixelFormat(red=2, green=1, blue=0)


def read_format(data: bytes) -> PixelFormat:
    """Read the format that a viewer asks for.

    Args:
        data: `FORMAT_BYTES`.

    Raises:
        RemoteError: `rfb-pixel-format` for what is not served.
    """
    bits, depth, is_big, is_true, *maxima, red, green, blue = _LAYOUT.unpack(data)
    shifts = (red, green, blue)
    sound = (
        bits == 32
        and depth in (24, 32)
        and is_true
        and maxima == [255, 255, 255]
        and len(set(shifts)) == 3
        and all(shift in _BYTE_SHIFTS for shift in shifts)
    )
    if not sound:
        raise RemoteError(
            "rfb-pixel-format",
            "the viewer asks for colours that are not served",
            hint="set the viewer to full colour (24 bits)",
        )
    places = [3 - shift // 8 if is_big else shift // 8 for shift in shifts]
    return PixelFormat(red=places[0], green=places[1], blue=places[2], depth=depth)
