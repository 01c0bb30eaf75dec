"""Copies give way to whoever types in the same session.

A session is one process with one event loop.  An echo takes several turns of it, and a copy could
fill each with a block; so between two blocks the loop always has a turn of its own, and while
somebody types, a copy rests for as long as it works.  It keeps about half of its speed at worst.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Manners"]

# Somebody who stops to read is still there; a terminal left open overnight is not.
TYPING_S = 5.0
# A shorter rest than a millisecond becomes one anyway; what was waiting for a block is not work.
SHORTEST_S = 0.001
WORK_PER_BLOCK_S = 0.002


class Manners:
    """Knows when somebody last typed, and paces the blocks of copies by it.

    Args:
        clock: returns seconds of any monotonic clock; the event loop's by default.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._typed_at = float("-inf")

    def typed(self) -> None:
        """Note that something was typed on a terminal."""
        self._typed_at = self._clock()

    def pace(self) -> Pace:
        """Return what paces one copy."""
        return Pace(self._clock, self.is_typing)

    def is_typing(self) -> bool:
        """Tell whether somebody types, or did a moment ago."""
        return self._clock() - self._typed_at < TYPING_S


class Pace:
    """The work and rest of one copy.

    Args:
        clock: returns monotonic seconds.
        is_typing: tells whether somebody types now.
    """

    def __init__(self, clock: Callable[[], float], is_typing: Callable[[], bool]) -> None:
        self._clock = clock
        self._is_typing = is_typing
        self._since = clock()
        self._owed = 0.0

    def rest_s(self) -> float:
        """Return how long to rest after the block that was just done, in seconds."""
        now = self._clock()
        self._owed += min(now - self._since, WORK_PER_BLOCK_S)
        if not self._is_typing():
            self._owed = 0.0
        rest, self._owed = (self._owed, 0.0) if self._owed >= SHORTEST_S else (0.0, self._owed)
        self._since = now + rest
        return rest

    async def give_way(self) -> None:
        """Let everybody else have a turn before the next block."""
        await asyncio.sleep(self.rest_s())
        self._since = self._clock()
