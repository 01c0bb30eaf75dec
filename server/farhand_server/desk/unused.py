"""Who is a person, and which tickets nobody needs to see.

The relay, a rule, a mailbox and a monitor act in the name of nobody: what they say is no answer.
Tickets that the relay made and resolved for what never began are no work.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, and_, func, select

from farhand_server.store.schema import ticket_events, tickets

__all__ = ["THE_RELAY", "came_to_nothing", "is_a_person"]

# Who resolves what nobody is needed for.
THE_RELAY: Final = "relay"
_NO_PEOPLE: Final = (THE_RELAY, "mail", "monitor")


def is_a_person(actor: str) -> bool:
    """Tell whether what was done was done by a person."""
    return actor not in _NO_PEOPLE and not actor.startswith("rule:")


def came_to_nothing() -> ColumnElement[bool]:
    """Match the tickets of sessions that never began, which the relay resolved by itself."""
    mine = and_(
        ticket_events.c.tenant == tickets.c.tenant, ticket_events.c.ticket == tickets.c.number
    )
    last = (
        select(ticket_events.c.actor)
        .where(mine, ticket_events.c.kind.in_(("resolved", "reopened")))
        .order_by(ticket_events.c.seq.desc())
        .limit(1)
        .correlate(tickets)
        .scalar_subquery()
    )
    resolved = and_(tickets.c.kind == "walk-in", tickets.c.state.in_(("resolved", "closed")))
    return and_(resolved, func.coalesce(last, "") == THE_RELAY)
