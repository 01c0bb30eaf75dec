"""Which schedules run now: on time, missed, never twice, and whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.standing.memory import Mark
from farhand_agent.standing.planning import GRACE, Plan, plan
from farhand_agent.zones import zone_of
from farhand_protocol.errors import FarhandError
from farhand_protocol.schedules import parse_schedule

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def utc(name: str) -> tzinfo:
    if name:
        raise FarhandError("zone-unknown", name)
    return UTC


class Device:
    """A device with its schedules and its memory of them."""

    def __init__(self, *lines: str) -> None:
        self.schedules = [parse_schedule(line) for line in lines]
        self.marks: dict[str, Mark] = {}

    def at(self, now: datetime) -> Plan:
        done = plan(self.schedules, self.marks, now=now, zone_of=utc, device="d-1")
        self.marks = done.marks
        return done

    def ran(self, now: datetime) -> list[str]:
        return [one.name for one in self.at(now).run]


def test_a_new_schedule_waits_for_its_next_time() -> None:
    device = Device("x: daily 03:00; checks a.b")
    first = device.at(NOON)
    assert (first.run, first.missed) == ((), ())
    assert first.next == datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def test_each_time_runs_once() -> None:
    device = Device("x: every 15m; checks a.b")
    device.at(NOON)
    ran = [
        minute for minute in range(1, 61) if device.ran(NOON + timedelta(minutes=minute)) == ["x"]
    ]
    assert ran == [15, 30, 45, 60]


def test_a_restart_runs_nothing_again() -> None:
    device = Device("x: every 15m; checks a.b")
    device.at(NOON)
    assert device.ran(NOON + timedelta(minutes=15)) == ["x"]
    again = Device("x: every 15m; checks a.b")
    again.marks = dict(device.marks)
    assert again.ran(NOON + timedelta(minutes=15)) == []


@pytest.mark.parametrize(("misfire", "late"), [("run_once", ["x"]), ("skip", [])])
def test_what_was_missed_runs_once_or_is_left_out(misfire: str, late: list[str]) -> None:
    line = f"x: daily 03:00; checks a.b; misfire {misfire}"
    device = Device(line)
    device.at(NOON)
    back = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
    done = device.at(back)
    assert [one.name for one in done.run] == late
    assert list(done.missed) == ([] if late else ["x"])
    assert device.ran(back + timedelta(minutes=1)) == []
    assert done.next == datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
    prompt = Device(line)
    prompt.at(NOON)
    assert prompt.ran(datetime(2026, 11, 23, 3, 0, tzinfo=UTC) + GRACE) == ["x"]


def test_a_changed_line_is_a_new_schedule() -> None:
    device = Device("x: daily 03:00; checks a.b")
    device.at(NOON)
    device.schedules = [parse_schedule("x: daily 03:00; checks a.c")]
    assert device.ran(NOON + timedelta(days=2)) == []


def test_a_clock_set_back_a_little_repeats_nothing_and_a_lot_starts_anew() -> None:
    device = Device("x: every 15m; checks a.b")
    device.at(NOON)
    ahead = NOON + timedelta(minutes=30)
    assert device.ran(ahead) == ["x"]
    assert device.ran(NOON + timedelta(minutes=16)) == []
    assert device.ran(ahead + timedelta(minutes=15)) == ["x"]
    year = timedelta(days=365)
    assert device.ran(ahead + year) == ["x"]
    device.at(ahead)
    assert device.ran(ahead + timedelta(minutes=15)) == ["x"]


def test_a_zone_that_the_device_does_not_know_costs_its_schedule_only() -> None:
    device = Device("x: every 15m; checks a.b; zone Mars/Olympus", "y: every 15m; checks a.c")
    first = device.at(NOON)
    assert first.unplaced == ("x",)
    assert first.next == NOON + timedelta(minutes=15)
    assert device.ran(NOON + timedelta(minutes=15)) == ["y"]


def test_a_damaged_mark_misses_nothing_and_repeats_nothing() -> None:
    device = Device("x: every 15m; checks a.b")
    device.at(NOON)
    device.marks["x"].handled = "yesterday"
    assert device.ran(NOON + timedelta(hours=1)) == []
    assert device.ran(NOON + timedelta(hours=1, minutes=15)) == ["x"]


def test_nothing_is_ever_due_without_schedules() -> None:
    assert Device().at(NOON).next is None


@given(
    waits=st.lists(st.integers(1, 200_000), max_size=30),
    misfire=st.sampled_from(["run_once", "skip"]),
    when=st.sampled_from(["every 15m", "every 6h", "daily 03:00", "monthly 31 03:00"]),
)
def test_no_time_is_dealt_with_twice_and_none_is_forgotten(
    waits: list[int], misfire: str, when: str
) -> None:
    line = f"x: {when}; checks a.b; misfire {misfire}"
    device, schedule = Device(line), parse_schedule(line)
    device.at(NOON)
    now, handled = NOON, NOON
    for wait in waits:
        now += timedelta(seconds=wait)
        done = device.at(now)
        last = schedule.last_due(now, UTC)
        assert last is not None
        was_due = last > handled
        assert bool(done.run or done.missed) == was_due
        assert len(done.run) + len(done.missed) <= 1
        handled = max(handled, last)


def test_zones_of_this_device() -> None:
    own = zone_of("")
    for text in ("2026-01-15T12:00", "2026-07-15T12:00", "2026-03-29T01:30", "2026-10-25T01:30"):
        naive = datetime.fromisoformat(text)
        assert naive.replace(tzinfo=own).timestamp() == naive.timestamp()
        moment = naive.replace(tzinfo=UTC)
        assert moment.astimezone(own).replace(tzinfo=None) == moment.astimezone().replace(
            tzinfo=None
        )
    if "Europe/Lisbon" in available_timezones():
        assert zone_of("Europe/Lisbon").utcoffset(datetime(2026, 7, 1)) == timedelta(hours=1)
    for name in ("Mars/Olympus", "../../etc/passwd", "Europe"):
        with pytest.raises(FarhandError, match="zone-unknown"):
            zone_of(name)
