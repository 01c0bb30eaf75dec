"""Links between tickets: `relates`, `parent`, `duplicate-of`, `blocked-by`.

A link is kept once and read from both sides: what is `parent` of one is `child` to the other.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.desk.references import format_number
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import Ticket
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_links, tickets

__all__ = [
    "LINK_KINDS",
    "MAX_LINKS",
    "Link",
    "LinkKind",
    "add_link",
    "links_of",
    "remove_link",
    "successor_of",
]

LinkKind = Literal["relates", "parent", "duplicate-of", "blocked-by"]
LINK_KINDS: Final[tuple[LinkKind, ...]] = get_args(LinkKind)
MAX_LINKS: Final = 100
_FROM_THE_OTHER: Final[dict[str, str]] = {
    "relates": "relates",
    "parent": "child",
    "duplicate-of": "duplicated-by",
    "blocked-by": "blocks",
}


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link as one of its tickets shows it: this ticket `kind` that one."""

    kind: str
    ticket: str
    title: str
    state: str


async def links_of(
    c: AsyncConnection, tenant: str, number: int, *, guarded: bool = True
) -> list[Link]:
    """Return the links of a ticket; at most `MAX_LINKS`.

    Args:
        c: any connection.
        tenant: organisation.
        number: of the ticket.
        guarded: whether whoever asks sees security tickets; the others show without a title.
    """
    is_first = ticket_links.c.ticket == number
    theirs = or_(
        and_(is_first, tickets.c.number == ticket_links.c.other),
        and_(~is_first, tickets.c.number == ticket_links.c.ticket),
    )
    query = (
        select(
            ticket_links.c.kind,
            ticket_links.c.ticket,
            tickets.c.number,
            tickets.c.title,
            tickets.c.state,
            tickets.c.security,
        )
        .join(tickets, and_(tickets.c.tenant == ticket_links.c.tenant, theirs))
        .where(ticket_links.c.tenant == tenant, or_(is_first, ticket_links.c.other == number))
        .order_by(tickets.c.number)
        .limit(MAX_LINKS)
    )
    return [
        Link(
            kind=row.kind if row.ticket == number else _FROM_THE_OTHER[row.kind],
            ticket=format_number(row.number),
            title="" if row.security and not guarded else row.title,
            state=row.state,
        )
        for row in await c.execute(query)
    ]


async def successor_of(c: AsyncConnection, tenant: str, number: int) -> str | None:
    """Return the newest ticket that is worked on and `relates` to an older one, as its follower."""
    query = (
        select(tickets.c.number)
        .join(
            ticket_links,
            and_(
                ticket_links.c.tenant == tickets.c.tenant, ticket_links.c.ticket == tickets.c.number
            ),
        )
        .where(
            tickets.c.tenant == tenant,
            ticket_links.c.other == number,
            ticket_links.c.kind == "relates",
            tickets.c.number > number,
            tickets.c.state.not_in(ENDED),
        )
        .order_by(tickets.c.number.desc())
        .limit(1)
    )
    found = await c.scalar(query)
    return None if found is None else str(found)


async def add_link(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, other: Ticket, kind: LinkKind, actor: str
) -> None:
    """Say what a ticket is to another one; saying it twice changes nothing.

    Raises:
        FarhandError: `link-self`; `link-exists` when they are linked in another way already;
            `link-limit`.
    """
    if ticket.row == other.row:
        raise FarhandError("link-self", "a ticket cannot be linked to itself")
    tenant, at = relay.tenant, relay.stamp()
    query = select(ticket_links).where(ticket_links.c.tenant == tenant, _between(ticket, other))
    found = (await c.execute(query)).mappings().first()
    if found is not None:
        same_way = kind == "relates" or found["ticket"] == ticket.row
        if found["kind"] == kind and same_way:
            return
        raise FarhandError(
            "link-exists",
            f"{ticket.number} and {other.number} are linked already",
            hint=f"farhand ticket link {ticket.number} {other.number} --remove",
        )
    for one in (ticket, other):
        mine = or_(ticket_links.c.ticket == one.row, ticket_links.c.other == one.row)
        count = select(func.count()).where(ticket_links.c.tenant == tenant, mine)
        if int(await c.scalar(count) or 0) >= MAX_LINKS:
            raise FarhandError("link-limit", f"{one.number} has {MAX_LINKS} links already")
    values = {"tenant": tenant, "ticket": ticket.row, "other": other.row, "kind": kind}
    await c.execute(insert(ticket_links).values(**values, created_by=actor, created_at=at))
    detail = {"kind": kind, "other": other.number}
    await add_event(c, tenant, ticket.row, "linked", actor, detail, at)


async def remove_link(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, other: Ticket, actor: str
) -> None:
    """Take back what a ticket is to another one.

    Raises:
        FarhandError: `not-found`.
    """
    where = and_(ticket_links.c.tenant == relay.tenant, _between(ticket, other))
    done = await c.execute(delete(ticket_links).where(where))
    if not done.rowcount:
        raise not_found("link between these tickets and", other.number)
    detail = {"other": other.number}
    await add_event(c, relay.tenant, ticket.row, "unlinked", actor, detail, relay.stamp())


def _between(ticket: Ticket, other: Ticket) -> ColumnElement[bool]:
    a, b = ticket_links.c.ticket, ticket_links.c.other
    return or_(and_(a == ticket.row, b == other.row), and_(a == other.row, b == ticket.row))
