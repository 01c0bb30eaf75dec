"""What another program can be told: the events of tickets and bugs, by name, and what is said.

An event says what happened and to which ticket, never what was written on it: whoever may read that
asks the API.  Security tickets are told of to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from farhand_protocol.errors import UsageError
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.tickets import Ticket

__all__ = ["EVENTS", "TICKET_EVENTS", "check_events", "event_body", "is_wanted", "ticket_facts"]

# The kinds of `ticket_events` that mean something outside of the desk.
TICKET_EVENTS: Final[tuple[str, ...]] = (
    "alert",
    "assigned",
    "changed",
    "closed",
    "created",
    "csat-low",
    "escalated",
    "linked",
    "merged",
    "note",
    "reopened",
    "reply",
    "requester-reply",
    "resolved",
    "resumed",
    "service-missed",
    "spam",
    "time",
    "unmerged",
    "waiting",
)
EVENTS: Final = ("*", *(f"ticket.{kind}" for kind in TICKET_EVENTS), "bug.fixed")
_FACTS: Final = (
    "number", "title", "state", "state_reason", "kind", "queue", "impact", "urgency", "priority",
    "tier", "requester", "owner", "device", "external_key", "organisation", "category", "language",
    "late", "created_at", "updated_at", "resolved_at",
)  # fmt: skip


def check_events(events: Sequence[str]) -> list[str]:
    """Return which events are wanted, each once.

    Raises:
        UsageError: `event-unknown`.
    """
    unknown = [one for one in events if one not in EVENTS]
    if unknown or not events:
        raise UsageError(
            "event-unknown",
            f"{unknown[0][:80]!r} is no event" if unknown else "name an event",
            hint="one or more of " + ", ".join(EVENTS),
        )
    return sorted(set(events))


def is_wanted(events: Sequence[str], event: str) -> bool:
    """Tell whether an event is among those wanted."""
    return "*" in events or event in events


def ticket_facts(ticket: Ticket) -> dict[str, Any]:
    """Return what a ticket is, without a word of what was said on it."""
    return {name: getattr(ticket, name) for name in _FACTS}


def event_body(event: HeededEvent, ticket: Ticket) -> str:
    """Return the JSON of an event."""
    return json.dumps(
        {
            "event": f"ticket.{event.kind}",
            "id": event.seq,
            "at": event.at,
            "actor": event.actor,
            "detail": event.detail,
            "ticket": ticket_facts(ticket),
        },
        sort_keys=True,
    )
