"""What the relay answers about figures, reports and surveys."""

from __future__ import annotations

import msgspec

from farhand_console.relay.bounds import Count
from farhand_console.relay.contracts import Balance

__all__ = [
    "ContractLine",
    "Figures",
    "Group",
    "Measured",
    "MonthReport",
    "Opinion",
    "Readers",
    "Satisfaction",
    "Spread",
    "SurveyLine",
    "SurveySettings",
    "TicketLine",
    "TimeLine",
]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took."""

    count: Count
    mean_s: float | None = None
    median_s: float | None = None
    p90_s: float | None = None


class Satisfaction(msgspec.Struct, frozen=True, kw_only=True):
    """How content people were."""

    asked: Count
    answered: Count
    response_rate: float | None
    rate: float | None
    mean: float | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a time."""

    created: Count
    resolved: Count
    backlog: Count
    reopened: Count
    reopen_rate: float | None
    first_response: Spread
    first_response_business: Spread
    next_response: Spread
    next_response_business: Spread
    resolution: Spread
    resolution_business: Spread
    satisfaction: Satisfaction
    downtime_s: Count


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one part."""

    name: str
    figures: Figures


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a time, and of its parts."""

    begin: str
    end: str
    figures: Figures
    groups: list[Group]


class TicketLine(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket of a month."""

    ticket: str
    title: str
    kind: str
    priority: str
    open: bool
    created_at: str
    resolved_at: str | None
    first_response_s: Count | None
    resolution_s: Count | None
    reopened: Count
    active_s: Count
    billed_s: Count


class TimeLine(msgspec.Struct, frozen=True, kw_only=True):
    """Work of a month."""

    entry: str
    ticket: str
    title: str
    account: str
    ended_at: str
    activity: str
    note: str
    contract: str
    active_s: Count
    billed_s: Count
    debited_s: Count
    charged_s: Count


class ContractLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract's work came to in a month."""

    contract: str
    title: str
    kind: str
    active_s: Count
    billed_s: Count
    debited_s: Count
    charged_s: Count
    amount_minor: Count
    fee_minor: Count
    currency: str
    balance: Balance | None


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a survey."""

    ticket: str
    score: Count
    comment: str
    answered_at: str


class MonthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a month."""

    month: str
    organisation: str | None
    title: str
    zone: str
    figures: Figures
    by_priority: list[Group]
    by_queue: list[Group]
    active_s: Count
    billed_s: Count
    tickets: list[TicketLine]
    time: list[TimeLine]
    contracts: list[ContractLine]
    satisfaction: list[Opinion]
    complaints: list[TicketLine]


class Readers(msgspec.Struct, frozen=True, kw_only=True):
    """Who is sent a report."""

    addresses: list[str] = []
    language: str = ""


class SurveyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One survey of one resolution; `skipped` is why nobody is asked."""

    ticket: str
    state: str
    resolved_by: str = ""
    skipped: str = ""
    due_at: str | None = None
    sent_at: str | None = None
    answered_at: str | None = None
    score: Count | None = None
    comment: str = ""


class SurveySettings(msgspec.Struct, frozen=True, kw_only=True):
    """When people are asked how it was."""

    on: bool = True
    delay_s: Count = 86_400
    calendar: str | None = None
    every_days: Count = 7
