"""Points in time as Farhand writes them: RFC 3339, UTC, whole seconds or microseconds, ending in Z.

No clock is read here; callers pass the time in.
"""

from __future__ import annotations

from datetime import UTC, datetime

from farhand_protocol.errors import FarhandError

__all__ = ["format_instant", "from_unix", "parse_instant"]


def format_instant(at: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC, microseconds only when there are any.

    Raises:
        ValueError: `at` has no time zone (a bug of ours).
    """
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_unix(seconds: float) -> datetime:
    """Return the aware UTC datetime of a Unix time in seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 time that ends in Z or an offset.

    Raises:
        FarhandError: `time-malformed` when it is anything else.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise FarhandError("time-malformed", f"{text[:40]!r} is not an RFC 3339 time") from error
    if at.tzinfo is None:
        raise FarhandError("time-malformed", f"{text[:40]!r} has no time zone")
    return at.astimezone(UTC)
