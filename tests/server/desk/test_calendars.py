"""Hours of a desk: a table of hard days, and properties that hold for every calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_server.desk.calendars import (
    ALWAYS,
    Calendar,
    SpecialDay,
    check_calendar,
    due_after,
    is_open,
    next_opening,
    open_seconds,
)

H = 3600
OFFICE = ((540, 720), (780, 1020))  # 9 to 12, 13 to 17
BERLIN = Calendar(
    zone="Europe/Berlin",
    week=(OFFICE,) * 5 + ((), ()),
    days=(
        SpecialDay(day="2026-12-25", name="Christmas"),
        SpecialDay(day="2026-12-24", name="Christmas Eve", windows=((540, 720),)),
    ),
)
NIGHT = Calendar(zone="Europe/Berlin", week=(((0, 1440),),) * 7)
JUMP = Calendar(zone="Europe/Berlin", week=(((60, 150),),) * 7)  # 1:00 to 2:30
IN_IT = Calendar(zone="Europe/Berlin", week=(((130, 170),),) * 7)  # 2:10 to 2:50


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("calendar", "start", "end", "hours"),
    [
        (BERLIN, "2026-11-23T08:00+01:00", "2026-11-23T18:00+01:00", 7),
        (BERLIN, "2026-11-23T12:10+01:00", "2026-11-23T12:50+01:00", 0),
        (BERLIN, "2026-11-20T16:00+01:00", "2026-11-23T10:00+01:00", 2),  # over a weekend
        (BERLIN, "2026-12-24T09:00+01:00", "2026-12-28T09:00+01:00", 3),  # over holidays
        (BERLIN, "2026-11-23T10:00+01:00", "2026-11-23T09:00+01:00", 0),
        (NIGHT, "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00", 23),  # forward
        (NIGHT, "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", 25),  # back
        (JUMP, "2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00", 1),
        (JUMP, "2026-10-25T00:00+02:00", "2026-10-25T12:00+01:00", 2.5),
        (IN_IT, "2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00", 0),
        (ALWAYS, "2026-03-28T00:00+00:00", "2026-03-30T00:00+00:00", 48),
    ],
)
def test_hard_days(calendar: Calendar, start: str, end: str, hours: float) -> None:
    assert open_seconds(calendar, at(start), at(end)) == hours * H


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2026-11-20T16:30+01:00", 1, "2026-11-23T09:30+01:00"),
        ("2026-11-23T11:00+01:00", 1, "2026-11-23T12:00+01:00"),
        ("2026-11-23T11:00+01:00", 1.5, "2026-11-23T13:30+01:00"),
        ("2026-12-24T11:00+01:00", 2, "2026-12-28T10:00+01:00"),
        ("2026-03-27T16:00+01:00", 2, "2026-03-30T10:00+02:00"),  # a Friday before the jump
    ],
)
def test_when_it_is_due(start: str, hours: float, due: str) -> None:
    assert due_after(BERLIN, at(start), hours * H) == at(due)


def test_a_calendar_that_never_opens() -> None:
    never = Calendar(zone="UTC", week=((),) * 7)
    assert due_after(never, at("2026-11-23T09:00+00:00"), 1) is None
    assert next_opening(never, at("2026-11-23T09:00+00:00")) is None


def test_open_now() -> None:
    assert is_open(BERLIN, at("2026-11-23T09:00+01:00"))
    assert not is_open(BERLIN, at("2026-11-23T12:00+01:00"))
    assert next_opening(BERLIN, at("2026-12-24T12:00+01:00")) == at("2026-12-28T09:00+01:00")


@pytest.mark.parametrize(
    "changes",
    [
        {"zone": "Europe/Nowhere"},
        {"zone": "../etc/passwd"},
        {"week": (OFFICE,) * 6},
        {"week": (((540, 540),),) * 7},
        {"week": (((540, 720), (700, 800)),) * 7},
        {"week": (((0, 1441),),) * 7},
        {"week": (tuple((n * 10, n * 10 + 5) for n in range(9)),) * 7},
        {"days": (SpecialDay(day="25.12.2026", name="x"),)},
        {"days": (SpecialDay(day="20261225", name="x"),)},
        {"days": (SpecialDay(day="2026-12-25", name=" "),)},
        {"days": (SpecialDay(day="2026-12-25", name="a"), SpecialDay(day="2026-12-25", name="b"))},
        {"days": tuple(SpecialDay(day=f"2026-01-{n % 28 + 1:02}", name="x") for n in range(1001))},
    ],
)
def test_a_calendar_that_means_nothing_is_refused(changes: dict[str, object]) -> None:
    given_ = {"zone": "UTC", "week": (OFFICE,) * 7, "days": ()} | changes
    with pytest.raises(FarhandError, match="calendar-invalid"):
        check_calendar(Calendar(**given_))  # type: ignore[arg-type]


_cuts = st.lists(st.integers(0, 1440), unique=True, max_size=8).map(sorted)
_windows = _cuts.map(lambda cuts: tuple(zip(cuts[::2], cuts[1::2], strict=False)))
_calendars = st.builds(
    Calendar,
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"]),
    week=st.tuples(*[_windows] * 7),
    days=st.dictionaries(
        st.dates(datetime(2026, 3, 1).date(), datetime(2026, 4, 30).date()), _windows, max_size=5
    ).map(
        lambda days: tuple(
            SpecialDay(day=day.isoformat(), name="x", windows=windows)
            for day, windows in days.items()
        )
    ),
)
_instants = st.datetimes(datetime(2026, 3, 20), datetime(2026, 4, 10)).map(
    lambda one: one.replace(tzinfo=UTC, microsecond=0)
)


@settings(max_examples=60, deadline=None)
@given(_calendars, _instants, _instants, _instants)
def test_open_time_adds_up_and_never_exceeds_the_clock(
    calendar: Calendar, one: datetime, two: datetime, three: datetime
) -> None:
    check_calendar(calendar)
    a, b, c = sorted((one, two, three))
    whole = open_seconds(calendar, a, c)
    assert whole == open_seconds(calendar, a, b) + open_seconds(calendar, b, c)
    assert 0 <= whole <= (c - a).total_seconds()
    assert is_open(calendar, a) is (open_seconds(calendar, a, a + timedelta(seconds=1)) == 1)


@settings(max_examples=60, deadline=None)
@given(_calendars, _instants, st.integers(1, 90 * H))
def test_what_is_due_is_due_after_exactly_so_much_open_time(
    calendar: Calendar, start: datetime, seconds: int
) -> None:
    due = due_after(calendar, start, seconds)
    if due is None:
        assert open_seconds(calendar, start, start + timedelta(days=400)) < seconds
        return
    assert open_seconds(calendar, start, due) == seconds
    # It falls into a window: a second earlier it was not done.
    assert open_seconds(calendar, start, due - timedelta(seconds=1)) == seconds - 1
