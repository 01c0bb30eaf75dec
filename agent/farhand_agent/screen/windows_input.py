"""Mouse and keyboard on Windows, by SendInput.

Places are told in 65,536ths of the whole desktop, all monitors together.  A character is sent as
itself (KEYEVENTF_UNICODE), whatever the keyboard's layout; with Ctrl, Alt or the Windows key held
it is sent as the key that carries it, so that shortcuts are shortcuts.  Windows lets no program
press Ctrl-Alt-Del, nor reach a window of an administrator's program from one that is none.
Source: learn.microsoft.com, SendInput, INPUT, Virtual-Key Codes.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, Protocol

from farhand_agent.screen.keysyms import ALT_KEYS, CONTROL_KEYS, text_of
from farhand_protocol.errors import FarhandError

__all__ = ["Input", "User32", "WindowsHands"]

_MOUSE, _KEYBOARD = 0, 1
_MOVE, _WHEEL, _H_WHEEL = 0x0001, 0x0800, 0x1000
_VIRTUAL_DESK, _ABSOLUTE = 0x4000, 0x8000
# By button: the flags of down and up.
_BUTTONS: Final = {1: (0x0002, 0x0004), 2: (0x0020, 0x0040), 3: (0x0008, 0x0010)}
_NOTCH: Final = 120
_WHEELS: Final = {
    4: (_WHEEL, _NOTCH),
    5: (_WHEEL, -_NOTCH),
    6: (_H_WHEEL, -_NOTCH),
    7: (_H_WHEEL, _NOTCH),
}
_KEY_EXTENDED, _KEY_UP, _KEY_UNICODE = 0x0001, 0x0002, 0x0004
_VIRTUAL_SCREEN: Final = (76, 77, 78, 79)  # SM_XVIRTUALSCREEN and its neighbours
_WINDOWS_KEYS: Final = frozenset({0xFFEB, 0xFFEC})
# Keysym to virtual key; those with True lie beside the number pad, which has the same ones.
_KEYS: Final[dict[int, tuple[int, bool]]] = {
    0xFF08: (0x08, False), 0xFF09: (0x09, False), 0xFE20: (0x09, False), 0xFF0D: (0x0D, False),
    0xFF8D: (0x0D, True), 0xFF13: (0x13, False), 0xFF14: (0x91, False), 0xFF1B: (0x1B, False),
    0xFF50: (0x24, True), 0xFF51: (0x25, True), 0xFF52: (0x26, True), 0xFF53: (0x27, True),
    0xFF54: (0x28, True), 0xFF55: (0x21, True), 0xFF56: (0x22, True), 0xFF57: (0x23, True),
    0xFF61: (0x2C, True), 0xFF63: (0x2D, True), 0xFFFF: (0x2E, True), 0xFF67: (0x5D, True),
    0xFF7F: (0x90, True), 0xFFE1: (0xA0, False), 0xFFE2: (0xA1, False), 0xFFE3: (0xA2, False),
    0xFFE4: (0xA3, True), 0xFFE5: (0x14, False), 0xFFE9: (0xA4, False), 0xFFEA: (0xA5, True),
    0xFFEB: (0x5B, True), 0xFFEC: (0x5C, True),
    **{0xFFBE + at: (0x70 + at, False) for at in range(24)},
}  # fmt: skip


class _Mouse(ctypes.Structure):
    _fields_ = (
        ("dx", ctypes.c_int32),
        ("dy", ctypes.c_int32),
        ("data", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("time", ctypes.c_uint32),
        ("extra", ctypes.c_size_t),
    )


class _Key(ctypes.Structure):
    _fields_ = (
        ("virtual_key", ctypes.c_uint16),
        ("scan", ctypes.c_uint16),
        ("flags", ctypes.c_uint32),
        ("time", ctypes.c_uint32),
        ("extra", ctypes.c_size_t),
    )


class _Either(ctypes.Union):
    _fields_ = (("mouse", _Mouse), ("key", _Key))


class Input(ctypes.Structure):
    """INPUT of winuser.h."""

    _fields_ = (("kind", ctypes.c_uint32), ("either", _Either))


class User32(Protocol):
    """What is needed of user32.dll."""

    def send(self, inputs: list[Input]) -> None:
        """Hand several inputs over at once."""

    def desktop(self) -> tuple[int, int, int, int]:
        """Return left, top, width and height of all monitors together."""


class _RealUser32:
    def __init__(self) -> None:
        try:
            self._dll: Any = getattr(ctypes, "WinDLL")("user32")  # noqa: B009  # Windows alone
        except (AttributeError, OSError) as error:
            raise FarhandError("screen-unavailable", "the desktop cannot be reached") from error

    def send(self, inputs: list[Input]) -> None:
        several = (Input * len(inputs))(*inputs)
        self._dll.SendInput(len(inputs), several, ctypes.sizeof(Input))

    def desktop(self) -> tuple[int, int, int, int]:
        left, top, width, height = (int(self._dll.GetSystemMetrics(n)) for n in _VIRTUAL_SCREEN)
        return left, top, width, height


class WindowsHands:
    """This desktop's mouse and keyboard.

    Args:
        user32: to be told; the system's own where it is None.

    Raises:
        FarhandError: `screen-unavailable`.
    """

    def __init__(self, user32: User32 | None = None) -> None:
        self._user32 = user32 or _RealUser32()
        self._waiting: list[Input] = []
        self._down: dict[int, list[tuple[int, int, int]]] = {}

    def move(self, x: int, y: int) -> None:
        """Move the pointer."""
        left, top, width, height = self._user32.desktop()
        across = (x - left) * 65_535 // max(1, width - 1)
        down = (y - top) * 65_535 // max(1, height - 1)
        self._mouse(_MOVE | _ABSOLUTE | _VIRTUAL_DESK, dx=across, dy=down)

    def button(self, number: int, is_down: bool) -> None:
        """Press or let go of a button."""
        down, up = _BUTTONS[number]
        self._mouse(down if is_down else up)

    def wheel(self, number: int) -> None:
        """Turn the wheel."""
        flags, by = _WHEELS[number]
        self._mouse(flags, data=by & 0xFFFFFFFF)

    def key(self, keysym: int, is_down: bool) -> None:
        """Press or let go of a key."""
        pressed = self._press(keysym) if is_down else self._down.pop(keysym, [])
        if is_down:
            self._down[keysym] = pressed
        for virtual_key, scan, flags in pressed:
            told = Input(kind=_KEYBOARD)
            told.either.key = _Key(virtual_key, scan, flags | (0 if is_down else _KEY_UP), 0, 0)
            self._waiting.append(told)

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            self._user32.send(self._waiting)
            self._waiting = []

    def close(self) -> None:
        """Nothing was changed, and nothing is put back."""

    def _mouse(self, flags: int, *, dx: int = 0, dy: int = 0, data: int = 0) -> None:
        told = Input(kind=_MOUSE)
        told.either.mouse = _Mouse(dx, dy, data, flags, 0, 0)
        self._waiting.append(told)

    def _press(self, keysym: int) -> list[tuple[int, int, int]]:
        """Return virtual key, scan code and flags of each input that a key is."""
        if keysym in _KEYS:
            virtual_key, is_extended = _KEYS[keysym]
            return [(virtual_key, 0, _KEY_EXTENDED if is_extended else 0)]
        text = text_of(keysym)
        is_shortcut = bool(self._down.keys() & (CONTROL_KEYS | ALT_KEYS | _WINDOWS_KEYS))
        if is_shortcut and text.isascii() and text.isalnum():
            return [(ord(text.upper()), 0, 0)]
        units = text.encode("utf-16-le")
        return [
            (0, int.from_bytes(units[at : at + 2], "little"), _KEY_UNICODE)
            for at in range(0, len(units), 2)
        ]
