"""What the relay answers about tickets."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from farhand_console.relay.bounds import Count
from farhand_console.relay.measures import SurveyLine
from farhand_console.relay.records import Proof

__all__ = [
    "Calendar",
    "CampaignDevice",
    "CannedReply",
    "Checklist",
    "ChecklistItem",
    "ContractedTicket",
    "FilledReply",
    "Holidays",
    "InstructionStep",
    "KeptCalendar",
    "KeptPolicy",
    "KeptSection",
    "KindPromise",
    "Listing",
    "NotifySettings",
    "OpenNow",
    "Queue",
    "SavedFilter",
    "SectionSince",
    "ServicePolicy",
    "ServiceTimer",
    "SpecialDay",
    "Taken",
    "Targets",
    "Ticket",
    "TicketCampaign",
    "TicketDevice",
    "TicketForm",
    "TicketFormSchema",
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
    tier: Count | None = None
    security: bool = False
    steps_tried: str = ""
    reproducible: str | None = None
    repro_steps: str = ""
    complained_about: str | None = None
    identity_check: str = ""
    merged_into: str | None = None
    reopen_count: Count = 0
    created_by: str | None = None
    resolved_at: str | None = None
    closed_at: str | None = None
    policy: str | None = None
    due_at: str | None = None
    late: bool = False
    language: str = ""
    category: str = ""
    fields: dict[str, Any] = {}
    down_from: str | None = None
    down_to: str | None = None


class ContractedTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Which contract a ticket falls under; without one it is included."""

    number: str
    contract: str | None


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
    target_s: Count
    spent_s: Count
    paused_by: str = ""
    due_at: str | None = None
    met_at: str | None = None
    promised_on: str = ""


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its ticket shows it."""

    session: str
    device: str
    operator: str
    state: str
    reason: str
    started_at: str | None = None
    ended_at: str | None = None
    active_s: Count = 0


class TicketView(Ticket, frozen=True, kw_only=True):
    """A ticket as `ticket show` gets it; what was said and the time come page by page."""

    service: list[ServiceTimer] = []
    participants: list[TicketParticipant] = []
    links: list[TicketLink] = []
    merged: list[str] = []
    device_detail: dict[str, Any] | None = None
    surveys: list[SurveyLine] = []
    sessions: list[SessionLine] = []


class KindPromise(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised for a kind of ticket."""

    kind: str
    policy: str


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Where tickets wait; days after which an answer reopens no more, and silence closes."""

    name: str
    title: str
    reopen_days: Count
    close_days: Count
    policy: str | None = None
    open: bool = True


class TicketMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Something said on a ticket; `ticket` is where, which may be a merged one.

    `folded` are the ranges of the body that a mail quotes.
    """

    seq: Count
    ticket: str = ""
    kind: str
    author: str
    body: str
    at: str
    folded: list[tuple[Count, Count]] = []


class TimeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Work done on a ticket."""

    id: str
    account: str
    started_at: str
    ended_at: str
    active_s: Count
    note: str
    ticket: str | None = None
    session: str | None = None


# What is worked with.


class TicketFormSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a form, as a JSON Schema says them."""

    properties: dict[str, dict[str, Any]] = {}
    required: list[str] = []


class TicketForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of ticket is asked."""

    kind: str
    form: TicketFormSchema
    changed_by: str
    changed_at: str

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """Return the fields by name."""
        return self.form.properties

    @property
    def required(self) -> list[str]:
        """Return the names of those that must be filled in."""
        return self.form.required


class CannedReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply in one language."""

    key: str
    language: str
    title: str
    body: str
    changed_by: str
    changed_at: str


class FilledReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply as it would be sent; `missing` are variables without a value."""

    key: str
    language: str
    body: str
    missing: list[str]


class Checklist(msgspec.Struct, frozen=True, kw_only=True):
    """A checklist as tickets get it."""

    name: str
    title: str
    holds_back: bool
    items: list[dict[str, Any]]
    kind: str | None = None


class ChecklistItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a ticket."""

    place: Count
    checklist: str
    words: str
    required: bool
    state: str
    script: str | None = None
    run: str | None = None
    note: str = ""
    changed_by: str | None = None
    changed_at: str | None = None


class TicketCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign that a ticket is about."""

    campaign: str
    name: str
    script: str
    state: str
    counts: dict[str, Count]


class CampaignDevice(msgspec.Struct, frozen=True, kw_only=True):
    """How a device stands in a campaign of the ticket."""

    campaign: str
    device: str
    name: str
    state: str
    order: str
    ring: Count | None = None
    exit_code: Count | None = None
    refusal: str | None = None


class InstructionStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that the requester was asked to take."""

    message: Count
    place: Count
    words: str
    answer: str | None = None
    reason: str = ""
    answered_by: str | None = None
    answered_at: str | None = None


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What is on a list, in which order, and which columns people see."""

    wanted: dict[str, Any] = {}
    sort: str = ""
    columns: list[str] = []


class SavedFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A list of tickets under a name."""

    name: str
    owner: str
    shared: bool
    listing: Listing
    saved_at: str


class KeptSection(msgspec.Struct, frozen=True, kw_only=True):
    """A section as it was when the ticket was made."""

    items: list[dict[str, Any]]


class SectionSince(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in a section since the ticket was made."""

    name: str
    status_then: str
    status_now: str
    count: Count
    changes: list[dict[str, Any]]


class TicketDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The device of a ticket, then and now."""

    ticket: str
    device: str
    name: str
    os: str
    kind: str
    product: dict[str, Any]
    warranty: str
    proofs: list[Proof] = []
    then: list[dict[str, Any]]
    since: list[SectionSince]
    last_seen: str | None = None
    down_from: str | None = None
    down_to: str | None = None


# What is promised.

# Minutes of the local day.
Window = tuple[Count, Count]


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one person wants to be told, as far as it is more than words: when nothing is sent."""

    quiet: Window | None = None


class SpecialDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day unlike its weekday; closed without windows."""

    day: str
    name: str
    windows: tuple[Window, ...] = ()


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Seven days of windows, Monday first."""

    zone: str
    week: Annotated[tuple[tuple[Window, ...], ...], msgspec.Meta(min_length=7, max_length=7)]
    days: tuple[SpecialDay, ...] = ()


class KeptCalendar(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a calendar."""

    name: str
    version: Count
    calendar: Calendar


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of open time; null owes nothing."""

    first_response_s: Count | None = None
    next_response_s: Count | None = None
    resolution_s: Count | None = None


class ServicePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised for each priority, and what stops the time to resolve."""

    targets: dict[str, Targets]
    pauses: tuple[str, ...] = ()


class OpenNow(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a calendar is open, and when that changes."""

    calendar: str
    zone: str
    open: bool
    changes_at: str | None


class Holidays(msgspec.Struct, frozen=True, kw_only=True):
    """What an .ics file says, and what of it is not understood."""

    days: list[SpecialDay]
    left_out: list[str]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Holidays of a file, those that are new, and the version of the calendar that took them."""

    found: Holidays
    new: list[SpecialDay]
    version: Count | None


class KeptPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a policy, and the version of the calendar that it counts in."""

    name: str
    version: Count
    calendar: str
    calendar_version: Count
    policy: ServicePolicy
