"""Standing schedules: what a line means, every month, both changes of the clock, refusals."""

from __future__ import annotations

import calendar
import contextlib
import os
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_protocol.schedules import (
    MAX_SCHEDULE_CHARS,
    MAX_SCHEDULED_CHECKS,
    MAX_SCHEDULES,
    ScheduledCheck,
    parse_schedule,
    parse_schedules,
)

if "Europe/Lisbon" not in available_timezones() and os.environ.get("FARHAND_CI") != "1":
    pytest.skip("this machine has no tz database (Debian: tzdata)", allow_module_level=True)

LISBON = ZoneInfo("Europe/Lisbon")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Lisbon",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",  # changes by half an hour
        "Asia/Kathmandu",
        "Pacific/Apia",  # left out a day in 2011
        "Africa/Casablanca",  # goes back for Ramadan
    )
]
zones = st.sampled_from(ZONES)
moments = st.datetimes(datetime(1999, 1, 1), datetime(2037, 1, 1)).map(
    lambda at: at.replace(tzinfo=UTC)
)
clocks = st.builds(lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.integers(0, 59))
whens = st.one_of(
    st.builds("every {}{}".format, st.integers(1, 40), st.sampled_from("hdw")),
    clocks.map("daily {}".format),
    st.builds("weekly {} {}".format, st.sampled_from(["mon", "tue,thu", "sat,sun,wed"]), clocks),
    st.builds("monthly {} {}".format, st.sampled_from([1, 15, 28, 29, 30, 31, "last"]), clocks),
    st.builds("monthly {} fri {}".format, st.sampled_from(["1st", "2nd", "4th", "last"]), clocks),
    st.builds("yearly {} {}".format, st.sampled_from(["02-29", "12-31", "01-01"]), clocks),
)


