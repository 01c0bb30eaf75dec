"""Recorded output on the terminal of whoever watches it: drawing passes, everything else does not.

A recording is written by the device, and a hostile one could record sequences that make a terminal
answer (which lands on the watcher's command line), set the clipboard or the title, report the mouse
or print.  So only what draws goes through:

    text        printable characters, and tab, backspace, newline, carriage return
    ESC c       with c among  7 8 D E M = >  and the character sets  ESC ( c,  ESC ) c
    CSI         cursor, erase, scroll, colours, and of the modes (h, l) those in `_MODES`
    the rest    dropped: OSC, DCS, APC, PM, SOS with all they hold, C1 controls, reports, bells

Sequences may be cut in two by the recording's lines; the filter goes on where it stopped.
"""

from __future__ import annotations

import re
import sys
import time
import unicodedata
from collections.abc import Callable
from typing import Final

from farhand_console.session.recording_streams import Stream, shown_event

__all__ = ["ScreenFilter", "play_stream"]

_TEXT_CONTROLS: Final = frozenset("\t\b\n\r")
# What lets a text run backwards or hide; they draw nothing.
_HIDDEN: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTION: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_SHORT: Final = frozenset("78DEM=>")
_CSI_FINALS: Final = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu")
_CSI: Final = re.compile(r"\?[0-9;]*\Z|[0-9;:]*\Z")
# Autowrap, cursor blinking and showing, alternate screens, synchronized output, insert mode.
_MODES: Final = frozenset({"?7", "?12", "?25", "?47", "?1047", "?1048", "?1049", "?2026", "4"})
_MAX_SEQUENCE: Final = 64
_RESET: Final = "\x1b[?1049l\x1b[?7h\x1b[?25h\x1b[4l\x1b[r\x1b(B\x1b[0m\r\n"


class ScreenFilter:
    """Lets through what draws; see the module's table."""

    def __init__(self) -> None:
        self._state: Callable[[str], str] = self._plain
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what of the text may go to a terminal."""
        return "".join([self._state(one) for one in text])

    def _plain(self, one: str) -> str:
        if one == "\x1b":
            self._state = self._escape
        elif one in _TEXT_CONTROLS:
            return one
        elif unicodedata.category(one) in _HIDDEN:
            if one in "\x90\x98\x9d\x9e\x9f":
                self._state = self._string
            elif one == "\x9b":
                self._begin(self._sequence)
        elif one not in _DIRECTION:
            return one
        return ""

    def _begin(self, state: Callable[[str], str]) -> None:
        self._held, self._state = "", state

    def _escape(self, one: str) -> str:
        self._state = self._plain
        if one in _SHORT:
            return f"\x1b{one}"
        if one == "[":
            self._begin(self._sequence)
        elif one in "]P_^X":
            self._state = self._string
        elif one in "()":
            self._begin(self._charset)
            self._held = one
        elif one in " #%*+-./":
            self._state = self._swallow
        elif one == "\x1b":
            self._state = self._escape
        return ""

    def _swallow(self, _one: str) -> str:
        self._state = self._plain
        return ""

    def _charset(self, one: str) -> str:
        self._state = self._plain
        return f"\x1b{self._held}{one}" if one in "0AB" else ""

    def _string(self, one: str) -> str:
        if one in "\x07\x9c\x18\x1a":
            self._state = self._plain
        elif one == "\x1b":
            self._state = self._string_escape
        return ""

    def _string_escape(self, one: str) -> str:
        # ESC \\ ends the string; any other ESC ends it too, and begins what it begins.
        self._state = self._plain
        return "" if one == "\\" else self._escape(one)

    def _sequence(self, one: str) -> str:
        if "\x20" <= one <= "\x3f" and len(self._held) < _MAX_SEQUENCE:
            self._held += one
            return ""
        self._state = self._plain
        if one == "\x1b":
            self._state = self._escape
            return ""
        return f"\x1b[{self._held}{one}" if self._draws(one) else ""

    def _draws(self, final: str) -> bool:
        if final not in _CSI_FINALS or not _CSI.match(self._held):
            return False
        mark, numbers = self._held[:1], self._held.lstrip("?")
        if final in "hl":
            return all(
                f"{'?' if mark == '?' else ''}{number}" in _MODES for number in numbers.split(";")
            )
        return mark != "?" or final in "JK"


def play_stream(
    stream: Stream,
    *,
    speed: float,
    idle_limit_s: float,
    write: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show one stream at its own pace.

    Args:
        stream: what was recorded.
        speed: 2.0 is twice as fast; 0 waits for nothing.
        idle_limit_s: no pause is longer than this, before it is divided by the speed.
        write: takes text that is safe on a terminal.
        sleep: waits.
    """
    screen = ScreenFilter()
    try:
        for event in stream.events:
            pause_s = min(event.interval_s, idle_limit_s)
            if speed > 0 and pause_s > 0:
                sleep(pause_s / speed)
            shown = shown_event(stream, event)
            if shown.code == "o":
                write(screen.feed(shown.data))
    finally:
        if sys.stdout.isatty():
            write(_RESET)
