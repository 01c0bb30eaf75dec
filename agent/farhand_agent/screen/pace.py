"""How good and how often pictures are: what the line and the viewer take.

A viewer asks for the next picture when it has shown the last one.  How long that takes is all that
is known of the line, the relay, the viewer and the recording between; so it is all that counts:

    slower than `SLOW_S`    JPEG becomes worse, by a step
    faster than `FAST_S`    it becomes better, by a smaller one, up to what the viewer asks for
    nothing changed         what was lost is sent again without loss, once `IDLE_S` have passed
"""

from __future__ import annotations

from typing import Final

__all__ = ["IDLE_S", "Pace"]

FASTEST_S: Final = 1 / 30
RESTING_S: Final = 1 / 10
# So long after a change the screen is looked at often; later less.
_LIVELY_S: Final = 2.0
SLOW_S: Final = 0.25
FAST_S: Final = 0.08
IDLE_S: Final = 0.5
_WORST: Final = 20
_WORSE: Final = 15
_BETTER: Final = 5
# An answer to a small update says nothing about the line's width.
_TELLING_BYTES: Final = 8 * 1024


class Pace:
    """Of one viewer.  Times are monotonic seconds."""

    def __init__(self) -> None:
        self._quality: int | None = None
        self._sent_at: float | None = None
        self._sent_bytes = 0
        self._changed_at = float("-inf")
        self._looked_at = float("-inf")

    def sent(self, size: int, now: float) -> None:
        """Note that an update of so many bytes left."""
        self._sent_at, self._sent_bytes = now, size

    def wanted(self, now: float) -> None:
        """Note that the viewer asks for the next one."""
        if self._sent_at is None:
            return
        took_s, self._sent_at = now - self._sent_at, None
        if self._quality is None or self._sent_bytes < _TELLING_BYTES:
            return
        if took_s > SLOW_S:
            self._quality = max(_WORST, self._quality - _WORSE)
        elif took_s < FAST_S:
            self._quality += _BETTER

    def quality(self, best: int) -> int:
        """Return the quality of JPEG to use now, at most `best`."""
        self._quality = best if self._quality is None else min(best, self._quality)
        return self._quality

    def looked(self, now: float, *, has_changed: bool) -> None:
        """Note that the screen was looked at."""
        self._looked_at = now
        if has_changed:
            self._changed_at = now

    def is_idle(self, now: float) -> bool:
        """Tell whether nothing has changed for a while."""
        return now - self._changed_at >= IDLE_S

    def next_look(self, now: float) -> float:
        """Return in how many seconds the screen is to be looked at again."""
        is_lively = now - self._changed_at < _LIVELY_S
        return max(0.0, self._looked_at + (FASTEST_S if is_lively else RESTING_S) - now)
