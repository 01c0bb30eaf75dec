"""Turns what changed on the screen into the rectangles of one update.

one colour                        Tight fill
few colours (text, windows)       Tight, compressed, with nothing lost
many colours, JPEG is wanted      Tight JPEG at the quality of the moment
many colours, no JPEG             Tight, compressed
a viewer without Tight            Raw, converted to its pixels
"""

from __future__ import annotations

from typing import Final

from PIL import Image

from farhand_agent.screen.capture import Frame
from farhand_agent.screen.pixel_format import PixelFormat
from farhand_agent.screen.rfb_messages import Encoding, Rectangle
from farhand_agent.screen.tight import basic, fill, jpeg
from farhand_agent.screen.tiles import Area

__all__ = ["Painter"]

# Text with smooth edges in several colours; a photograph has thousands.
_FEW_COLOURS: Final = 256


class Painter:
    """Encodes areas of pictures for one viewer.

    Args:
        pixel_format: that the viewer asked for.
        with_tight: whether it understands Tight.
        quality: of JPEG, 1 to 95; None for none.
        level: of zlib, 0 to 9.
    """

    def __init__(
        self,
        pixel_format: PixelFormat,
        *,
        with_tight: bool,
        quality: int | None,
        level: int,
    ) -> None:
        self._format = pixel_format
        self._with_tight = with_tight and pixel_format.has_short_pixels
        self._quality = quality
        self._level = level

    def paint(self, frame: Frame, area: Area) -> tuple[Rectangle, bool]:
        """Encode one area.

        Returns:
            The rectangle, and whether something was lost.
        """
        x, y, width, height = area
        if not self._with_tight:
            pixels = self._format.convert(_cut(frame, area))
            return Rectangle(x, y, width, height, Encoding.RAW, pixels), False
        picture = Image.frombuffer("RGB", (width, height), _cut(frame, area), "raw", "BGRX", 0, 1)
        colours = picture.getcolors(_FEW_COLOURS)
        is_lossy = False
        if colours is not None and len(colours) == 1:
            data = fill(*picture.getpixel((0, 0)))  # type: ignore[misc]  # three bytes: RGB
        elif colours is None and self._quality is not None:
            data, is_lossy = jpeg(picture, self._quality), True
        else:
            data = basic(picture, self._level)
        return Rectangle(x, y, width, height, Encoding.TIGHT, data), is_lossy


def _cut(frame: Frame, area: Area) -> bytes:
    """Return the rows of an area, one after the other."""
    x, y, width, height = area
    stride = 4 * frame.width
    if width == frame.width:
        return frame.pixels[y * stride : (y + height) * stride]
    start, end = 4 * x, 4 * (x + width)
    return b"".join(
        frame.pixels[row * stride + start : row * stride + end] for row in range(y, y + height)
    )
