"""The keys of the person at the device, one at a time, and lines where a question needs one.

    released  hold()               -> keys       no echo, no editing; Ctrl-C is a key as well
    keys      read_line()          -> line       what was typed before is thrown away first
    line      Enter                -> keys       the line goes to whoever asked for it
    line      Ctrl-C, drop_line()  -> keys       no line; Ctrl-C is then a key
    any       release()            -> released   the terminal is as it was

Output is left alone, so that the screen is written as ever.  It is not an editor: a line knows
backspace and nothing else, and only what can be seen is echoed.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import termios
from collections.abc import Callable
from typing import Any, Final

__all__ = ["CTRL_C", "Keyboard"]

CTRL_C: Final = "\x03"
_CTRL_D: Final = "\x04"
_ERASE: Final = ("\x7f", "\b")
MAX_LINE_CHARS: Final = 1000


class Keyboard:
    """One terminal's keys.

    Args:
        descriptor: of the terminal.
        on_key: takes each key while no line is read.
        echo: writes to the screen.
    """

    def __init__(
        self, descriptor: int, on_key: Callable[[str], None], echo: Callable[[str], None]
    ) -> None:
        self._descriptor = descriptor
        self._on_key = on_key
        self._echo = echo
        self._before: list[Any] | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._on_line: Callable[[str], None] | None = None
        self._line = ""

    @property
    def typed(self) -> str:
        """Return what was typed of the line that is read now."""
        return self._line if self._on_line is not None else ""

    def hold(self) -> bool:
        """Take the terminal; False when it is none, or another program's at this moment."""
        try:
            # In the background a write to its settings would stop this program.
            if os.tcgetpgrp(self._descriptor) != os.getpgrp():
                return False
        except OSError:
            # Not our controlling terminal, so nobody else's job stands before us.
            if not os.isatty(self._descriptor):
                return False
        if self._before is None:
            self._before = termios.tcgetattr(self._descriptor)
            asyncio.get_running_loop().add_reader(self._descriptor, self._on_readable)
        held = termios.tcgetattr(self._descriptor)
        held[0] &= ~termios.IXON
        held[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        held[6][termios.VMIN], held[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, held)
        return True

    def release(self) -> None:
        """Give the terminal back as it was; safe to repeat."""
        self._on_line = None
        if self._before is None:
            return
        asyncio.get_running_loop().remove_reader(self._descriptor)
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        except (termios.error, OSError):
            # The terminal was closed; nothing is left to be put right.
            self._before = None
            return
        self._before = None

    def read_line(self, on_line: Callable[[str], None]) -> None:
        """Read one line, of nothing that was typed before now."""
        termios.tcflush(self._descriptor, termios.TCIFLUSH)
        self._decoder.reset()
        self._line, self._on_line = "", on_line

    def drop_line(self) -> None:
        """Stop reading a line; what was typed of it means nothing."""
        self._on_line = None

    def _on_readable(self) -> None:
        try:
            data = os.read(self._descriptor, 1024)
        except OSError:
            data = b""
        if not data:
            # Hung up: the signal that comes with it decides what happens.
            asyncio.get_running_loop().remove_reader(self._descriptor)
            return
        text = self._decoder.decode(data)
        if text.startswith("\x1b"):
            return  # an arrow, a function key: no key of ours, whatever letters it is made of
        for key in text:
            self._take(key)

    def _take(self, key: str) -> None:
        on_line = self._on_line
        if on_line is None or key == CTRL_C:
            self._on_key(key)
        elif key in ("\r", "\n", _CTRL_D):
            self._on_line = None
            self._echo("\n")
            on_line(self._line)
        elif key in _ERASE:
            if self._line:
                self._line = self._line[:-1]
                self._echo("\b \b")
        elif key.isprintable() and len(self._line) < MAX_LINE_CHARS:
            self._line += key
            self._echo(key)
