"""Pictures of the whole screen, all monitors as one desktop.

mss reads the pixels on X11, Windows and macOS; nothing of the three systems is written here.  X11
has one root window for all monitors, whose size may change at any time; a picture that fails for
that is taken once more at the new size.  Wayland lets no program read the screen of others.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import mss
from mss.exception import ScreenShotError

from farhand_protocol.errors import FarhandError

__all__ = ["MAX_SCREEN_PIXELS", "Frame", "ScreenCapture", "check_session", "grab"]

# Four 4K monitors; RFB counts to 65,535 on each side.
MAX_SCREEN_PIXELS: Final = 4 * 3840 * 2160
_LOOK_AGAIN_S: Final = 1.0


@dataclass(frozen=True)
class Frame:
    """One picture: rows of four bytes a pixel, blue, green, red and nothing.

    `left` and `top` are where the desktop begins; a monitor left of the first one has negative
    ones.
    """

    width: int
    height: int
    pixels: bytes
    left: int = 0
    top: int = 0

    def rgb(self) -> bytes:
        """Return three bytes a pixel: red, green, blue."""
        out = bytearray(3 * self.width * self.height)
        out[0::3], out[1::3], out[2::3] = self.pixels[2::4], self.pixels[1::4], self.pixels[0::4]
        return bytes(out)

    @classmethod
    def black(cls, width: int, height: int) -> Frame:
        """Return a picture of nothing."""
        return cls(width, height, bytes(4 * width * height))


def check_session(environment: dict[str, str] | None = None) -> None:
    """Look whether this process may see a screen at all.

    Raises:
        FarhandError: `screen-wayland`, `screen-unavailable`.
    """
    have = os.environ if environment is None else environment
    if sys.platform != "linux":
        return
    if have.get("WAYLAND_DISPLAY") and have.get("XDG_SESSION_TYPE", "wayland") == "wayland":
        raise FarhandError(
            "screen-wayland",
            "the desktop of this device is Wayland, which shows its screen to no other program",
            hint="share the screen by the desktop's own remote desktop (VNC or RDP), and reach it "
            "under the scope desktop",
        )
    if not have.get("DISPLAY"):
        raise FarhandError(
            "screen-unavailable", "nobody has a graphical desktop open on this device"
        )


class ScreenCapture:
    """Takes pictures, one after the other.  Blocks; belongs to one thread at a time.

    Args:
        with_cursor: the pointer is drawn into the picture, where the system can.
        display: of X11; that of the environment where it is None.
        clock: monotonic seconds.

    Raises:
        FarhandError: `screen-unavailable`.
    """

    def __init__(
        self,
        *,
        with_cursor: bool = False,
        display: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._display = display
        self._with_cursor = with_cursor
        self._clock = clock
        self._looked_at = float("-inf")
        self._area: dict[str, int] = {}
        self._source = self._open()

    def _open(self) -> Any:
        try:
            if sys.platform != "linux":
                return mss.MSS()
            return mss.MSS(display=self._display, with_cursor=self._with_cursor)
        except (ScreenShotError, OSError) as error:
            raise FarhandError(
                "screen-unavailable", "the screen cannot be read", detail=str(error)
            ) from error

    @property
    def with_cursor(self) -> bool:
        """Whether the pointer is drawn into the pictures."""
        return self._with_cursor

    @with_cursor.setter
    def with_cursor(self, wanted: bool) -> None:
        if wanted != self._with_cursor:
            self._with_cursor = wanted
            self._looked_at = float("-inf")  # mss is told only when it is opened

    def close(self) -> None:
        """Let go of the screen."""
        self._source.close()

    def grab(self) -> Frame:
        """Take a picture.

        Raises:
            FarhandError: `screen-unavailable`, `screen-too-large`.
        """
        if self._clock() - self._looked_at >= _LOOK_AGAIN_S:
            self._look()
        try:
            return self._take()
        except ScreenShotError:
            # The screen became smaller than it was a moment ago.
            self._look()
        try:
            return self._take()
        except ScreenShotError as error:
            raise FarhandError(
                "screen-unavailable", "the screen cannot be read", detail=str(error)
            ) from error

    def _look(self) -> None:
        """Find out how large the desktop is now; mss asks for that only once."""
        fresh = self._open()
        try:
            area = fresh.monitors[0]
        except ScreenShotError as error:
            fresh.close()
            raise FarhandError(
                "screen-unavailable", "the screen cannot be read", detail=str(error)
            ) from error
        self._area = {name: int(area[name]) for name in ("left", "top", "width", "height")}
        self._source.close()
        self._source = fresh
        self._looked_at = self._clock()
        width, height = self._area["width"], self._area["height"]
        if width * height > MAX_SCREEN_PIXELS or max(width, height) > 65_535:
            raise FarhandError("screen-too-large", "the screen is larger than can be shown")

    def _take(self) -> Frame:
        shot = self._source.grab(self._area)
        return Frame(
            shot.width, shot.height, bytes(shot.bgra), self._area["left"], self._area["top"]
        )


def grab(*, with_cursor: bool = False, display: str | None = None) -> Frame:
    """Take one picture of the whole screen.

    Raises:
        FarhandError: `screen-wayland`, `screen-unavailable`, `screen-too-large`.
    """
    if display is None:
        check_session()
    capture = ScreenCapture(with_cursor=with_cursor, display=display)
    try:
        return capture.grab()
    finally:
        capture.close()