def at(text: str, zone: ZoneInfo = LISBON) -> datetime:
    """Return a local time as a moment."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def dues(when: str, after: str, count: int, zone: ZoneInfo = LISBON) -> list[str]:
    """Return the next local times at which a schedule is due."""
    schedule = parse_schedule(f"x: {when}; checks disk.space")
    moment, found = at(after, zone), []
    for _ in range(count):
        due = schedule.next_due(moment, zone)
        assert due is not None
        found.append(due.astimezone(zone).isoformat(" ", "minutes")[:16])
        moment = due
    return found


@pytest.mark.parametrize(
    ("when", "after", "expected"),
    [
        ("daily 03:30", "2026-03-01 03:30", ["2026-03-02 03:30", "2026-03-03 03:30"]),
        ("weekly mon,thu 09:00", "2026-03-03 00:00", ["2026-03-05 09:00", "2026-03-09 09:00"]),
        ("monthly 1 00:00", "2026-12-31 23:59", ["2027-01-01 00:00", "2027-02-01 00:00"]),
        ("monthly last 08:00", "2028-02-01 00:00", ["2028-02-29 08:00", "2028-03-31 08:00"]),
        ("monthly 2nd tue 08:00", "2026-03-01 00:00", ["2026-03-10 08:00", "2026-04-14 08:00"]),
        ("monthly last fri 08:00", "2026-05-01 00:00", ["2026-05-29 08:00", "2026-06-26 08:00"]),
        ("yearly 12-24 18:00", "2026-12-24 18:00", ["2027-12-24 18:00", "2028-12-24 18:00"]),
        ("every 90m", "2026-01-01 00:10", ["2026-01-01 01:30", "2026-01-01 03:00"]),
    ],
)
def test_when_a_schedule_is_due(when: str, after: str, expected: list[str]) -> None:
    assert dues(when, after, len(expected)) == expected


def test_day_31_is_the_last_day_of_every_month() -> None:
    found = dues("monthly 31 02:00", "2027-12-31 12:00", 12)
    last = [calendar.monthrange(2028, month)[1] for month in range(1, 13)]
    assert [int(text[8:10]) for text in found] == last
    assert [int(text[5:7]) for text in found] == list(range(1, 13))


def test_day_30_is_there_in_february_too() -> None:
    found = dues("monthly 30 02:00", "2026-01-30 12:00", 2)
    assert found == ["2026-02-28 02:00", "2026-03-30 02:00"]


def test_29_february_comes_every_year_and_is_the_28th_in_most() -> None:
    found = dues("yearly 02-29 06:00", "2095-01-01 00:00", 10)
    days = [text[:10] for text in found]
    # 2100 is no leap year.
    assert days[1] == "2096-02-29"
    assert days[5] == "2100-02-28"
    assert days[9] == "2104-02-29"
    assert [int(day[:4]) for day in days] == list(range(2095, 2105))


def test_a_time_that_the_clock_skips_happens_once_after_the_jump() -> None:
    # Lisbon goes from 01:00 to 02:00 on 29 March 2026.
    found = dues("daily 01:30", "2026-03-28 00:00", 3)
    assert found == ["2026-03-28 01:30", "2026-03-29 02:30", "2026-03-30 01:30"]


def test_a_time_that_the_clock_shows_twice_happens_once_at_the_first() -> None:
    # Lisbon goes from 02:00 to 01:00 on 25 October 2026.
    schedule = parse_schedule("x: daily 01:30; checks disk.space")
    due = schedule.next_due(at("2026-10-24 12:00"), LISBON)
    assert due == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert schedule.next_due(due, LISBON) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_a_day_that_a_zone_left_out_is_not_made_up_twice() -> None:
    apia = ZoneInfo("Pacific/Apia")
    found = dues("daily 12:00", "2011-12-29 00:00", 3, apia)
    assert found == ["2011-12-29 12:00", "2011-12-31 12:00", "2012-01-01 12:00"]


def test_an_interval_keeps_its_step_across_a_change_of_the_clock() -> None:
    schedule = parse_schedule("x: every 6h; checks disk.space")
    due = schedule.next_due(at("2026-03-28 20:00"), LISBON)
    for _ in range(6):
        assert due is not None
        after = schedule.next_due(due, LISBON)
        assert after is not None
        assert after - due == timedelta(hours=6)
        due = after


@given(when=whens, after=moments, zone=zones)
def test_next_and_last_agree_and_nothing_is_due_twice(
    when: str, after: datetime, zone: ZoneInfo
) -> None:
    schedule = parse_schedule(f"x: {when}; checks disk.space; splay 30m")
    first = schedule.next_due(after, zone, "d-1")
    assert first is not None
    assert first > after
    second = schedule.next_due(first, zone, "d-1")
    assert second is not None
    assert second > first
    assert schedule.last_due(first, zone, "d-1") == first
    between = first + (second - first) / 2
    assert schedule.last_due(between, zone, "d-1") == first
    assert schedule.next_due(between, zone, "d-1") == second
    before = schedule.last_due(after, zone, "d-1")
    assert before is not None
    assert before <= after
    assert schedule.next_due(before, zone, "d-1") in (first, before + (first - before))


@given(clock=clocks, after=moments, zone=zones)
def test_a_daily_schedule_comes_once_for_each_day_that_was(
    clock: str, after: datetime, zone: ZoneInfo
) -> None:
    schedule = parse_schedule(f"x: daily {clock}; checks disk.space")
    wanted = time.fromisoformat(clock)
    moment, days = after, []
    for _ in range(40):
        due = schedule.next_due(moment, zone)
        assert due is not None
        local = due.astimezone(zone)
        # Its own time of day, or as much later as the clock jumped.
        if local.time() != wanted:
            asked = datetime.combine(local.date(), wanted, zone)
            assert asked.astimezone(UTC).astimezone(zone).time() != wanted
        days.append(local.date())
        moment = due
    assert len(set(days)) == len(days)
    assert timedelta(days=39) <= days[-1] - days[0] <= timedelta(days=41)


@given(number=st.integers(1, 31), clock=clocks, after=moments, zone=zones)
def test_a_monthly_schedule_comes_in_each_month_once(
    number: int, clock: str, after: datetime, zone: ZoneInfo
) -> None:
    schedule = parse_schedule(f"x: monthly {number} {clock}; checks disk.space")
    moment, months = after, []
    for _ in range(14):
        due = schedule.next_due(moment, zone)
        assert due is not None
        local = due.astimezone(zone)
        months.append(local.year * 12 + local.month)
        moment = due
    assert months == list(range(months[0], months[0] + 14))


@given(after=moments)
def test_splay_moves_each_device_by_its_own_constant(after: datetime) -> None:
    plain = parse_schedule("x: daily 03:00; checks disk.space")
    splayed = parse_schedule("x: daily 03:00; checks disk.space; splay 1h")
    moved = splayed.next_due(after, UTC, "d-1")
    assert moved is not None
    again = splayed.next_due(moved, UTC, "d-1")
    assert again is not None
    assert again - moved == timedelta(days=1)
    base = plain.last_due(moved, UTC)
    assert base is not None
    assert timedelta(0) <= moved - base < timedelta(hours=1)


def test_splay_spreads_devices() -> None:
    schedule = parse_schedule("x: daily 03:00; checks disk.space; splay 1h")
    after = datetime(2026, 1, 1, 12, tzinfo=UTC)
    found = {schedule.next_due(after, UTC, f"d-{n}") for n in range(100)}
    assert len(found) > 80


def test_a_schedule_ends() -> None:
    schedule = parse_schedule("x: daily 03:00; checks a.b; until 2026-03-03T03:00:00Z")
    last = datetime(2026, 3, 2, 3, tzinfo=UTC)
    assert schedule.next_due(last - timedelta(hours=1), UTC) == last
    assert schedule.next_due(last, UTC) is None
    assert schedule.last_due(datetime(2026, 6, 1, tzinfo=UTC), UTC) == last
    every = parse_schedule("x: every 1h; checks a.b; until 2026-03-03T03:00:00Z")
    assert every.last_due(datetime(2026, 6, 1, tzinfo=UTC), UTC) == datetime(
        2026, 3, 3, 2, tzinfo=UTC
    )


def test_nothing_is_due_outside_the_calendar() -> None:
    for when in ("daily 03:00", "every 366d", "yearly 12-31 23:59"):
        schedule = parse_schedule(f"x: {when}; checks a.b")
        assert schedule.next_due(datetime(9999, 12, 31, 23, 59, tzinfo=UTC), LISBON) is None


def test_the_last_day_of_the_calendar_ends_later_in_the_west() -> None:
    schedule = parse_schedule("x: daily 23:59; checks a.b")
    west = ZoneInfo("America/New_York")
    assert schedule.next_due(datetime(9999, 12, 31, 12, tzinfo=UTC), west) is None


def test_nothing_was_due_before_the_calendar() -> None:
    for when in ("every 366d", "yearly 12-31 23:59"):
        schedule = parse_schedule(f"x: {when}; checks a.b")
        assert schedule.last_due(datetime(1, 1, 4, tzinfo=UTC), UTC) is None


def test_what_a_line_says() -> None:
    schedule = parse_schedule(
        "disk: every 15m; checks disk.space warning=80 critical=95.5, probe.tls target=a.example;"
        " confirm 2/3; misfire skip; zone Europe/Lisbon; splay 5m; until 2027-01-01T00:00:00Z"
    )
    assert schedule.name == "disk"
    assert schedule.checks == (
        ScheduledCheck("disk.space", (("critical", 95.5), ("warning", 80.0))),
        ScheduledCheck("probe.tls", (("target", "a.example"),)),
    )
    assert [one.subject for one in schedule.checks] == ["", "a.example"]
    assert (schedule.confirm, schedule.misfire, schedule.zone) == ((2, 3), "skip", "Europe/Lisbon")
    assert (schedule.splay_s, schedule.sections) == (300, ())
    assert schedule.until == datetime(2027, 1, 1, tzinfo=UTC)
    night = parse_schedule("night: daily 03:30; inventory software, updates")
    assert (night.sections, night.checks) == (("software", "updates"), ())
    assert (night.misfire, night.confirm, night.zone) == ("run_once", (1, 1), "")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "x: daily 03:00",
        "X: daily 03:00; checks a.b",
        "x: daily 3:00; checks a.b",
        "x: daily 24:00; checks a.b",
        "x: weekly 03:00; checks a.b",
        "x: weekly mon-fri 03:00; checks a.b",
        "x: monthly 0 03:00; checks a.b",
        "x: monthly 32 03:00; checks a.b",
        "x: monthly 5th mon 03:00; checks a.b",
        "x: yearly 02-30 03:00; checks a.b",
        "x: yearly 13-01 03:00; checks a.b",
        "x: every 0m; checks a.b",
        "x: every 59s; checks a.b",
        "x: every 400d; checks a.b",
        "x: every 15m; run a.b",
        "x: every 15m; checks",
        "x: every 15m; checks a.b,",
        "x: every 15m; checks A.b",
        "x: every 15m; checks a.b warning",
        "x: every 15m; checks a.b name=-rf",
        "x: every 15m; checks a.b warning=-1.2.3",
        "x: every 15m; checks a.b target=-rf",
        "x: every 15m; checks a.b target=$(id)",
        "x: every 15m; checks a.b w=1 w=2",
        "x: every 15m; inventory ../etc",
        "x: every 15m; inventory os, os",
        "x: every 15m; checks a.b; splay 16m",
        "x: daily 03:00; checks a.b; splay 2d",
        "x: daily 03:00; checks a.b; splay 1h; splay 1h",
        "x: daily 03:00; checks a.b; misfire never",
        "x: daily 03:00; checks a.b; zone ../../etc/passwd",
        "x: daily 03:00; checks a.b; until tomorrow",
        "x: daily 03:00; checks a.b; confirm 3/2",
        "x: daily 03:00; checks a.b; confirm 2/11",
        "x: daily 03:00; checks a.b; shell id",
        "x: daily 03:00; checks a.b;",
        "x: daily 03:00; checks a.b\n",
        "x: daily ०३:00; checks a.b",
        "x: daily 03:00; checks " + "a" * MAX_SCHEDULE_CHARS,
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(FarhandError, match="schedule-malformed"):
        parse_schedule(line)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_does_anything_but_be_refused(when: str, work: str) -> None:
    for line in (when, f"x: {when}; {work}", f"x: every 15m; {work}", f"x: {when}; checks a.b"):
        with contextlib.suppress(FarhandError):
            assert parse_schedule(line).line == line


def test_schedules_of_a_policy_are_bounded_and_apart() -> None:
    def many(count: int, work: str) -> list[str]:
        return [f"x{n}: every 15m; {work}".replace("N", str(n)) for n in range(count)]

    assert len(parse_schedules(many(MAX_SCHEDULES, "checks a.bN"))) == MAX_SCHEDULES
    checks = ", ".join(f"a.b target=h{n}" for n in range(MAX_SCHEDULED_CHECKS + 1))
    each = MAX_SCHEDULED_CHECKS // MAX_SCHEDULES + 1
    full = [
        f"x{line}: every 15m; checks " + ", ".join(f"a.b{line}x{n}" for n in range(each))
        for line in range(MAX_SCHEDULES)
    ]
    for lines in (
        many(MAX_SCHEDULES + 1, "checks a.bN"),
        ["x: every 15m; checks a.b", "x: every 15m; checks a.c"],
        ["x: every 15m; checks a.b", "y: every 15m; checks a.b warning=1"],
        ["x: every 15m; checks a.b target=h, a.b target=h"],
        [f"x: every 15m; checks {checks}"],
        full,
    ):
        with pytest.raises(FarhandError, match="schedule-malformed"):
            parse_schedules(lines)


def test_a_threshold_may_lie_below_zero() -> None:
    (one,) = parse_schedules(["x: every 15m; checks net.wifi warning_dbm=-65 critical_dbm=-75.5"])
    assert one.checks[0].parameters == (("critical_dbm", -75.5), ("warning_dbm", -65.0))
