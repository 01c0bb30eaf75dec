"""What entries come to and what the ledger is due: tables of cases, and what holds for all."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_server.contracts.periods import due_lines, next_period, period_of
from farhand_server.contracts.rounding import amount_minor, billed_seconds, split_charge
from farhand_server.contracts.terms import Terms, check_terms

H = 3600
BLOCK = Terms(kind="block", starts="2026-01-31", grant_s=10 * H)

seconds = st.integers(0, 7 * 86_400)
steps = st.integers(1, 8 * H)


# Rounding.


@given(seconds, steps, st.integers(0, 8 * H))
def test_an_entry_comes_to_whole_steps_and_no_less_than_was_worked(
    active_s: int, step_s: int, min_s: int
) -> None:
    billed = billed_seconds(active_s, step_s=step_s, min_s=min_s)
    assert billed % step_s == 0
    if active_s == 0:
        assert billed == 0
    else:
        assert max(active_s, min_s) <= billed < max(active_s, min_s) + step_s
    assert billed_seconds(billed, step_s=step_s, min_s=min_s) == billed


@given(seconds, seconds, steps, st.integers(0, 8 * H))
def test_more_work_never_comes_to_less(one: int, other: int, step_s: int, min_s: int) -> None:
    few, many = sorted((one, other))
    assert billed_seconds(few, step_s=step_s, min_s=min_s) <= billed_seconds(
        many, step_s=step_s, min_s=min_s
    )


@given(st.integers(-10_000_000, 10_000_000), st.integers(0, 100_000_000))
def test_a_price_is_the_nearest_and_its_reversal_the_exact_opposite(s: int, rate: int) -> None:
    assert abs(amount_minor(s, rate) * H - s * rate) * 2 <= H
    assert amount_minor(-s, rate) == -amount_minor(s, rate)


@given(
    st.sampled_from(["deny", "warn", "bill"]),
    st.sampled_from(["included", "tm", "block", "managed", "subscription"]),
    st.integers(0, 40 * H),
    seconds,
    st.integers(-40 * H, 40 * H),
)
def test_nothing_is_paid_for_twice(
    overage: Any, kind: Any, grant_s: int, billed: int, balance: int
) -> None:
    terms = Terms(kind=kind, grant_s=grant_s, overage=overage)
    debited, charged = split_charge(terms, billed, balance)
    assert min(debited, charged) >= 0
    assert debited + charged in (0, billed)
    if overage == "bill" and debited:
        assert debited <= max(balance, 0)


@pytest.mark.parametrize(
    ("terms", "balance_h", "expected_h"),
    [
        (Terms(kind="included"), 0, (0, 0)),
        (Terms(kind="tm"), 0, (0, 3)),
        (Terms(kind="managed"), 0, (0, 0)),
        (Terms(kind="block", grant_s=H), 5, (3, 0)),
        (Terms(kind="block", grant_s=H), 1, (3, 0)),
        (Terms(kind="block", grant_s=H, overage="deny"), 1, (3, 0)),
        (Terms(kind="block", grant_s=H, overage="bill"), 1, (1, 2)),
        (Terms(kind="block", grant_s=H, overage="bill"), -1, (0, 3)),
        (Terms(kind="subscription", grant_s=H, overage="bill"), 3, (3, 0)),
    ],
)
def test_who_pays(terms: Terms, balance_h: int, expected_h: tuple[int, int]) -> None:
    debited, charged = split_charge(terms, 3 * H, balance_h * H)
    assert (debited / H, charged / H) == expected_h


# Periods.

terms_of_any_start = st.builds(
    lambda day, period, rollover: Terms(
        kind="block", starts=day.isoformat(), period=period, grant_s=10 * H, rollover_s=rollover
    ),
    st.dates(date(2000, 1, 1), date(2030, 12, 31)),
    st.sampled_from(["monthly", "yearly"]),
    st.sampled_from([0, 5 * H, 100 * H]),
)


@given(terms_of_any_start, st.integers(0, 4000))
def test_every_day_is_in_one_period_and_periods_follow_each_other(terms: Terms, days: int) -> None:
    day = date.fromisoformat(terms.starts) + timedelta(days=days)
    found = period_of(terms, day)
    assert found is not None
    begin, end = found
    assert begin <= day < end
    assert next_period(terms, begin) == end
    assert next_period(terms, begin - timedelta(days=1)) == begin
    assert period_of(terms, end) == (end, next_period(terms, end))


def test_a_contract_of_the_last_day_has_months_of_last_days() -> None:
    begins = [date(2026, 1, 31)]
    for _ in range(4):
        begins.append(next_period(BLOCK, begins[-1]))
    assert [one.isoformat() for one in begins[1:]] == [
        "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31",
    ]  # fmt: skip
    assert period_of(BLOCK, date(2026, 1, 30)) is None
    ended = msgspec.structs.replace(BLOCK, ends="2026-03-10")
    assert period_of(ended, date(2026, 3, 9)) == (date(2026, 2, 28), date(2026, 3, 10))
    assert period_of(ended, date(2026, 3, 10)) is None


def lines(terms: Terms, opened: str | None, balance_h: float, today: str) -> list[tuple[Any, ...]]:
    found = due_lines(
        terms, opened=opened, balance_s=int(balance_h * H), today=date.fromisoformat(today)
    )
    return [(one.kind, one.period, one.seconds / H) for one in found]


def test_what_is_left_expires_or_rolls_over_and_new_hours_come() -> None:
    assert lines(BLOCK, None, 0, "2026-01-30") == []
    # Nobody looked at it for long: only the period of today is opened.
    assert lines(BLOCK, None, 0, "2026-06-01") == [("grant", "2026-05-31", 10)]
    assert lines(BLOCK, "2026-01-31", 4, "2026-02-27") == []
    assert lines(BLOCK, "2026-01-31", 4, "2026-02-28") == [
        ("expire", "2026-01-31", -4),
        ("grant", "2026-02-28", 10),
    ]
    rolling = msgspec.structs.replace(BLOCK, rollover_s=3 * H)
    assert lines(rolling, "2026-01-31", 4, "2026-03-31") == [
        ("expire", "2026-01-31", -4),
        ("rollover", "2026-02-28", 3),
        ("grant", "2026-02-28", 10),
        ("expire", "2026-02-28", -13),
        ("rollover", "2026-03-31", 3),
        ("grant", "2026-03-31", 10),
    ]
    # What went over is taken from what comes.
    assert lines(BLOCK, "2026-01-31", -2, "2026-02-28") == [("grant", "2026-02-28", 10)]
    ended = msgspec.structs.replace(BLOCK, ends="2026-02-10")
    assert lines(ended, "2026-01-31", 4, "2026-02-09") == []
    assert lines(ended, "2026-01-31", 4, "2026-05-01") == [("expire", "2026-01-31", -4)]
    assert lines(Terms(kind="tm"), None, 0, "2026-05-01") == []


@given(terms_of_any_start, st.integers(0, 900), st.integers(-20 * H, 60 * H), st.integers(1, 400))
def test_looking_later_and_looking_twice_come_to_the_same(
    terms: Terms, first: int, balance_s: int, more: int
) -> None:
    start = date.fromisoformat(terms.starts)
    begun = period_of(terms, start + timedelta(days=first))
    assert begun is not None
    opened = begun[0].isoformat()
    late = begun[0] + timedelta(days=more)
    at_once = due_lines(terms, opened=opened, balance_s=balance_s, today=late)
    marks = [line.mark for line in at_once]
    assert len(set(marks)) == len(marks)
    # Day by day it is the same.
    stepwise = []
    balance = balance_s
    day = begun[0]
    while day < late:
        day = min(day + timedelta(days=9), late)
        due = due_lines(terms, opened=opened, balance_s=balance, today=day)
        stepwise += due
        balance += sum(line.seconds for line in due)
        grants = [line.period for line in due if line.kind == "grant"]
        opened = grants[-1] if grants else opened
        assert due_lines(terms, opened=opened, balance_s=balance, today=day) == []
    assert stepwise == at_once


# Terms.


@pytest.mark.parametrize(
    "change",
    [
        {"starts": "2026-13-01"},
        {"starts": "20260101"},
        {"ends": "2026-01-31"},
        {"zone": "Europe/Nowhere"},
        {"zone": "../etc/passwd"},
        {"currency": "euro"},
        {"rate_minor": -1},
        {"step_s": 0},
        {"step_s": 100_000},
        {"grant_s": 0},
        {"grant_s": 10**12},
        {"kind": "tm"},
        {"kind": "included"},
        {"groups": ("a", "a")},
        {"services": ("",)},
        {"services": ("\x1b[2J",)},
        {"title": "x" * 121},
        {"title": "a\nb"},
        {"listed": True, "organisation": "g-1"},
    ],
)
def test_terms_that_mean_nothing_are_refused(change: dict[str, Any]) -> None:
    check_terms(BLOCK)
    with pytest.raises(FarhandError) as caught:
        check_terms(msgspec.structs.replace(BLOCK, **change))
    assert caught.value.code == "contract-invalid"
