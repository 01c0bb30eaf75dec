"""Hours in which a desk works: windows of each weekday in a time zone, and days that differ.

Pure: a calendar is a value, and every function takes the instants it is about.  A window is minutes
of the local day, `[540, 720]` for 9:00 to 12:00; a day may have several, or none.  What a clock
shows is turned into instants by the zone's own rules, so on the days when clocks are changed a
window is as long as it really lasts: 0:00 to 24:00 has 23 or 25 hours then.  A local time that does
not exist is the jump itself; one that exists twice is the first for a beginning and the second for
an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "ALWAYS",
    "MAX_DAYS",
    "MAX_WINDOWS",
    "Calendar",
    "SpecialDay",
    "Window",
    "check_calendar",
    "due_after",
    "is_open",
    "next_closing",
    "next_opening",
    "open_seconds",
]

MAX_WINDOWS: Final = 8
MAX_DAYS: Final = 1000
_DAY_MINUTES: Final = 24 * 60
# A calendar that opens no more in so long never does.
_HORIZON: Final = timedelta(days=3 * 366)

Window = tuple[int, int]


class SpecialDay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A day unlike its weekday, `YYYY-MM-DD`: closed without windows; `name` says why."""

    day: str
    name: str
    windows: tuple[Window, ...] = ()


class Calendar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seven lists of windows, Monday first, in `zone` (IANA), and the days that differ."""

    zone: str
    week: tuple[tuple[Window, ...], ...]
    days: tuple[SpecialDay, ...] = ()


ALWAYS: Final = Calendar(zone="UTC", week=(((0, _DAY_MINUTES),),) * 7)


def check_calendar(calendar: Calendar) -> None:
    """Refuse a calendar that means nothing.

    Raises:
        FarhandError: `calendar-invalid`.
    """
    try:
        ZoneInfo(calendar.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _invalid(f"{calendar.zone[:60]!r} is no time zone") from error
    if len(calendar.week) != 7:
        raise _invalid("a week has seven days")
    if len(calendar.days) > MAX_DAYS:
        raise _invalid(f"at most {MAX_DAYS} days may differ")
    seen = set()
    for special in calendar.days:
        if not _is_day(special.day):
            raise _invalid(f"{special.day[:20]!r} is no day, such as 2026-12-25")
        if special.day in seen or not special.name.strip() or len(special.name) > 80:
            raise _invalid(
                f"{special.day} stands there twice, or has no name of 1 to 80 characters"
            )
        seen.add(special.day)
    for windows in (*calendar.week, *(special.windows for special in calendar.days)):
        _check_windows(windows)


def _is_day(text: str) -> bool:
    try:
        # Other ways of writing a day (20261225) would never be found again.
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _check_windows(windows: tuple[Window, ...]) -> None:
    if len(windows) > MAX_WINDOWS:
        raise _invalid(f"a day has at most {MAX_WINDOWS} windows")
    last = -1
    for begin, end in windows:
        if not (last < begin < end <= _DAY_MINUTES and begin >= 0):
            raise _invalid("windows are minutes of the day, in order, and do not overlap")
        last = end - 1


def _invalid(words: str) -> FarhandError:
    return FarhandError("calendar-invalid", words)


def _instant(day: date, minute: int, zone: ZoneInfo, *, end: bool) -> datetime:
    local = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return second if end else first
    return _jump(zone, second, first)


def _jump(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return when clocks are put forward, somewhere between two instants."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _stretches(
    calendar: Calendar, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield open stretches that touch [start, end), in order, cut to it."""
    zone = ZoneInfo(calendar.zone)
    special = {one.day: one.windows for one in calendar.days}
    day = start.astimezone(zone).date() - timedelta(days=1)
    last = end.astimezone(zone).date()
    reached = start
    while day <= last:
        for begin, until in special.get(day.isoformat(), calendar.week[day.weekday()]):
            opens = max(_instant(day, begin, zone, end=False), reached)
            closes = min(_instant(day, until, zone, end=True), end)
            if opens < closes:
                yield opens, closes
                reached = closes
        day += timedelta(days=1)


def open_seconds(calendar: Calendar, start: datetime, end: datetime) -> float:
    """Return how many seconds between two instants are open; 0 when `end` is not after `start`."""
    return sum(
        ((closes - opens).total_seconds() for opens, closes in _stretches(calendar, start, end)),
        0.0,
    )


def due_after(calendar: Calendar, start: datetime, seconds: float) -> datetime | None:
    """Return when so many open seconds will have passed; None when they never will.

    With nothing left to pass it is `start` itself.
    """
    if seconds <= 0:
        return start
    left = seconds
    begin = start
    horizon = start + _HORIZON
    while begin < horizon:
        # Month by month, so that a time far off is not paid for by one that is near.
        until = min(begin + timedelta(days=31), horizon)
        for opens, closes in _stretches(calendar, begin, until):
            length = (closes - opens).total_seconds()
            if length >= left:
                return opens + timedelta(seconds=left)
            left -= length
        begin = until
    return None


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Tell whether an instant is open."""
    return next(_stretches(calendar, at, at + timedelta(seconds=1)), (None, None))[0] == at


def next_opening(calendar: Calendar, at: datetime) -> datetime | None:
    """Return when it is open from `at` on; None where it never is."""
    begin, horizon = at, at + _HORIZON
    while begin < horizon:
        until = min(begin + timedelta(days=31), horizon)
        for opens, _ in _stretches(calendar, begin, until):
            return opens
        begin = until
    return None


def next_closing(calendar: Calendar, at: datetime) -> datetime | None:
    """Return when it closes that is open at an instant; `at` itself where it is closed.

    None where it never closes.  Windows that meet, such as those of days around the clock, are one.
    """
    closes, begin, horizon = at, at, at + _HORIZON
    while begin < horizon:
        until = min(begin + timedelta(days=31), horizon)
        for opens, end in _stretches(calendar, begin, until):
            if opens > closes:
                return closes
            closes = end
        if closes < until:
            return closes
        begin = until
    return None
