"""Terms: what a contract says.  A value, kept in versions (contracts.contracts).

    kind          what work comes to
    included      nothing; what an organisation without a contract has
    tm            time and material: every billable hour at the rate
    block         hours paid for ahead: taken from the balance
    managed       a fixed fee for what is listed; hours, where some are granted, from the balance
    subscription  the same, by its name

Where hours are granted and used up, `overage` says what follows: `deny` (no session is begun),
`warn` (the balance goes below nothing, and the next grant pays for it) or `bill` (what is over is
charged at the rate).  Money is in minor units (cents) throughout.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "INCLUDED",
    "INCLUDED_NAME",
    "MAX_SCOPE",
    "ContractKind",
    "Overage",
    "Period",
    "Terms",
    "check_terms",
]

ContractKind = Literal["included", "tm", "block", "managed", "subscription"]
Overage = Literal["deny", "warn", "bill"]
Period = Literal["monthly", "yearly"]

INCLUDED_NAME: Final = "included"
MAX_SCOPE: Final = 200
_MAX_MINOR: Final = 100_000_000
_MAX_HOURS_S: Final = 100_000 * 3600
_MAX_STEP_S: Final = 8 * 3600
_CURRENCY: Final = re.compile(r"[A-Z]{3}\Z", re.ASCII)


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was agreed on.

    Attributes:
        kind: see the table above.
        organisation: id of whose it is; None for one that device groups alone find.
        title: for people.
        starts: day on which it begins, `2026-11-01`, in `zone`; periods are counted from it.
        ends: first day on which it is no more; None without an end.
        zone: IANA name of the time zone of its days and months.
        rate_minor: for an hour.
        fee_minor: for a period, whatever is used; due in the month in which one begins.
        currency: three letters.
        step_s: each entry is rounded up to a multiple of it.
        min_s: the least that an entry comes to.
        overage: past what was granted.
        calendar: hours in which its measures are counted; None takes the service policy's.
        policy: service policy that its tickets are promised; None leaves the queue's.
        period: how often hours are granted.
        grant_s: how many; 0 grants none.
        rollover_s: at most so many that are left go on into the next period.
        groups: device groups that it covers; with `services` empty too, everything.
        services: names of services (a ticket's category) that it covers.
        listed: whether it stands on the rate card, as an offer to everybody.
        show_time: whether the customer sees time entries unless told otherwise.
    """

    kind: ContractKind
    organisation: str | None = None
    title: str = ""
    starts: str = "2000-01-01"
    ends: str | None = None
    zone: str = "UTC"
    rate_minor: int = 0
    fee_minor: int = 0
    currency: str = "EUR"
    step_s: int = 60
    min_s: int = 0
    overage: Overage = "warn"
    calendar: str | None = None
    policy: str | None = None
    period: Period = "monthly"
    grant_s: int = 0
    rollover_s: int = 0
    groups: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    listed: bool = False
    show_time: bool = True

    @property
    def has_balance(self) -> bool:
        """Tell whether hours are granted and counted down."""
        return self.grant_s > 0

    def is_in_force(self, day: date) -> bool:
        """Tell whether it holds on a day of its zone."""
        text = day.isoformat()
        return self.starts <= text and (self.ends is None or text < self.ends)


# What everybody has who agreed on nothing: work is counted, and comes to nothing.
INCLUDED: Final = Terms(kind="included", title="Included", step_s=1, show_time=False)


def check_terms(terms: Terms) -> None:
    """Refuse terms that mean nothing.

    Raises:
        FarhandError: `contract-invalid`.
    """
    _check_days(terms)
    if not _CURRENCY.match(terms.currency):
        raise _invalid("a currency is three capital letters, such as EUR")
    for value, most, what in (
        (terms.rate_minor, _MAX_MINOR, "rate"),
        (terms.fee_minor, _MAX_MINOR, "fee"),
        (terms.grant_s, _MAX_HOURS_S, "hours granted"),
        (terms.rollover_s, _MAX_HOURS_S, "hours that roll over"),
        (terms.min_s, _MAX_STEP_S, "least that an entry comes to"),
        (terms.step_s - 1, _MAX_STEP_S - 1, "step"),
    ):
        if not 0 <= value <= most:
            raise _invalid(f"the {what} is out of bounds")
    if (terms.kind == "block") and not terms.has_balance:
        raise _invalid("a block of hours grants some")
    if terms.kind in ("included", "tm") and terms.has_balance:
        raise _invalid(f"a contract of kind {terms.kind} grants no hours")
    if terms.listed and terms.organisation is not None:
        raise _invalid("what is agreed with one organisation does not stand on the rate card")
    if terms.rollover_s and not terms.has_balance:
        raise _invalid("where no hours are granted, none roll over")
    for names, what in ((terms.groups, "device groups"), (terms.services, "services")):
        if len(names) > MAX_SCOPE or len(set(names)) != len(names):
            raise _invalid(f"a contract names each of at most {MAX_SCOPE} {what} once")
        if not all(0 < len(name) <= 80 and name.isprintable() for name in names):
            raise _invalid(f"one of the {what} has no name of 1 to 80 characters")
    if len(terms.title) > 120 or not terms.title.isprintable():
        raise _invalid("a title is one printable line of at most 120 characters")


def _check_days(terms: Terms) -> None:
    try:
        ZoneInfo(terms.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _invalid(f"{terms.zone[:60]!r} is no time zone") from error
    for day in (terms.starts, terms.ends):
        if day is not None and not _is_day(day):
            raise _invalid(f"{day[:20]!r} is no day, such as 2026-11-01")
    if terms.ends is not None and terms.ends <= terms.starts:
        raise _invalid("it ends before it begins")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text and 1990 <= int(text[:4]) <= 2199
    except ValueError:
        return False


def _invalid(words: str) -> FarhandError:
    return FarhandError("contract-invalid", words)
