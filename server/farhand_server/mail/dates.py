"""The date of a mail: aware and believable, or None.

Senders' clocks are wrong and some headers are nonsense; nothing is decided by this date, it is only
shown beside the time at which the mail arrived.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["read_date"]

_LONGEST: Final = 100
# Mail is no older, and a clock that runs ahead does so by less.
_YEARS: Final = range(1980, 2100)


def read_date(value: str) -> datetime | None:
    """Return a `Date` header in UTC; None for nonsense.

    A date without a zone is taken for UTC, as RFC 5322 s3.3 has it for `-0000`.
    """
    text = " ".join(value.split())
    if not text or len(text) > _LONGEST or not text.isascii():
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text)
            aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
            if aware.year in _YEARS:
                return aware.astimezone(UTC)
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
            # The standard library's reader fails in all these ways; the next one may do better.
            continue
    return None
