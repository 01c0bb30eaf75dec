"""A clock of the time that a process has lived, which neither sleep nor SIGSTOP moves on.

A process that was stopped finds its monotonic clock ahead by all the time it could do nothing, and
every deadline over at once.  This clock counts a gap between two readings as `MAX_STEP_S` at most.
Whoever waits for a deadline reads it at least every `LOOK_S` seconds, so that lived time is true as
long as the process runs, and a long stop costs one step.

Not for expiry: what a person agreed to ends by the wall clock.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LOOK_S", "MAX_STEP_S", "LivedClock"]

LOOK_S: Final = 5.0
MAX_STEP_S: Final = 10.0


class LivedClock:
    """Turns readings of a monotonic clock into lived seconds.

    Args:
        now: the first reading.
    """

    def __init__(self, now: float) -> None:
        self._last = now
        self._lived = now

    def read(self, now: float) -> float:
        """Return the lived time at the reading `now`; never goes back."""
        passed = now - self._last
        if passed > 0:
            self._last = now
            self._lived += min(passed, MAX_STEP_S)
        return self._lived
