"""What the relay answers about tickets."""

from __future__ import annotations

import msgspec

__all__ = [
    "Queue",
    "Ticket",
    "TicketLink",
    "TicketMessage",
    "TicketParticipant",
    "TicketView",
    "TimeEntry",
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


class TicketView(Ticket, frozen=True, kw_only=True):
    """A ticket as `ticket show` gets it; what was said and the time come page by page."""

    participants: list[TicketParticipant] = []
    links: list[TicketLink] = []
    merged: list[str] = []


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Where tickets wait; days after which an answer reopens no more, and silence closes."""

    name: str
    title: str
    reopen_days: int
    close_days: int


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
