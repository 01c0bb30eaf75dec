"""Mouse and keyboard on macOS, by Quartz events.

The system asks the person once to let this program use her computer (Accessibility), and to see her
screen (Screen Recording); until she does, both do nothing.  A character is sent as itself, whatever
the keyboard's layout; with Command or Control held it is sent as the key that carries it on an
American keyboard, which is where programs look for shortcuts.
Source: developer.apple.com, Quartz Event Services; HIToolbox/Events.h for the key codes.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any, Final, Protocol

from farhand_agent.screen.keysyms import CONTROL_KEYS, text_of
from farhand_protocol.errors import FarhandError

__all__ = ["MacHands", "Quartz"]

_MOVED: Final = 5
# By button of RFB: down, up, dragged, and its number here.
_BUTTONS: Final = {1: (1, 2, 6, 0), 2: (25, 26, 27, 2), 3: (3, 4, 7, 1)}
# By wheel button: lines up and lines left.
_WHEELS: Final = {4: (1, 0), 5: (-1, 0), 6: (0, 1), 7: (0, -1)}
_COMMAND_KEYS: Final = frozenset({0xFFE7, 0xFFE8, 0xFFEB, 0xFFEC})
_SHIFT, _CONTROL, _OPTION, _COMMAND = 1 << 17, 1 << 18, 1 << 19, 1 << 20
_FLAGS: Final = {
    0xFFE1: _SHIFT, 0xFFE2: _SHIFT, 0xFFE3: _CONTROL, 0xFFE4: _CONTROL, 0xFFE9: _OPTION,
    0xFFEA: _OPTION, **dict.fromkeys(_COMMAND_KEYS, _COMMAND),
}  # fmt: skip
_KEYS: Final = {
    0xFF08: 51, 0xFF09: 48, 0xFE20: 48, 0xFF0D: 36, 0xFF8D: 76, 0xFF1B: 53, 0xFF50: 115,
    0xFF51: 123, 0xFF52: 126, 0xFF53: 124, 0xFF54: 125, 0xFF55: 116, 0xFF56: 121, 0xFF57: 119,
    0xFFFF: 117,
    0xFFE1: 56, 0xFFE2: 60, 0xFFE3: 59, 0xFFE4: 62, 0xFFE5: 57, 0xFFE9: 58, 0xFFEA: 61, 0xFFE7: 55,
    0xFFE8: 54, 0xFFEB: 55, 0xFFEC: 54, 0xFFBE: 122, 0xFFBF: 120, 0xFFC0: 99, 0xFFC1: 118,
    0xFFC2: 96, 0xFFC3: 97, 0xFFC4: 98, 0xFFC5: 100, 0xFFC6: 101, 0xFFC7: 109, 0xFFC8: 103,
    0xFFC9: 111,
}  # fmt: skip
_LETTERS: Final = dict(
    zip(
        "asdfhgzxcvbqweryt123465=97-80]ou[ip\rlj'k;\\,/nm.\t ",
        [*range(10), *range(11, 36), *range(36, 50)],
        strict=True,
    )
)


class Quartz(Protocol):
    """What is needed of the ApplicationServices framework."""

    def mouse(self, kind: int, x: float, y: float, button: int) -> None:
        """Post a mouse event."""

    def scroll(self, up: int, left: int) -> None:
        """Post a turn of the wheel, in lines."""

    def key(self, code: int, is_down: bool, text: str, flags: int) -> None:
        """Post a key event; `text` is what it writes, or empty for what the key itself does."""


class _Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_double), ("y", ctypes.c_double))


class _RealQuartz:
    def __init__(self) -> None:
        path = ctypes.util.find_library("ApplicationServices")
        if path is None:
            raise FarhandError("screen-unavailable", "the desktop cannot be reached")
        self._lib: Any = ctypes.CDLL(path)
        pointer, number, flag = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_bool
        for name, answer, takes in (
            ("CGEventCreateMouseEvent", pointer, (pointer, number, _Point, number)),
            ("CGEventCreateKeyboardEvent", pointer, (pointer, ctypes.c_uint16, flag)),
            # The one without a variable number of arguments.
            (
                "CGEventCreateScrollWheelEvent2",
                pointer,
                (pointer, number, number, *(ctypes.c_int32,) * 3),
            ),
            ("CGEventKeyboardSetUnicodeString", None, (pointer, ctypes.c_ulong, pointer)),
            ("CGEventSetFlags", None, (pointer, ctypes.c_uint64)),
            ("CGEventPost", None, (number, pointer)),
            ("CFRelease", None, (pointer,)),
        ):
            function = getattr(self._lib, name)
            function.restype, function.argtypes = answer, takes

    def mouse(self, kind: int, x: float, y: float, button: int) -> None:
        self._post(self._lib.CGEventCreateMouseEvent(None, kind, _Point(x, y), button))

    def scroll(self, up: int, left: int) -> None:
        self._post(self._lib.CGEventCreateScrollWheelEvent2(None, 1, 2, up, left, 0))

    def key(self, code: int, is_down: bool, text: str, flags: int) -> None:
        event = self._lib.CGEventCreateKeyboardEvent(None, code, is_down)
        if text:
            units = text.encode("utf-16-le")
            self._lib.CGEventKeyboardSetUnicodeString(event, len(units) // 2, units)
        self._lib.CGEventSetFlags(event, flags)
        self._post(event)

    def _post(self, event: Any) -> None:
        self._lib.CGEventPost(0, event)
        self._lib.CFRelease(event)


class MacHands:
    """This desktop's mouse and keyboard.

    Args:
        quartz: to be told; the system's own where it is None.

    Raises:
        FarhandError: `screen-unavailable`.
    """

    def __init__(self, quartz: Quartz | None = None) -> None:
        self._quartz = quartz or _RealQuartz()
        self._at = (0.0, 0.0)
        self._held_button = 0
        self._down: dict[int, tuple[int, str]] = {}

    def move(self, x: int, y: int) -> None:
        """Move the pointer, or drag with it."""
        self._at = float(x), float(y)
        if self._held_button:
            _, _, dragged, number = _BUTTONS[self._held_button]
            self._quartz.mouse(dragged, *self._at, number)
        else:
            self._quartz.mouse(_MOVED, *self._at, 0)

    def button(self, number: int, is_down: bool) -> None:
        """Press or let go of a button."""
        down, up, _, theirs = _BUTTONS[number]
        self._held_button = number if is_down else 0
        self._quartz.mouse(down if is_down else up, *self._at, theirs)

    def wheel(self, number: int) -> None:
        """Turn the wheel."""
        self._quartz.scroll(*_WHEELS[number])

    def key(self, keysym: int, is_down: bool) -> None:
        """Press or let go of a key."""
        found = self._find(keysym) if is_down else self._down.pop(keysym, None)
        if found is None:
            return
        if is_down:
            self._down[keysym] = found
        flags = 0
        for held in self._down:
            flags |= _FLAGS.get(held, 0)
        self._quartz.key(found[0], is_down, found[1], flags)

    def flush(self) -> None:
        """Nothing waits: each event was posted."""

    def close(self) -> None:
        """Nothing was changed, and nothing is put back."""

    def _find(self, keysym: int) -> tuple[int, str] | None:
        """Return the key's code, and the text it is to write."""
        if keysym in _KEYS:
            return _KEYS[keysym], ""
        text = text_of(keysym)
        is_shortcut = bool(self._down.keys() & (_COMMAND_KEYS | CONTROL_KEYS))
        if is_shortcut and text.lower() in _LETTERS:
            return _LETTERS[text.lower()], ""
        return (0, text) if text else None
