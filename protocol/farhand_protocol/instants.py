"""Points in time as Farhand writes them: RFC 3339, UTC, whole seconds or microseconds, ending in Z.

No clock is read here; callers pass the time in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from farhand_protocol.errors import FarhandError

__all__ = ["format_instant", "from_unix", "parse_instant"]

# datetime.fromisoformat takes much more: week dates, no seconds, any separator, other digits.
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})\Z"
)


def format_instant(at: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC, microseconds only when there are any.

    Raises:
        ValueError: `at` has no time zone (a bug of ours).
    """
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_unix(seconds: float) -> datetime:
    """Return the aware UTC datetime of a Unix time in seconds.

    Raises:
        FarhandError: `time-malformed` when the years 1 to 9999 do not hold it.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise FarhandError("time-malformed", "a time is outside the calendar") from error


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 time that ends in Z or an offset.

    Raises:
        FarhandError: `time-malformed` when it is anything else.
    """
    if not _RFC3339.match(text):
        raise FarhandError("time-malformed", f"{text[:40]!r} is not an RFC 3339 time")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise FarhandError("time-malformed", f"{text[:40]!r} is not an RFC 3339 time") from error
