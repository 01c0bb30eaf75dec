"""Periods of a contract, and what the ledger is due when one ends and the next begins.

Pure.  Periods are counted from the day on which the contract begins: one that starts on the 31st
begins its months on the last day of those that are shorter.  When a period ends, what is left of
the balance expires; as much as may roll over is given again to the next period, and then its own
hours are granted.  A balance below nothing stays, so that the next grant pays for it.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

import msgspec

from farhand_server.contracts.terms import Terms

__all__ = ["Line", "due_lines", "fee_of_month", "next_period", "period_of"]

# A relay that slept longer opens the rest another time.
_MOST_PERIODS: Final = 600


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ledger to be; `mark` is what a contract's ledger holds once."""

    kind: str
    period: str
    seconds: int

    @property
    def mark(self) -> str:
        """Return what this may be written once for."""
        return f"{self.kind}:{self.period}"


def _begin(terms: Terms, number: int) -> date:
    """Return the first day of the period of a number, 0 the first."""
    first = date.fromisoformat(terms.starts)
    months = number * (12 if terms.period == "yearly" else 1) + first.month - 1
    year, month = first.year + months // 12, months % 12 + 1
    return date(year, month, min(first.day, calendar.monthrange(year, month)[1]))


def _number(terms: Terms, day: date) -> int:
    """Return the number of the period that a day, not before the first, is in."""
    first = date.fromisoformat(terms.starts)
    months = (day.year - first.year) * 12 + day.month - first.month
    number = months // 12 if terms.period == "yearly" else months
    return number - 1 if _begin(terms, number) > day else number


def period_of(terms: Terms, day: date) -> tuple[date, date] | None:
    """Return the first day of the period that a day is in, and of the next; None outside.

    The last period of a contract ends with it.
    """
    if not terms.is_in_force(day):
        return None
    number = _number(terms, day)
    following = _begin(terms, number + 1)
    if terms.ends is not None:
        following = min(following, date.fromisoformat(terms.ends))
    return _begin(terms, number), following


def next_period(terms: Terms, after: date) -> date:
    """Return the first beginning of a period after a day."""
    number = max(_number(terms, max(after, date.fromisoformat(terms.starts))), 0)
    while (begin := _begin(terms, number)) <= after:
        number += 1
    return begin


def fee_of_month(terms: Terms, month: str) -> int:
    """Return the fee of the periods that begin in a month, such as `2026-11`, in minor units."""
    year, number = map(int, month.split("-"))
    first = date(year, number, 1)
    begin = next_period(terms, first - timedelta(days=1))
    is_in_it = (begin.year, begin.month) == (year, number) and terms.is_in_force(begin)
    return terms.fee_minor if is_in_it else 0


def due_lines(terms: Terms, *, opened: str | None, balance_s: int, today: date) -> list[Line]:
    """Return what the ledger is due on a day.

    Args:
        terms: of the contract; without hours granted nothing is ever due.
        opened: first day of the newest period that the ledger knows; None when it knows none, and
            then only the period of today is opened.
        balance_s: the sum of the ledger.
        today: in the contract's zone.
    """
    return list(_due(terms, opened, balance_s, today)) if terms.has_balance else []


def _due(terms: Terms, opened: str | None, balance_s: int, today: date) -> Iterator[Line]:
    if opened is None:
        now = period_of(terms, today)
        if now is not None:
            yield Line(kind="grant", period=now[0].isoformat(), seconds=terms.grant_s)
        return
    ends = None if terms.ends is None else date.fromisoformat(terms.ends)
    last = date.fromisoformat(opened)
    for _ in range(_MOST_PERIODS):
        begin = next_period(terms, last)
        if ends is not None and begin >= ends:
            if today >= ends and balance_s > 0:
                yield Line(kind="expire", period=last.isoformat(), seconds=-balance_s)
            return
        if begin > today:
            return
        if balance_s > 0:
            yield Line(kind="expire", period=last.isoformat(), seconds=-balance_s)
            kept = min(balance_s, terms.rollover_s)
            if kept:
                yield Line(kind="rollover", period=begin.isoformat(), seconds=kept)
            balance_s = kept
        yield Line(kind="grant", period=begin.isoformat(), seconds=terms.grant_s)
        balance_s += terms.grant_s
        last = begin
