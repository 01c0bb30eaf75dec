"""When to try the relay again: full jitter, a window that the relay may set, a cap.

A pure state machine; randomness comes in.  After a link that worked, the wait is a random part of
the relay's window, so that a restarted relay is not met by its whole fleet at once.  After each
failure in a row the window doubles up to `CAP_S`.  `Retry-After` is a floor, itself bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["CAP_S", "Backoff"]

FIRST_S: Final = 1.0
CAP_S: Final = 300.0
MAX_WINDOW_S: Final = 3600.0
MAX_RETRY_AFTER_S: Final = 3600.0


class Backoff:
    """Counts failures and draws waits.

    Args:
        random: returns a float in [0, 1).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self._window_s = FIRST_S

    def connected(self, window_s: float) -> None:
        """A link works; the relay wants reconnects spread over `window_s` seconds."""
        self._failures = 0
        self.set_window(window_s)

    def set_window(self, window_s: float) -> None:
        """Take a window from the relay, within bounds."""
        # Not a number compares false, so a hostile value falls to the floor.
        self._window_s = min(window_s, MAX_WINDOW_S) if window_s > FIRST_S else FIRST_S

    def next_wait_s(self, *, retry_after_s: float = 0.0) -> float:
        """Return how long to wait now, and count one more failure."""
        grown = FIRST_S * (1 << min(self._failures, 16))
        window = max(self._window_s, min(CAP_S, grown))
        self._failures += 1
        floor = min(retry_after_s, MAX_RETRY_AFTER_S) if retry_after_s > 0 else 0.0
        return floor + self._random() * window
