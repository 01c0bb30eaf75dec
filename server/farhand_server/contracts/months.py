"""Months, as `2026-11`: where they begin and end in a time zone.  Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from farhand_protocol.errors import UsageError

__all__ = ["check_month", "month_before", "month_bounds", "month_of"]

_MONTH: Final = re.compile(r"(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])\Z", re.ASCII)


def check_month(month: str) -> str:
    """Return a month; raises `invalid` for what is none."""
    if not _MONTH.match(month):
        raise UsageError("invalid", "a month is such as 2026-11")
    return month


def month_of(at: datetime, zone: str) -> str:
    """Return the month that it is in a zone."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local.year:04}-{local.month:02}"


def month_before(month: str) -> str:
    """Return the month before one."""
    year, number = map(int, month.split("-"))
    return f"{year - 1:04}-12" if number == 1 else f"{year:04}-{number - 1:02}"


def month_bounds(month: str, zone: str) -> tuple[datetime, datetime]:
    """Return the instants at which a month begins in a zone, and at which the next one does."""
    year, number = map(int, month.split("-"))
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    begin, end = (
        datetime(*one, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for one in ((year, number), following)
    )
    return begin, end
