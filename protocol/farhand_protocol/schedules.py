"""Standing schedules as policy writes them: what a device does by itself, and when.

    disk: every 15m; checks disk.space warning_percent=80, disk.inodes; confirm 2/3
    night: daily 03:30; inventory software, updates; splay 1h; misfire skip
    audit: monthly 31 02:00; checks time.sync; zone Europe/Lisbon; until 2027-01-01T00:00:00Z

A line is `NAME: WHEN; WORK` and options, each at most once, parted by semicolons.

    WHEN      every N(m|h|d|w)           counted from 1970-01-01T00:00Z, whatever the zone
              daily HH:MM
              weekly DAY,... HH:MM       mon tue wed thu fri sat sun
              monthly D HH:MM            D 1..31 or `last`; a month without that day has its last
              monthly NTH DAY HH:MM      NTH 1st 2nd 3rd 4th last
              yearly MM-DD HH:MM         29 February is 28 February in the other years
    WORK      checks ID NAME=VALUE ..., ID ...      with parameters, such as thresholds
              inventory SECTION, ...
    options   zone NAME        of the tz database; without it the device's own
              splay N(m|h|d)   up to so much later, always the same on one device
              misfire skip     a run that was missed is left out; `run_once` (unless told): one run
                               makes up for all that were missed
              until INSTANT    no run at or after this time
              confirm N/M      a check gets worse once N of its last M runs say so, and better once
                               M in a row do (damping is the device's; 1/1 unless told)

Time of day and clocks that change: a time that the clock skips happens as much later as the clock
jumped; a time that it shows twice happens at the first of both.  Each happens once.

What may be scheduled is what the agent has built in and what changes nothing.  Nothing here reads a
clock or knows a zone: whoever asks passes both in.
"""

from __future__ import annotations

import calendar
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = [
    "MAX_SCHEDULED_CHECKS",
    "MAX_SCHEDULES",
    "MAX_SCHEDULE_CHARS",
    "Schedule",
    "ScheduledCheck",
    "parse_recurrence",
    "parse_schedule",
    "parse_schedules",
]

MAX_SCHEDULES = 32
MAX_SCHEDULE_CHARS = 4_000
# Of all schedules of a device together.
MAX_SCHEDULED_CHECKS = 256
_MAX_CONFIRM = 10
_MIN_INTERVAL_S = 60
_MAX_INTERVAL_S = 366 * 86_400
_MAX_SPLAY_S = 86_400
# Every calendar line names a day in each year.
_SEARCH_DAYS = 2 * 366

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NTH = ("1st", "2nd", "3rd", "4th", "last")
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhdw])\Z")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")
_MONTH_DAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z")
_DAY_NUMBER = re.compile(r"(?:[1-9]|[12][0-9]|3[01])\Z")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}\Z")
_CONFIRM = re.compile(r"([1-9][0-9]?)/([1-9][0-9]?)\Z")
_CHECK = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*\Z")
_SECTION = re.compile(r"[a-z][a-z0-9_.-]{1,40}\Z")
# Less than nothing is a number as well (a signal in dBm); a word never begins with a hyphen.
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?\Z")
_PARAMETER = re.compile(
    r"([a-z][a-z0-9_]{0,39})="
    r"(-[0-9]{1,15}(?:\.[0-9]{1,6})?|[A-Za-z0-9][A-Za-z0-9._:/@%+-]{0,252})\Z"
)

