"""How often the other side may put something on the person's screen.

A screen that is flooded is one on which nothing can be read, the way to stop it included.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from farhand_protocol.errors import RemoteError

__all__ = ["MAX_PER_MINUTE", "Rate"]

MAX_PER_MINUTE: Final = 30
_MINUTE_S: Final = 60.0


class Rate:
    """Counts what came within the last minute, by the event loop's clock.

    Args:
        limit: how many within a minute.
    """

    def __init__(self, limit: int = MAX_PER_MINUTE) -> None:
        self._limit = limit
        self._recent: deque[float] = deque()

    def take(self) -> None:
        """Count one more.

        Raises:
            RemoteError: `too-fast`; there were `limit` already, and this one does not count.
        """
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - _MINUTE_S:
            self._recent.popleft()
        if len(self._recent) >= self._limit:
            raise RemoteError("too-fast", "too much within a minute; wait a little")
        self._recent.append(now)
