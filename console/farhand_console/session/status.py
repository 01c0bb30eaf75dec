"""The state of a line on the technician's screen: one line that counts down, or a line per change.

    connecting     the session's process is not connected just now, 12 s left
    reconnecting   the line is down, 287 s left
    connected      said only where something else was said before
    ended          left to whoever knows who ended the session, and why

On a terminal the line is written over as long as it stands and wiped when the line is back; it
works in raw mode too, for it never moves on.  Elsewhere each change is one line through `notice`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from farhand_protocol.attachment import LineState

__all__ = ["StatusLine"]

_WORDS = {
    "connecting": "the session's process is not connected just now; waiting for it",
    "reconnecting": "the line is down, reconnecting",
}
_WIPE = "\r\x1b[K"


class StatusLine:
    """Shows the states of one line; pass `show` as a pipe's `watch`.

    Args:
        notice: takes one line of words.
        is_terminal: whether stderr is one; asked of it by default.
    """

    def __init__(self, notice: Callable[[str], None], *, is_terminal: bool | None = None) -> None:
        self._notice = notice
        self._ticks = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._timer: asyncio.TimerHandle | None = None
        self._standing = False

    def show(self, state: LineState) -> None:
        """Show a state that has just begun."""
        self._stop()
        words = _WORDS.get(state.name)
        if words is not None:
            self._wait(words, state.left_s)
        elif state.name == "connected" and self._standing:
            self._standing = False
            if not self._ticks:
                self._notice("connected again")
        self._standing = words is not None

    def close(self) -> None:
        """Wipe what stands; nothing is shown any more."""
        self._stop()

    def _wait(self, words: str, left_s: float | None) -> None:
        if not self._ticks:
            left = "" if left_s is None else f" (for {round(left_s)} s at most)"
            self._notice(f"{words}{left}")
            return
        loop = asyncio.get_running_loop()
        self._tick(words, None if left_s is None else loop.time() + left_s)

    def _tick(self, words: str, due: float | None) -> None:
        loop = asyncio.get_running_loop()
        left = "" if due is None else f", {max(0, round(due - loop.time()))} s left "
        sys.stderr.write(f"{_WIPE}{words}{left}")
        sys.stderr.flush()
        self._timer = loop.call_later(1.0, self._tick, words, due)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            sys.stderr.write(_WIPE)
            sys.stderr.flush()