Matches = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class ScheduledCheck:
    """One check of a schedule; `parameters` as name and value, sorted."""

    id: str
    parameters: tuple[tuple[str, float | str], ...] = ()

    @property
    def subject(self) -> str:
        """Return what it looks at besides the device itself, such as a host; mostly empty."""
        return str(dict(self.parameters).get("target", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One standing schedule.

    Attributes:
        name: unique in a policy.
        line: as it was written.
        checks, sections: what is done; one of both is empty.
        zone: name in the tz database, empty for the device's own.
        splay_s: at most so many seconds later.
        misfire: what becomes of runs that were missed.
        until: no run at or after it.
        confirm: N and M of `confirm N/M`.
    """

    name: str
    line: str
    checks: tuple[ScheduledCheck, ...]
    sections: tuple[str, ...]
    zone: str
    splay_s: int
    misfire: Literal["run_once", "skip"]
    until: datetime | None
    confirm: tuple[int, int]
    _interval_s: int
    _at: time
    _matches: Matches

    def next_due(self, after: datetime, zone: tzinfo, device: str = "") -> datetime | None:
        """Return when it is due next.

        Args:
            after: aware; the answer is later than this.
            zone: of this schedule; the device's own where it names none.
            device: id, which decides where in the splay it stands.

        Returns:
            An aware time in UTC, or None when there is none any more.
        """
        splay = timedelta(seconds=self._splay_of(device))
        for base in self._after(after, splay, zone):
            due = base + splay
            if due > after:
                return None if self.until is not None and due >= self.until else due
        return None

    def last_due(self, at: datetime, zone: tzinfo, device: str = "") -> datetime | None:
        """Return when it was due last, at `at` or before; None when it never was."""
        splay = timedelta(seconds=self._splay_of(device))
        for base in self._before(at, splay, zone):
            due = base + splay
            if due <= at and (self.until is None or due < self.until):
                return due
        return None

    def _splay_of(self, device: str) -> int:
        if not self.splay_s:
            return 0
        digest = hashlib.sha256(f"{device}\0{self.name}".encode()).digest()
        return int.from_bytes(digest[:8]) % self.splay_s

    def _after(self, after: datetime, splay: timedelta, zone: tzinfo) -> Iterator[datetime]:
        if self._interval_s:
            yield from self._ticks(after - splay, 0)
            yield from self._ticks(after - splay, 1)
            return
        # Two days early: no zone and no splay moves a date further than that.
        first = (after - splay).astimezone(zone).date()
        yield from self._dated((_shifted(first, n) for n in range(-2, _SEARCH_DAYS)), zone)

    def _before(self, at: datetime, splay: timedelta, zone: tzinfo) -> Iterator[datetime]:
        if self._interval_s:
            yield from self._ticks(at - splay, 0)
            # The latest may fall behind `until`; then the one that counts lies before that.
            if self.until is not None and self.until <= at:
                yield from self._ticks(self.until - splay - timedelta(microseconds=1), 0)
            return
        latest = min(at, self.until) if self.until is not None else at
        last = (latest - splay).astimezone(zone).date()
        yield from self._dated((_shifted(last, -n) for n in range(-2, _SEARCH_DAYS)), zone)

    def _ticks(self, around: datetime, count: int) -> Iterator[datetime]:
        number = math.floor(around.timestamp() / self._interval_s) + count
        try:
            yield datetime.fromtimestamp(number * self._interval_s, UTC)
        except (ValueError, OverflowError, OSError):
            return  # outside the calendar there is no time at which it is due

    def _dated(self, days: Iterable[date | None], zone: tzinfo) -> Iterator[datetime]:
        for day in days:
            if day is not None and self._matches(day):
                try:
                    # fold=0: of a time shown twice the first, of one that is skipped what it
                    # would have been by the clock before (PEP 495).
                    yield datetime.combine(day, self._at, zone).astimezone(UTC)
                except OverflowError:
                    return  # the calendar's end


def parse_schedules(lines: Iterable[str]) -> list[Schedule]:
    """Read a policy's schedules, in their order.

    Raises:
        FarhandError: `schedule-malformed` for a line that is none, two of one name, a check that
            is scheduled twice, or too much of anything.
    """
    schedules: list[Schedule] = []
    for line in lines:
        if len(schedules) == MAX_SCHEDULES:
            raise _malformed(f"there are more than {MAX_SCHEDULES} schedules")
        schedules.append(parse_schedule(line))
    names = [one.name for one in schedules]
    if len(set(names)) != len(names):
        raise _malformed("two schedules have one name")
    work = [(check.id, check.subject) for one in schedules for check in one.checks]
    if len(set(work)) != len(work):
        raise _malformed("a check is scheduled twice")
    if len(work) > MAX_SCHEDULED_CHECKS:
        raise _malformed(f"there are more than {MAX_SCHEDULED_CHECKS} checks")
    return schedules


def parse_schedule(line: str) -> Schedule:
    """Read one schedule.

    Raises:
        FarhandError: `schedule-malformed`.
    """
    if len(line) > MAX_SCHEDULE_CHARS or not line.isprintable():
        raise _malformed("a schedule is too long, or not printable")
    name, colon, rest = line.partition(":")
    parts = [part.strip() for part in rest.split(";")]
    if not colon or not _NAME.match(name) or len(parts) < 2:
        raise _malformed(f"{line[:60]!r} is not like NAME: WHEN; WORK")
    interval_s, at, matches = _when(parts[0].split())
    checks, sections = _work(parts[1])
    options = _options(parts[2:])
    splay_s = _span(options["splay"]) if "splay" in options else 0
    if splay_s > min(_MAX_SPLAY_S, interval_s or _MAX_SPLAY_S):
        raise _malformed("a splay is a day at most, and no longer than the interval")
    misfire = options.get("misfire", "run_once")
    if misfire not in ("run_once", "skip"):
        raise _malformed(f"misfire is run_once or skip, not {misfire[:20]!r}")
    zone = _zone(options.get("zone", ""))
    return Schedule(
        name=name,
        line=line,
        checks=checks,
        sections=sections,
        zone=zone,
        splay_s=splay_s,
        misfire="skip" if misfire == "skip" else "run_once",
        until=_until(options["until"]) if "until" in options else None,
        confirm=_confirm(options.get("confirm", "1/1")),
        _interval_s=interval_s,
        _at=at,
        _matches=matches,
    )


def parse_recurrence(when: str, zone: str = "") -> Schedule:
    """Read a WHEN by itself: when something recurs, with no work and no options.

    Raises:
        FarhandError: `schedule-malformed`.
    """
    interval_s, at, matches = _when(when.split())
    return Schedule(
        name="",
        line=when,
        checks=(),
        sections=(),
        zone=_zone(zone),
        splay_s=0,
        misfire="skip",
        until=None,
        confirm=(1, 1),
        _interval_s=interval_s,
        _at=at,
        _matches=matches,
    )


def _zone(name: str) -> str:
    if name and not _ZONE.match(name):
        raise _malformed(f"{name[:40]!r} is no name of a zone")
    return name


def _when(words: list[str]) -> tuple[int, time, Matches]:
    """Return interval in seconds (0: by calendar), time of day, and which days."""
    match words:
        case ["every", span]:
            interval_s = _span(span)
            if not _MIN_INTERVAL_S <= interval_s <= _MAX_INTERVAL_S:
                raise _malformed("an interval lies between a minute and 366 days")
            return interval_s, time(), lambda _: False
        case ["daily", clock]:
            return 0, _clock(clock), lambda _: True
        case ["weekly", names, clock]:
            wanted = {_weekday(one) for one in names.split(",")}
            return 0, _clock(clock), lambda day: day.weekday() in wanted
        case ["monthly", "last", clock]:
            return 0, _clock(clock), lambda day: day.day == _length(day)
        case ["monthly", number, clock] if _DAY_NUMBER.match(number):
            return 0, _clock(clock), lambda day: day.day == min(int(number), _length(day))
        case ["monthly", nth, name, clock] if nth in _NTH:
            return 0, _clock(clock), _nth_weekday(_NTH.index(nth), _weekday(name))
        case ["yearly", month_day, clock]:
            found = _MONTH_DAY.match(month_day)
            if found and int(found[2]) <= _LENGTHS[int(found[1]) - 1]:
                return 0, _clock(clock), _yearly(int(found[1]), int(found[2]))
    raise _malformed(f"{' '.join(words)[:60]!r} says no time")


def _nth_weekday(nth: int, weekday: int) -> Matches:
    if nth == len(_NTH) - 1:
        return lambda day: day.weekday() == weekday and day.day + 7 > _length(day)
    return lambda day: day.weekday() == weekday and (day.day - 1) // 7 == nth


def _yearly(month: int, number: int) -> Matches:
    return lambda day: day.month == month and day.day == min(number, _length(day))


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _shifted(day: date, days: int) -> date | None:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return None


def _clock(text: str) -> time:
    found = _CLOCK.match(text)
    if found is None:
        raise _malformed(f"{text[:20]!r} is no time of day like 03:30")
    return time(int(found[1]), int(found[2]))


def _weekday(text: str) -> int:
    if text not in _DAYS:
        raise _malformed(f"{text[:20]!r} is none of {', '.join(_DAYS)}")
    return _DAYS.index(text)


def _span(text: str) -> int:
    found = _SPAN.match(text)
    if found is None:
        raise _malformed(f"{text[:20]!r} is no length of time like 15m, 6h or 2d")
    return int(found[1]) * _UNITS[found[2]]


def _work(text: str) -> tuple[tuple[ScheduledCheck, ...], tuple[str, ...]]:
    kind, _, rest = text.partition(" ")
    items = [item.split() for item in rest.split(",")]
    if not all(items):
        raise _malformed(f"{text[:60]!r} names no work")
    if kind == "checks":
        return tuple(_check(words) for words in items), ()
    if kind == "inventory":
        names = [" ".join(words) for words in items]
        if not all(map(_SECTION.match, names)) or len(set(names)) != len(names):
            raise _malformed(f"{rest[:60]!r} is no list of sections")
        return (), tuple(names)
    raise _malformed(f"{kind[:20]!r} is neither checks nor inventory")


def _check(words: list[str]) -> ScheduledCheck:
    if not _CHECK.match(words[0]) or len(words[0]) > 100:
        raise _malformed(f"{words[0][:60]!r} is no check")
    parameters: dict[str, float | str] = {}
    for word in words[1:]:
        found = _PARAMETER.match(word)
        if found is None or found[1] in parameters:
            raise _malformed(f"{word[:60]!r} is no parameter like warning=80")
        parameters[found[1]] = float(found[2]) if _NUMBER.match(found[2]) else found[2]
    return ScheduledCheck(words[0], tuple(sorted(parameters.items())))


def _options(parts: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition(" ")
        if name not in ("zone", "splay", "misfire", "until", "confirm") or name in options:
            raise _malformed(f"{part[:60]!r} is no option of a schedule, or there twice")
        options[name] = value.strip()
    return options


def _until(text: str) -> datetime:
    try:
        return parse_instant(text)
    except FarhandError as error:
        raise _malformed(f"{text[:40]!r} is no time like 2027-01-01T00:00:00Z") from error


def _confirm(text: str) -> tuple[int, int]:
    found = _CONFIRM.match(text)
    if found is None or not int(found[1]) <= int(found[2]) <= _MAX_CONFIRM:
        raise _malformed(f"{text[:20]!r} is not like 2/3, with {_MAX_CONFIRM} at most")
    return int(found[1]), int(found[2])


def _malformed(words: str) -> FarhandError:
    return FarhandError("schedule-malformed", words)
