"""What the relay answers about contracts and time."""

from __future__ import annotations

import msgspec

from farhand_console.relay.bounds import Count

__all__ = [
    "Balance",
    "Charge",
    "Contract",
    "Corrected",
    "Cover",
    "LedgerLine",
    "Offer",
    "Statement",
    "StatementLine",
    "Terms",
    "TimeEntry",
]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed on; money in minor units, times in seconds."""

    kind: str
    organisation: str | None = None
    title: str = ""
    starts: str = "2000-01-01"
    ends: str | None = None
    zone: str = "UTC"
    rate_minor: Count = 0
    fee_minor: Count = 0
    currency: str = "EUR"
    step_s: Count = 60
    min_s: Count = 0
    overage: str = "warn"
    calendar: str | None = None
    policy: str | None = None
    period: str = "monthly"
    grant_s: Count = 0
    rollover_s: Count = 0
    groups: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    listed: bool = False
    show_time: bool = True


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a contract."""

    name: str
    version: Count
    terms: Terms


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a contract's hours."""

    period_from: str | None
    period_to: str | None
    available_s: Count
    used_s: Count
    balance_s: Count
    percent: Count


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    """What work falls under."""

    contract: str
    title: str = ""
    kind: str
    overage: str = "warn"
    rate_minor: Count = 0
    currency: str = ""
    balance: Balance | None = None
    refuses: bool = False


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a ledger."""

    seq: Count
    period: str
    kind: str
    seconds: Count
    entry: str | None = None
    reason: str = ""
    actor: str = ""
    at: str


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One time entry on a statement."""

    entry: str
    ticket: str
    title: str
    account: str
    started_at: str
    ended_at: str
    activity: str
    note: str
    active_s: Count
    billed_s: Count
    debited_s: Count
    charged_s: Count
    rate_minor: Count
    amount_minor: Count
    reverses: str | None
    late: bool


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A month of a contract; a draft has no id."""

    id: str | None
    contract: str
    title: str
    kind: str
    organisation: str | None
    month: str
    zone: str
    currency: str
    fee_minor: Count
    active_s: Count
    billed_s: Count
    debited_s: Count
    charged_s: Count
    amount_minor: Count
    made_at: str | None
    balance: Balance | None
    lines: list[StatementLine]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the rate card."""

    name: str
    title: str
    kind: str
    period: str
    fee_minor: Count
    rate_minor: Count
    currency: str
    grant_s: Count
    step_s: Count
    overage: str
    calendar: str | None


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What a time entry comes to."""

    entry: str
    contract: str
    contract_version: Count
    origin: str
    activity: str
    billable: bool
    customer_visible: bool
    billed_s: Count
    debited_s: Count
    charged_s: Count
    rate_minor: Count
    amount_minor: Count
    currency: str
    reverses: str | None
    reason: str
    statement: str | None


class TimeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Work done on a ticket, and what it comes to."""

    id: str
    ticket: str
    account: str
    session: str | None = None
    started_at: str
    ended_at: str
    active_s: Count
    note: str
    charge: Charge | None = None


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """The entry that takes a wrong one back, and the right one."""

    reversal: TimeEntry
    right: TimeEntry | None
