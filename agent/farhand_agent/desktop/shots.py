"""A picture of the screen while the person looks it over: taken, blackened, sent or thrown away.

    none    take()                    -> draft
    draft   blacken(box), clear()     -> draft     the preview is what would be sent
    draft   finish()                  -> none      the blackened pixels, as PNG; the others are gone
    any     drop()                    -> none

The picture stays in the memory of the person's own process.  Boxes are painted into the pixels:
what lies under one is not in the file that leaves.  mss and Pillow are loaded when the first
picture is taken.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, Final

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.pictures import MAX_PICTURE_BYTES, MAX_PICTURE_SIDE

__all__ = ["MAX_BOXES", "Box", "Draft", "grab_screen", "small_enough"]

MAX_BOXES: Final = 100
_JPEG_QUALITIES: Final = (85, 60, 40)


@dataclass(frozen=True, kw_only=True)
class Box:
    """A black rectangle, in pixels of the picture."""

    x: int
    y: int
    width: int
    height: int


@dataclass(kw_only=True)
class Draft:
    """One picture and what is to be black in it.

    Args:
        rgb: its pixels, three bytes each, row by row.
        width, height: in pixels.
    """

    rgb: bytes
    width: int
    height: int
    boxes: list[Box] = field(default_factory=list)

    def blacken(self, box: Box) -> None:
        """Add a box; what lies outside the picture is cut off.

        Raises:
            UsageError: `box-malformed` when nothing of it is inside, or there are too many.
        """
        left, top = max(0, box.x), max(0, box.y)
        right = min(self.width, box.x + box.width)
        bottom = min(self.height, box.y + box.height)
        if left >= right or top >= bottom or len(self.boxes) >= MAX_BOXES:
            raise UsageError("box-malformed", "that box covers nothing of the picture")
        self.boxes.append(Box(x=left, y=top, width=right - left, height=bottom - top))

    def png(self) -> bytes:
        """Return the picture as it would be sent; takes a moment.

        Raises:
            FarhandError: `picture-failed` when it is larger than may be sent.
        """
        buffer = io.BytesIO()
        self._painted().save(buffer, "PNG", compress_level=6)
        if buffer.tell() > MAX_PICTURE_BYTES:
            raise FarhandError("picture-failed", "the picture is larger than may be sent")
        return buffer.getvalue()

    def _painted(self) -> Any:
        # Late, because a page without pictures does without Pillow.
        from PIL import Image

        image = Image.frombytes("RGB", (self.width, self.height), self.rgb)
        for box in self.boxes:
            image.paste((0, 0, 0), (box.x, box.y, box.x + box.width, box.y + box.height))
        return image


def grab_screen() -> Draft:
    """Take a picture of all of this user's screens; blocks for a moment.

    Raises:
        FarhandError: `picture-failed` where there is no screen that can be taken.
    """
    try:
        # Late, because a page without pictures does without it.
        import mss
        import mss.exception  # late, as the line above
    except ImportError as error:
        raise FarhandError(
            "picture-failed",
            "the libraries for pictures are not installed",
            hint="install farhand-agent[screen]",
        ) from error
    try:
        with mss.mss() as screens:
            taken = screens.grab(screens.monitors[0])
    except (mss.exception.ScreenShotError, OSError) as error:
        raise FarhandError(
            "picture-failed", "no picture of this screen can be taken", detail=str(error)
        ) from error
    if not (0 < taken.width <= MAX_PICTURE_SIDE and 0 < taken.height <= MAX_PICTURE_SIDE):
        raise FarhandError("picture-failed", "the screen is larger than a picture may be")
    return Draft(rgb=taken.rgb, width=taken.width, height=taken.height)


def small_enough(png: bytes, limit: int) -> bytes:
    """Return a picture within `limit` bytes: as it is, or as a JPEG, smaller where it must be.

    Raises:
        FarhandError: `picture-failed` when nothing helps.
    """
    if len(png) <= limit:
        return png
    # Late, as above.
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        for scale in (1, 2, 4):
            smaller = image.reduce(scale) if scale > 1 else image
            for quality in _JPEG_QUALITIES:
                buffer = io.BytesIO()
                smaller.save(buffer, "JPEG", quality=quality)
                if buffer.tell() <= limit:
                    return buffer.getvalue()
    raise FarhandError("picture-failed", "the picture is larger than may be sent")
