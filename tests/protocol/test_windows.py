"""Maintenance windows: open when they say, in the device's time, also when the clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.windows import MAX_WINDOWS, next_open, open_until, parse_windows

LISBON = ZoneInfo("Europe/Lisbon")


def zones(name: str) -> tzinfo:
    """A device that stands in Lisbon."""
    return ZoneInfo(name) if name else LISBON


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-01-10T21:59:59", None),
        ("2026-01-10T22:00:00", "2026-01-11T04:00:00"),
        ("2026-01-11T03:59:59", "2026-01-11T04:00:00"),
        ("2026-01-11T04:00:00", None),
    ],
)
def test_a_window_is_open_from_its_begin_for_its_length(now: str, until: str | None) -> None:
    found = open_until(["daily 22:00 for 6h"], at(now), zones)
    assert found == (at(until) if until else None)


def test_the_next_one_is_told_and_an_empty_list_is_always_open() -> None:
    assert next_open([], at("2026-01-10T12:00"), zones) == at("2026-01-10T12:00")
    weekly = ["weekly sat 02:00 for 2h", "monthly last 01:00 for 30m"]
    assert next_open(weekly, at("2026-01-26T12:00"), zones) == at("2026-01-31T01:00")
    assert next_open(weekly, at("2026-01-31T03:59"), zones) == at("2026-01-31T03:59")


def test_a_named_zone_stands_above_the_devices() -> None:
    line = ["daily 22:00 for 1h; zone Asia/Tokyo"]
    assert next_open(line, at("2026-01-10T12:00"), zones) == at("2026-01-10T13:00")


def test_windows_keep_their_length_when_the_clock_jumps() -> None:
    # In Lisbon 01:00 becomes 02:00 on 2026-03-29, and 02:00 becomes 01:00 on 2026-10-25.
    for day, begin in (("2026-03-29", "00:30"), ("2026-10-25", "00:30")):
        opens = datetime.fromisoformat(f"{day}T{begin}").replace(tzinfo=LISBON).astimezone(UTC)
        line = [f"daily {begin} for 3h"]
        assert open_until(line, opens, zones) == opens + timedelta(hours=3)
        assert open_until(line, opens + timedelta(hours=3), zones) is None
    skipped = ["daily 01:30 for 1h"]
    after_skip = next_open(skipped, at("2026-03-29T00:00"), zones)
    assert after_skip == at("2026-03-29T01:30"), "as much later as the clock jumped, once"
    doubled = next_open(skipped, at("2026-10-24T23:00"), zones)
    assert doubled == at("2026-10-25T00:30")
    again = next_open(skipped, at("2026-10-25T01:31"), zones)
    assert again == at("2026-10-26T01:30"), "a time shown twice happens once"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "daily 22:00",
        "daily 22:00 for",
        "daily 22:00 for 0h",
        "daily 22:00 for 8d",
        "daily 25:00 for 1h",
        "always for 1h",
        "daily 22:00 for 1h; zone",
        "daily 22:00 for 1h; zone ../etc",
        "daily 22:00 for 1h; zone UTC; zone UTC",
        "daily 22:00 for 1h; splay 3m",
        "daily 22:00\x1b for 1h",
        "daily 22:00 for 1h " + "x" * 300,
    ],
)
def test_what_is_no_window_is_refused(line: str) -> None:
    with pytest.raises(FarhandError) as caught:
        parse_windows([line])
    assert caught.value.code == "window-malformed"


def test_there_are_only_so_many() -> None:
    with pytest.raises(FarhandError):
        parse_windows(["daily 22:00 for 1h"] * (MAX_WINDOWS + 1))
