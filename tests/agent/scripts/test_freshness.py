"""What time does to orders: expiries, floors, and how long a hostile relay can hold things back.

Every moment is injected.  A relay that withholds metadata leaves the device with its last verified
copy; these tests ask that copy at later and later times.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from farhand_agent.scripts.check import Plan
from farhand_protocol.errors import RefusedError
from farhand_protocol.instants import format_instant
from farhand_protocol.orders import MAX_ORDER_LIFETIME_S
from farhand_protocol.trust import Floors
from tests.agent.scripts.test_check import Case

WEEK = timedelta(seconds=MAX_ORDER_LIFETIME_S)
SECOND = timedelta(seconds=1)


def ordered(case: Case, *, signed: timedelta, at: timedelta, life: timedelta = WEEK) -> Plan | str:
    """Ask about an order signed then, at another time; times count from the case's beginning."""
    start = case.at
    lives = {"targets": timedelta(days=30), "snapshot": WEEK, "timestamp": timedelta(days=1)}
    case.trust_fields = {
        f"{part}_expires": format_instant(start + life) for part, life in lives.items()
    } | case.trust_fields
    case.order_fields |= {
        "issued_at": format_instant(start + signed),
        "not_before": format_instant(start + signed),
        "expires": format_instant(start + signed + life),
    }
    case.at = start + at
    try:
        return case.run()
    except RefusedError as error:
        return error.code


@pytest.mark.parametrize(
    ("risk", "at", "answer"),
    [
        ("R0", timedelta(hours=23), None),
        ("R1", timedelta(hours=23), None),
        ("R0", timedelta(days=1, seconds=1), None),
        ("R1", timedelta(days=1, seconds=1), "trust-stale"),
        ("R2", timedelta(days=1, seconds=1), "trust-stale"),
        ("R3", timedelta(days=1, seconds=1), "trust-stale"),
        ("R0", timedelta(days=30, seconds=-1), None),
        ("R0", timedelta(days=30, seconds=1), "trust-expired"),
        ("R1", timedelta(days=30, seconds=1), "trust-expired"),
    ],
)
def test_metadata_that_grow_old_leave_reading_and_then_nothing(
    risk: str, at: timedelta, answer: str | None
) -> None:
    case = Case()
    case.fields["risk"] = risk
    got = ordered(case, signed=at - SECOND, at=at, life=timedelta(hours=1))
    if answer is None:
        assert isinstance(got, Plan)
    else:
        assert got == answer


@pytest.mark.parametrize("part", ["root", "snapshot"])
def test_each_part_of_the_metadata_expires_by_itself(part: str) -> None:
    case = Case()
    case.fields["risk"] = "R1"
    case.trust_fields[f"{part}_expires"] = format_instant(case.at)
    got = ordered(case, signed=-SECOND, at=SECOND)
    assert got == ("trust-expired" if part == "root" else "trust-stale")


def test_a_withheld_revocation_is_bounded_by_the_life_of_what_was_signed() -> None:
    """The relay keeps the revocation back for ever; what it holds signed runs for 7 days at most.

    Nothing newer comes: orders signed by a console that has seen the revocation name newer
    targets, and no console signs one for the revoked script.
    """
    withheld = Case()  # the copy from before the revocation
    assert isinstance(ordered(withheld, signed=timedelta(), at=WEEK - SECOND), Plan)
    assert ordered(Case(), signed=timedelta(), at=WEEK) == "order-expired"
    assert ordered(Case(), signed=timedelta(), at=SECOND, life=WEEK + SECOND) == "order-lifetime"
    later = Case()
    later.order_fields["targets_version"] = later.organisation.version + 1
    assert ordered(later, signed=timedelta(), at=SECOND) == "trust-behind"


def test_an_order_is_held_to_its_signed_beginning_to_the_second() -> None:
    """A ring's beginning is a not_before; a relay that releases the ring early runs nothing."""
    hour = timedelta(hours=1)
    assert ordered(Case(), signed=hour, at=hour - SECOND) == "order-early"
    assert isinstance(ordered(Case(), signed=hour, at=hour), Plan)


def test_a_clock_set_back_makes_nothing_young_again() -> None:
    """The time that is asked is the later of the clock and the highest seen (see the journal)."""
    case = Case()
    assert ordered(case, signed=timedelta(), at=WEEK) == "order-expired"
    early = Case()
    assert ordered(early, signed=timedelta(), at=-timedelta(hours=1)) == "order-early"


@pytest.mark.parametrize(("floor", "runs"), [(0, True), (1, True), (2, False)])
def test_a_version_floor(floor: int, runs: bool) -> None:
    case = Case()
    org = case.organisation
    org.floors = Floors(tenant=org.tenant, scripts={"check.test": floor})
    got = ordered(case, signed=-SECOND, at=timedelta())
    assert isinstance(got, Plan) if runs else got == "script-below-floor"
