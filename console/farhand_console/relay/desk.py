"""What the relay answers about tickets."""

from __future__ import annotations

import msgspec

__all__ = [
    "Calendar",
    "KeptCalendar",
    "KeptPolicy",
    "Queue",
    "ServicePolicy",
    "ServiceTimer",
    "SpecialDay",
    "Targets",
    "Ticket",
    "TicketLink",
    "TicketMessage",
    "TicketParticipant",
    "TicketView",
    "TimeEntry",
    "Window",
]


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket."""

    id: str
    number: str
    title: str
    state: str
    created_at: str
    updated_at: str
    requester: str | None = None
    owner: str | None = None
    device: str | None = None
    external_key: str | None = None
    kind: str | None = None
    state_reason: str = ""
    waiting_until: str | None = None
    queue: str = ""
    impact: str = ""
    urgency: str = ""
    priority: str = ""
    priority_reason: str = ""
    tier: int | None = None
    security: bool = False
    steps_tried: str = ""
    reproducible: str | None = None
    repro_steps: str = ""
    complained_about: str | None = None
    identity_check: str = ""
    merged_into: str | None = None
    reopen_count: int = 0
    created_by: str | None = None
    resolved_at: str | None = None
    closed_at: str | None = None
    policy: str | None = None
    due_at: str | None = None
    late: bool = False


class TicketLink(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket is to another one."""

    kind: str
    ticket: str
    title: str
    state: str


class TicketParticipant(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who takes part in a ticket."""

    name: str
    part: str
    can_post: bool


class ServiceTimer(msgspec.Struct, frozen=True, kw_only=True):
    """One clock of what was promised; seconds are of the desk's hours."""

    metric: str
    state: str
    target_s: int
    spent_s: int
    paused_by: str = ""
    due_at: str | None = None
    met_at: str | None = None


class TicketView(Ticket, frozen=True, kw_only=True):
    """A ticket as `ticket show` gets it; what was said and the time come page by page."""

    service: list[ServiceTimer] = []
    participants: list[TicketParticipant] = []
    links: list[TicketLink] = []
    merged: list[str] = []


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Where tickets wait; days after which an answer reopens no more, and silence closes."""

    name: str
    title: str
    reopen_days: int
    close_days: int
    policy: str | None = None


class TicketMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Something said on a ticket; `ticket` is where, which may be a merged one."""

    seq: int
    ticket: str = ""
    kind: str
    author: str
    body: str
    at: str


class TimeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Work done on a ticket."""

    id: str
    account: str
    started_at: str
    ended_at: str
    active_s: int
    note: str
    ticket: str | None = None
    session: str | None = None


# What is promised.

# Minutes of the local day.
Window = tuple[int, int]


class SpecialDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day unlike its weekday; closed without windows."""

    day: str
    name: str
    windows: tuple[Window, ...] = ()


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Seven days of windows, Monday first."""

    zone: str
    week: tuple[tuple[Window, ...], ...]
    days: tuple[SpecialDay, ...] = ()


class KeptCalendar(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a calendar."""

    name: str
    version: int
    calendar: Calendar


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of open time; null owes nothing."""

    first_response_s: int | None = None
    next_response_s: int | None = None
    resolution_s: int | None = None


class ServicePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised for each priority, and what stops the time to resolve."""

    targets: dict[str, Targets]
    pauses: tuple[str, ...] = ()


class KeptPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a policy, and the version of the calendar that it counts in."""

    name: str
    version: int
    calendar: str
    calendar_version: int
    policy: ServicePolicy
