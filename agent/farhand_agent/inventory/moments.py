"""Times of foreign tools as the inventory writes them: RFC 3339 in UTC, null for nonsense."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from farhand_protocol.instants import format_instant, from_unix

__all__ = ["day", "instant", "iso_instant"]

_LATEST: Final = 253_402_300_799  # the last second that RFC 3339 can write


def instant(seconds: float | None) -> str | None:
    """Return Unix seconds as RFC 3339; None for nothing, zero and what no calendar holds."""
    if seconds is None or not 0 < seconds <= _LATEST:
        return None
    return format_instant(from_unix(int(seconds)))


def iso_instant(text: str | None) -> str | None:
    """Return a time that names its zone as RFC 3339 in UTC, to the second; None for others."""
    try:
        moment = datetime.fromisoformat((text or "").strip().replace(",", "."))
        if moment.tzinfo is None:
            return None
        return format_instant(moment.astimezone(UTC).replace(microsecond=0))
    except (ValueError, OverflowError):
        return None


def day(text: str | None, *orders: str) -> str | None:
    """Return a date as YYYY-MM-DD by the first of `orders` (strptime's formats) that fits."""
    for order in orders:
        try:
            return datetime.strptime((text or "").strip(), order).date().isoformat()
        except ValueError:
            continue
    return None
