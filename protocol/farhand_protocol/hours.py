"""Weekly hours in which something is allowed, as policy writes them: `mon-fri 08:00-18:00`.

    DAYS    a day (`mon`), a run of days (`mon-fri`, `sat-mon`), several with commas, or `daily`
    HOURS   `HH:MM-HH:MM`; the end is not part of it, may be `24:00`, and where it is earlier than
            the start the window goes on past midnight

A list of such lines allows what any of them does; an empty list allows always.  Times are those of
the device's own clock and zone: whoever asks passes weekday and minute in.  Nothing here knows
dates or holidays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from farhand_protocol.errors import FarhandError

__all__ = ["MAX_HOURS", "common_hours", "is_within", "parse_hours"]

# Lines of one policy: seven days with a break each, twice over.
MAX_HOURS = 32

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_LINE = re.compile(r"([a-z,-]{3,40}) ([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})\Z")

Span = tuple[int, int]


def parse_hours(lines: Iterable[str]) -> list[Span]:
    """Read a policy's hours.

    Returns:
        Spans of minutes of the week, Monday 00:00 being 0: sorted, apart from each other, each
        within the week.

    Raises:
        FarhandError: `hours-malformed` for a line that is none, and for too many of them.
    """
    spans: list[Span] = []
    for count, line in enumerate(lines):
        if count >= MAX_HOURS:
            raise FarhandError("hours-malformed", f"there are more than {MAX_HOURS} lines of hours")
        spans += _line(line)
    return _joined(spans)


def is_within(lines: Iterable[str], weekday: int, minute: int) -> bool:
    """Tell whether a moment lies within a policy's hours; always, where there are none.

    Args:
        lines: of the policy.
        weekday: 0 is Monday.
        minute: of the day, from 0.

    Raises:
        FarhandError: `hours-malformed`.
    """
    lines = list(lines)
    at = weekday * _DAY_MINUTES + minute
    return not lines or any(start <= at < end for start, end in parse_hours(lines))


def common_hours(one: list[str], other: list[str]) -> list[str] | None:
    """Return the hours that both lists allow, or None where no minute is common.

    Raises:
        FarhandError: `hours-malformed`.
    """
    if not one or not other or one == other:
        return one or other
    common = _joined(
        (max(a, c), min(b, d))
        for a, b in parse_hours(one)
        for c, d in parse_hours(other)
        if max(a, c) < min(b, d)
    )
    return [text for span in common for text in _written(span)] or None


def _line(line: str) -> list[Span]:
    found = _LINE.match(line)
    if found is None:
        raise _malformed(line)
    first_hour, first_minute, last_hour, last_minute = (int(one) for one in found.groups()[1:])
    start, end = first_hour * 60 + first_minute, last_hour * 60 + last_minute
    if max(first_minute, last_minute) > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise _malformed(line)
    if start == end:
        raise _malformed(line)
    length = end - start if end > start else end + _DAY_MINUTES - start
    spans = []
    for day in _days(found[1], line):
        begin = day * _DAY_MINUTES + start
        spans.append((begin, min(begin + length, _WEEK_MINUTES)))
        if begin + length > _WEEK_MINUTES:
            spans.append((0, begin + length - _WEEK_MINUTES))
    return spans


def _days(text: str, line: str) -> list[int]:
    if text == "daily":
        return list(range(7))
    days = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise _malformed(line)
        begin = _DAYS.index(first)
        run = (_DAYS.index(last) - begin) % 7 if dash else 0
        days += [(begin + step) % 7 for step in range(run + 1)]
    return days


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _written(span: Span) -> list[str]:
    """Write a span day by day; none of its lines passes midnight."""
    start, end = span
    lines = []
    while start < end:
        day, begin = divmod(start, _DAY_MINUTES)
        stop = min(end, (day + 1) * _DAY_MINUTES)
        lines.append(f"{_DAYS[day]} {_clock(begin)}-{_clock(stop - day * _DAY_MINUTES)}")
        start = stop
    return lines


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _malformed(line: str) -> FarhandError:
    return FarhandError("hours-malformed", f"{line[:60]!r} is not like `mon-fri 08:00-18:00`")
