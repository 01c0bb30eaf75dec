"""Holidays out of an .ics file: explicit days, to be looked at before a calendar takes them.

Pure: bytes in, days out.  Taken are whole-day events; one that lasts several days is each of them,
and one that comes again every year is expanded for the years that are asked for.  What cannot be
understood (a time of the day, another rule of repetition, too many days) is listed, never guessed:
a feed of holidays was known to bring days that are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, Final

import icalendar
import msgspec

from farhand_protocol.errors import FarhandError
from farhand_server.desk.calendars import MAX_DAYS, Calendar, SpecialDay

__all__ = ["MAX_ICS_BYTES", "Holidays", "merge_holidays", "read_holidays"]

MAX_ICS_BYTES: Final = 1024 * 1024
_MAX_EVENTS: Final = 5000
_MAX_SPAN_DAYS: Final = 31
_MAX_NAME_CHARS: Final = 80
_MAX_YEARS: Final = 10


class Holidays(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says: days in order, and in words what was left out."""

    days: list[SpecialDay]
    left_out: list[str]


def read_holidays(data: bytes, *, first_year: int, years: int = 2) -> Holidays:
    """Return the holidays of some years.

    Args:
        data: an iCalendar file, at most `MAX_ICS_BYTES`.
        first_year: the first year that is wanted.
        years: how many, 1 to 10.

    Raises:
        FarhandError: `holidays-malformed`.
    """
    if len(data) > MAX_ICS_BYTES:
        raise _malformed(f"it is larger than {MAX_ICS_BYTES} bytes")
    if not 1 <= years <= _MAX_YEARS or not 1990 <= first_year <= 2190:
        raise _malformed(f"holidays are read for 1 to {_MAX_YEARS} years")
    wanted = range(first_year, first_year + years)
    days: dict[str, str] = {}
    left_out: list[str] = []
    for event in _events(data):
        name = _name(event)
        try:
            for day in _days(event, wanted):
                days.setdefault(day.isoformat(), name)
        except ValueError as error:
            left_out.append(f"{name}: {error}")
    if len(days) > MAX_DAYS:
        raise _malformed(f"it has more than {MAX_DAYS} days in these years")
    found = [SpecialDay(day=day, name=name) for day, name in sorted(days.items())]
    return Holidays(days=found, left_out=left_out[:100])


def _malformed(words: str) -> FarhandError:
    return FarhandError("holidays-malformed", f"the calendar file cannot be taken: {words}")


def _events(data: bytes) -> list[Any]:
    try:
        calendar = icalendar.Calendar.from_ical(data)
        events = list(calendar.walk("VEVENT"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # The library lets these through for what is no calendar.
        raise _malformed("it is no iCalendar file") from error
    if len(events) > _MAX_EVENTS:
        raise _malformed(f"it has more than {_MAX_EVENTS} events")
    return events


def _name(event: Any) -> str:
    text = str(event.get("SUMMARY", ""))
    shown = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(shown.split())[:_MAX_NAME_CHARS] or "holiday"


def _date(event: Any, name: str) -> date | None:
    found = getattr(event.get(name), "dt", None)
    if isinstance(found, datetime):
        raise ValueError("it has a time of the day")
    return found if isinstance(found, date) else None


def _days(event: Any, wanted: range) -> Iterator[date]:
    """Yield the days of an event within the years.

    Raises:
        ValueError: with what is not understood of it.
    """
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        raise ValueError("it was cancelled")
    begin = _date(event, "DTSTART")
    if begin is None:
        raise ValueError("it has no day")
    end = _date(event, "DTEND") or begin + timedelta(days=1)
    length = max((end - begin).days, 1)
    if length > _MAX_SPAN_DAYS:
        raise ValueError(f"it lasts longer than {_MAX_SPAN_DAYS} days")
    for start in _starts(event, begin, wanted):
        for number in range(length):
            day = start + timedelta(days=number)
            if day.year in wanted:
                yield day


def _starts(event: Any, begin: date, wanted: range) -> Iterator[date]:
    rule = event.get("RRULE")
    if rule is None:
        if event.get("RDATE") is not None or event.get("EXDATE") is not None:
            raise ValueError("it comes again on single days")
        yield begin
        return
    if set(rule) - {"FREQ", "INTERVAL", "BYMONTH", "BYMONTHDAY", "WKST"} or rule.get("FREQ") != [
        "YEARLY"
    ]:
        raise ValueError("it comes again by a rule that is not of every year")
    if rule.get("INTERVAL", [1]) != [1]:
        raise ValueError("it does not come every year")
    if rule.get("BYMONTH", [begin.month]) != [begin.month]:
        raise ValueError("it comes again in other months")
    if rule.get("BYMONTHDAY", [begin.day]) != [begin.day]:
        raise ValueError("it comes again on other days")
    if event.get("RDATE") is not None or event.get("EXDATE") is not None:
        raise ValueError("its rule has exceptions")
    for year in (wanted.start - 1, *wanted):
        if year >= begin.year and (begin.month, begin.day) != (2, 29):
            yield begin.replace(year=year)


def merge_holidays(calendar: Calendar, holidays: Holidays) -> Calendar:
    """Return a calendar with days that it did not name before; what it says already stays.

    Raises:
        FarhandError: `holidays-malformed` past what a calendar holds.
    """
    there = {one.day for one in calendar.days}
    more = [one for one in holidays.days if one.day not in there]
    days = tuple(sorted((*calendar.days, *more), key=lambda one: one.day))
    if len(days) > MAX_DAYS:
        raise _malformed(f"the calendar would name more than {MAX_DAYS} days")
    return msgspec.structs.replace(calendar, days=days)
