"""Mouse and keyboard on X11, by the XTEST extension.

A character may stand on no key of the person's keyboard.  It is then put on a key that has nothing
on it, for as long as it is needed, and taken off again at the end; the last few stay, because
somebody who types a language needs them again and again.

Requests to X are a few bytes on a local socket and are answered at once, if at all; this is the
one work of the process it runs in.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from Xlib import XK, X, display
from Xlib.error import ConnectionClosedError, DisplayConnectionError, XError
from Xlib.ext import xtest

from farhand_agent.screen.keysyms import SHIFT_KEYS, keysym_of, text_of
from farhand_protocol.errors import FarhandError

__all__ = ["X11Hands"]

# Keycodes that are borrowed at a time, of those that carry nothing.  A program may look up a key
# some time after it was pressed, so one that was used is used anew as late as can be.
_MAX_BORROWED: Final = 64
_SHIFT_L: Final = 0xFFE1
# On which of a key's columns a character stands: plain, or with Shift.
_PLAIN, _SHIFTED = 0, 1


class X11Hands:
    """One display's mouse and keyboard.

    Args:
        name: of the display; that of the environment where it is None.

    Raises:
        FarhandError: `screen-unavailable`.
    """

    def __init__(self, name: str | None = None) -> None:
        try:
            self._display: Any = display.Display(name)
        except (DisplayConnectionError, ConnectionClosedError, OSError, XError) as error:
            raise FarhandError(
                "screen-unavailable", "the desktop cannot be reached", detail=str(error)
            ) from error
        if not self._display.has_extension("XTEST"):
            self._display.close()
            raise FarhandError("screen-unavailable", "this desktop takes no input from afar")
        self._first: int = self._display.display.info.min_keycode
        self._last: int = self._display.display.info.max_keycode
        self._borrowed: OrderedDict[int, int] = OrderedDict()  # keysym to keycode, oldest first
        self._down: dict[int, int] = {}
        self._spare: list[int] = []
        self._read_keyboard()
        self._spare = [code for code, row in self._rows.items() if not any(row)]

    def _read_keyboard(self) -> None:
        rows = self._display.get_keyboard_mapping(self._first, self._last - self._first + 1)
        self._rows: dict[int, tuple[int, ...]] = {
            self._first + at: tuple(row) for at, row in enumerate(rows)
        }
        self._codes: dict[int, tuple[int, int]] = {}
        for column in (_SHIFTED, _PLAIN):
            for code, row in self._rows.items():
                if len(row) > column and row[column]:
                    self._codes[row[column]] = code, column

    def move(self, x: int, y: int) -> None:
        """Move the pointer."""
        xtest.fake_input(self._display, X.MotionNotify, x=x, y=y)

    def button(self, number: int, is_down: bool) -> None:
        """Press or let go of a button."""
        xtest.fake_input(self._display, X.ButtonPress if is_down else X.ButtonRelease, number)

    def wheel(self, number: int) -> None:
        """Turn the wheel: on X11 it is a button for each direction."""
        self.button(number, True)
        self.button(number, False)

    def key(self, keysym: int, is_down: bool) -> None:
        """Press or let go of a key."""
        self._follow_layout()
        if not is_down:
            if (code := self._down.pop(keysym, None)) is not None:
                self._send(code, False)
            return
        found = self._find(keysym)
        if found is None:
            return
        code, column = found
        self._down[keysym] = code
        self._with_shift(code, column)

    def flush(self) -> None:
        """Send what waits."""
        self._display.flush()

    def close(self) -> None:
        """Give back the keys that were borrowed."""
        try:
            for code in self._borrowed.values():
                self._put(code, 0)
            self._display.sync()
            self._display.close()
        except (ConnectionClosedError, OSError, XError):
            return  # the desktop is gone, and the keyboard with it
        self._borrowed.clear()

    def _send(self, code: int, is_down: bool) -> None:
        xtest.fake_input(self._display, X.KeyPress if is_down else X.KeyRelease, code)

    def _follow_layout(self) -> None:
        """Read the keyboard again where somebody changed it."""
        changed = False
        while self._display.pending_events():
            event = self._display.next_event()
            changed = changed or event.type == X.MappingNotify
        if changed:
            self._read_keyboard()

    def _find(self, keysym: int) -> tuple[int, int] | None:
        """Return the key with this character, and its column; borrow one where there is none."""
        text = text_of(keysym)
        for name in (keysym, keysym_of(text) if text else keysym, _old_name(text)):
            if name in self._codes:
                return self._codes[name]
        return self._borrow(keysym)

    def _borrow(self, keysym: int) -> tuple[int, int] | None:
        if keysym in self._borrowed:
            self._borrowed.move_to_end(keysym)
            return self._borrowed[keysym], _PLAIN
        code = self._free_code()
        if code is None:
            return None
        self._put(code, keysym)
        self._display.sync()
        self._borrowed[keysym] = code
        return code, _PLAIN

    def _free_code(self) -> int | None:
        if self._spare and len(self._borrowed) < _MAX_BORROWED:
            return self._spare.pop()
        for keysym, code in self._borrowed.items():
            if keysym not in self._down:
                del self._borrowed[keysym]
                return code
        return None

    def _put(self, code: int, keysym: int) -> None:
        """Put a character on a key, with and without Shift, or nothing."""
        width = len(self._rows[code])
        self._display.change_keyboard_mapping(code, [[keysym] * 2 + [0] * (width - 2)])

    def _with_shift(self, code: int, column: int) -> None:
        """Press a key so that it writes what stands in this column, whatever Shift is doing."""
        held = [self._down[one] for one in self._down if one in SHIFT_KEYS]
        is_letter_key = code not in held
        if (
            not is_letter_key
            or code in self._borrowed.values()
            or bool(held) == (column == _SHIFTED)
        ):
            self._send(code, True)
        elif held and _writes(self._rows[code]):
            for one in held:
                self._send(one, False)
            self._send(code, True)
            for one in held:
                self._send(one, True)
        elif held:
            self._send(code, True)  # Shift with Tab, arrows and the like means what it says
        else:
            shift = self._codes.get(_SHIFT_L, (0, 0))[0]
            self._send(shift, True)
            self._send(code, True)
            self._send(shift, False)


def _writes(row: tuple[int, ...]) -> bool:
    """Tell whether a key writes something else with Shift."""
    return len(row) > 1 and bool(row[1]) and row[0] != row[1] and bool(text_of(row[0]))


def _old_name(text: str) -> int:
    """Return the older keysym of a character, where X knows one; 0 where not."""
    return _OLD_NAMES.get(text, 0)


def _old_names() -> dict[str, int]:
    XK.load_keysym_group("cyrillic")
    XK.load_keysym_group("greek")
    XK.load_keysym_group("latin2")
    return {
        told: value
        for name, value in vars(XK).items()
        if name.startswith("XK_") and isinstance(value, int) and (told := text_of(value))
    }


_OLD_NAMES: Final = _old_names()
