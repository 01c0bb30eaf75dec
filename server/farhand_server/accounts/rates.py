"""How often somebody may try: a sliding window per key, in memory, bounded.

State is per node and forgotten on a restart; it slows guessing, it is not a lock.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

from farhand_server.clock import Clock
from farhand_server.errors import RateLimited

__all__ = ["RateLimit"]

_MAX_KEYS = 10_000


class RateLimit:
    """At most `limit` tries per `window_s` seconds for each key.

    Args:
        clock: for its monotonic time.
        limit: tries.
        window_s: seconds.
        message: what the person reads.
    """

    def __init__(self, clock: Clock, *, limit: int, window_s: float, message: str) -> None:
        self._clock = clock
        self._limit = limit
        self._window_s = window_s
        self._message = message
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Count a try.

        Returns: True when it was the last one allowed for now.

        Raises:
            RateLimited: there were too many; this one is not counted.
        """
        now = self._clock.monotonic()
        tries = self._tries.setdefault(key, deque())
        self._tries.move_to_end(key)
        while tries and tries[0] <= now - self._window_s:
            tries.popleft()
        if len(tries) >= self._limit:
            wait = math.ceil(tries[0] + self._window_s - now)
            raise RateLimited(self._message, retry_after_s=max(1, wait))
        tries.append(now)
        while len(self._tries) > _MAX_KEYS:
            self._tries.popitem(last=False)
        return len(tries) == self._limit

    def forgive(self, key: str) -> None:
        """Forget the tries of a key, after it proved itself."""
        self._tries.pop(key, None)
