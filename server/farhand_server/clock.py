"""The time, passed in: `Clock` is what services take, `SystemClock` the real one.

No service reads the time from anywhere else, so that tests can set it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from farhand_protocol.instants import format_instant

__all__ = ["Clock", "SystemClock", "stamp"]


class Clock(Protocol):
    """Where a service takes the time from."""

    def now(self) -> datetime:
        """Return the aware UTC time."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for deadlines."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the aware UTC time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()


def stamp(at: datetime) -> str:
    """Write a time as the tables keep it: RFC 3339 with exactly six digits of a second.

    A fixed width makes text order time order, also within one second.
    """
    text = format_instant(at.replace(microsecond=0))
    return f"{text[:-1]}.{at.microsecond:06d}Z"
