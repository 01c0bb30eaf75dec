"""Which tickets nobody needs to see: the relay made and resolved them for what never began."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, select

from farhand_server.actors import THE_RELAY
from farhand_server.store.schema import ticket_events, tickets

__all__ = ["came_to_nothing"]


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
