"""The three things that a system must be able to do besides showing its pixels, and who does them.

    system     mouse and keyboard     clipboard             pointer's shape
    X11        x11_input.py           x11_clipboard.py      x11_cursor.py
    Windows    windows_input.py       none                  none: it is not in the picture
    macOS      macos_input.py         macos_clipboard.py    none: it is not in the picture

Each is imported only on its own system.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from farhand_agent.screen.injector import Hands

__all__ = ["Clipboard", "Cursor", "CursorLook", "open_clipboard", "open_cursor", "open_hands"]


@dataclass(frozen=True)
class Cursor:
    """A pointer: its pixels are four bytes each, blue, green, red and how opaque."""

    width: int
    height: int
    hot_x: int
    hot_y: int
    pixels: bytes


class Clipboard(Protocol):
    """A system's clipboard, for text."""

    def put(self, text: str) -> None:
        """Let programs here have a text."""

    def poll(self, *, take: bool) -> str | None:
        """Return a text that was copied here since the last call; with `take` False never any."""

    def close(self) -> None:
        """Let go of it."""


class CursorLook(Protocol):
    """A way to see the pointer's shape."""

    def look(self) -> Cursor | None:
        """Return the pointer's shape where it is another than before."""

    def forget(self) -> None:
        """Take the shape as not seen yet."""

    def close(self) -> None:
        """Let go of it."""


_MODULES: Final = {
    "linux": {
        "hands": ("x11_input", "X11Hands"),
        "clipboard": ("x11_clipboard", "X11Clipboard"),
        "cursor": ("x11_cursor", "X11Cursor"),
    },
    "win32": {"hands": ("windows_input", "WindowsHands")},
    "darwin": {
        "hands": ("macos_input", "MacHands"),
        "clipboard": ("macos_clipboard", "MacClipboard"),
    },
}


def _make(what: str) -> Any:
    found = _MODULES.get(sys.platform, {}).get(what)
    if found is None:
        return None
    module, name = found
    return getattr(importlib.import_module(f"farhand_agent.screen.{module}"), name)()


def open_hands() -> Hands | None:
    """Return this system's mouse and keyboard; None where it has none.

    Raises:
        FarhandError: `screen-unavailable`.
    """
    return cast("Hands | None", _make("hands"))


def open_clipboard() -> Clipboard | None:
    """Return this system's clipboard; None where it has none.

    Raises:
        FarhandError: `screen-unavailable`.
    """
    return cast("Clipboard | None", _make("clipboard"))


def open_cursor() -> CursorLook | None:
    """Return a look at the pointer's shape; None where the system shows it in no such way.

    Raises:
        OSError: it cannot be seen.
    """
    return cast("CursorLook | None", _make("cursor"))
