"""The shape of the pointer on X11, for a viewer that draws it by itself."""

from __future__ import annotations

from typing import Any, Final

from Xlib import display
from Xlib.error import ConnectionClosedError, DisplayConnectionError, XError

from farhand_agent.screen.backends import Cursor

__all__ = ["X11Cursor"]

_LARGEST: Final = 256


class X11Cursor:
    """Looks at the pointer of one display.

    Args:
        name: of the display; that of the environment where it is None.

    Raises:
        OSError: there is no such display.
    """

    def __init__(self, name: str | None = None) -> None:
        try:
            self._display: Any = display.Display(name)
        except (DisplayConnectionError, ConnectionClosedError, XError) as error:
            raise OSError("the display cannot be reached") from error
        self._root = self._display.screen().root
        self._can_look = self._display.has_extension("XFIXES")
        if self._can_look:
            self._display.xfixes_query_version()
        self._serial = -1

    def look(self) -> Cursor | None:
        """Return the pointer's shape where it is another than before."""
        if not self._can_look:
            return None
        try:
            image = self._display.xfixes_get_cursor_image(self._root)
        except (XError, ConnectionClosedError, OSError):
            return None  # the desktop is going; the next picture says so
        if image.cursor_serial == self._serial or max(image.width, image.height) > _LARGEST:
            return None
        self._serial = image.cursor_serial
        # 32 bits each, alpha highest; on a 64-bit server they may come padded.
        pixels = b"".join(
            (int(one) & 0xFFFFFFFF).to_bytes(4, "little") for one in image.cursor_image
        )
        return Cursor(image.width, image.height, image.xhot, image.yhot, pixels)

    def forget(self) -> None:
        """Take the shape as not seen yet."""
        self._serial = -1

    def close(self) -> None:
        """Let go of the display."""
        try:
            self._display.close()
        except (ConnectionClosedError, OSError, XError):
            return  # it is gone already
