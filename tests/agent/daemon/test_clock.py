"""The device's time beside the relay's: told when they are far apart, and never relied on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farhand_agent.alarms import alarms
from farhand_agent.clock_check import SKEW_WARNED_S, note_skew
from farhand_agent.journal import Journal
from farhand_protocol.instants import format_instant

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    """A device's clock that tests set."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        return self.at.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal.db", create=True, clock=clock)) as made:
        yield made


def noted(journal: Journal, clock: Clock, relay: datetime) -> str | None:
    return note_skew(journal, format_instant(relay), clock=clock.at)


@pytest.mark.parametrize("sign", [1, -1])
def test_five_minutes_are_borne_and_more_is_told_once(
    journal: Journal, clock: Clock, sign: int
) -> None:
    borne = timedelta(seconds=SKEW_WARNED_S * sign)
    assert noted(journal, clock, NOON + borne) is None
    words = noted(journal, clock, NOON + borne + timedelta(seconds=sign))
    assert words is not None
    assert ("behind" if sign > 0 else "ahead of") in words
    assert noted(journal, clock, NOON + 2 * borne) is None, "it was told before"
    assert [one["code"] for one in alarms(journal)] == ["clock-skew"]
    # Once the times agree again the alarm is over, and the next difference is told again.
    assert noted(journal, clock, NOON) is None
    assert alarms(journal) == []
    assert noted(journal, clock, NOON + 2 * borne) is not None
    kinds = [one.kind for one in journal.log_records()]
    assert kinds == ["clock-skew", "clock-skew-over", "clock-skew"]


def test_a_clock_set_back_is_told_and_not_followed(journal: Journal, clock: Clock) -> None:
    journal.raise_clock()
    clock.at = NOON - timedelta(hours=3)
    assert journal.now() == NOON, "the highest time seen goes on counting"
    words = noted(journal, clock, NOON)
    assert words is not None
    assert "clock is 180 minutes behind" in words


def test_a_clock_that_was_once_ahead_is_told_by_what_was_seen(
    journal: Journal, clock: Clock
) -> None:
    clock.at = NOON + timedelta(days=2)
    journal.raise_clock()
    clock.at = NOON
    words = noted(journal, clock, NOON)
    assert words is not None
    assert "highest time seen is 2880 minutes ahead of" in words
    assert journal.now() == NOON + timedelta(days=2)


@pytest.mark.parametrize("lie", ["", "yesterday", "9999-99-99T00:00:00Z", "\x1b[2J"])
def test_a_relay_that_tells_no_time_changes_nothing(
    journal: Journal, clock: Clock, lie: str
) -> None:
    before = journal.now()
    assert note_skew(journal, lie, clock=clock.at) is None
    assert (journal.now(), alarms(journal)) == (before, [])


def test_the_relays_time_moves_the_devices_nowhere(journal: Journal, clock: Clock) -> None:
    for relay in (NOON + timedelta(days=400), NOON - timedelta(days=400)):
        noted(journal, clock, relay)
        assert journal.now() == NOON
