"""Papers of a ticket: an order, a shipment or an invoice that stands in somebody else's system.

A number and an address to open, nothing more: no shop, no payment, no card data.  They are found by
their number, however it was typed: case, spaces and hyphens do not matter.
"""

from __future__ import annotations

from typing import Final, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import RowMapping, and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Sight, Ticket
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_papers, tickets
from farhand_server.wording import check_line

__all__ = [
    "MAX_PAPERS",
    "PAPER_KINDS",
    "NewPaper",
    "Paper",
    "PaperKind",
    "add_paper",
    "check_web_address",
    "find_papers",
    "papers_of",
    "remove_paper",
]

PaperKind = Literal["order", "shipment", "invoice"]
PAPER_KINDS: Final[tuple[PaperKind, ...]] = get_args(PaperKind)
MAX_PAPERS: Final = 50
_MAX_NUMBER_CHARS: Final = 80
_MAX_URL_CHARS: Final = 500


class NewPaper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A paper to be; `url` may be empty."""

    kind: PaperKind
    number: str
    url: str = ""


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """One paper; `ticket` reads as `number` of tickets does."""

    ticket: str
    kind: str
    number: str
    url: str
    added_by: str
    added_at: str


def check_web_address(text: str, field: str = "address") -> str:
    """Return an address that a browser may be sent to, or nothing for an empty one.

    Raises:
        UsageError: `invalid` for anything but http:// and https:// with a host and without a name
            or password in it.
    """
    if not text.strip():
        return ""
    url = check_line(text, field, max_chars=_MAX_URL_CHARS)
    try:
        parts = urlsplit(url)
        host = parts.hostname
        # Reading it is what refuses a port that is none.
        _ = parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    strange = any(character.isspace() or character in "<>\"'`\\" for character in url)
    if parts.scheme not in ("http", "https") or not host or parts.username or strange:
        raise UsageError("invalid", f"the {field} must be a plain http:// or https:// address")
    return url


def _sought(number: str) -> str:
    return "".join(character for character in number.casefold() if character.isalnum())


def _paper(row: RowMapping) -> Paper:
    names = [name for name in Paper.__struct_fields__ if name != "ticket"]
    return Paper(ticket=format_number(row["ticket"]), **{name: row[name] for name in names})


async def papers_of(c: AsyncConnection, tenant: str, number: int) -> list[Paper]:
    """Return the papers of a ticket, by kind and number; at most `MAX_PAPERS`."""
    query = (
        select(ticket_papers)
        .where(ticket_papers.c.tenant == tenant, ticket_papers.c.ticket == number)
        .order_by(ticket_papers.c.kind, ticket_papers.c.sought)
        .limit(MAX_PAPERS)
    )
    return [_paper(row) for row in (await c.execute(query)).mappings()]


async def find_papers(
    c: AsyncConnection,
    tenant: str,
    number: str,
    *,
    sight: Sight,
    before: int | None = None,
    limit: int = 50,
) -> list[Paper]:
    """Return papers of this number on tickets that somebody sees, newest ticket first.

    Args:
        c: any connection.
        tenant: organisation.
        number: as somebody read it out.
        sight: who asks.
        before: only tickets below this number (the cursor).
        limit: at most so many.
    """
    where = [ticket_papers.c.tenant == tenant, ticket_papers.c.sought == _sought(number)]
    if (seen := sight.condition()) is not None:
        where.append(seen)
    if before is not None:
        where.append(ticket_papers.c.ticket < before)
    query = (
        select(ticket_papers)
        .join(
            tickets,
            and_(
                tickets.c.tenant == ticket_papers.c.tenant,
                tickets.c.number == ticket_papers.c.ticket,
            ),
        )
        .where(*where)
        .order_by(ticket_papers.c.ticket.desc(), ticket_papers.c.kind)
        .limit(limit)
    )
    return [_paper(row) for row in (await c.execute(query)).mappings()]


async def add_paper(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, new: NewPaper, actor: str
) -> list[Paper]:
    """Put a paper on a ticket, or change its address; returns all of the ticket's.

    Raises:
        FarhandError: `invalid`, `paper-limit`.
    """
    tenant, at = relay.tenant, relay.stamp()
    number = check_line(new.number, f"{new.kind}'s number", max_chars=_MAX_NUMBER_CHARS)
    sought = _sought(number)
    if not sought:
        raise UsageError("invalid", f"the {new.kind}'s number has neither letter nor digit")
    url = check_web_address(new.url)
    mine = and_(ticket_papers.c.tenant == tenant, ticket_papers.c.ticket == ticket.row)
    await c.execute(
        delete(ticket_papers).where(
            mine, ticket_papers.c.kind == new.kind, ticket_papers.c.sought == sought
        )
    )
    count = await c.scalar(select(func.count()).select_from(ticket_papers).where(mine))
    if int(count or 0) >= MAX_PAPERS:
        raise FarhandError("paper-limit", f"{ticket.number} has {MAX_PAPERS} papers already")
    await c.execute(
        insert(ticket_papers).values(
            tenant=tenant,
            ticket=ticket.row,
            kind=new.kind,
            number=number,
            sought=sought,
            url=url,
            added_by=actor,
            added_at=at,
        )
    )
    detail = {"kind": new.kind, "number": number}
    await add_event(c, tenant, ticket.row, "paper", actor, detail, at)
    return await papers_of(c, tenant, ticket.row)


async def remove_paper(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, kind: str, number: str, actor: str
) -> list[Paper]:
    """Take a paper off a ticket; returns what is left.

    Raises:
        FarhandError: `not-found`.
    """
    done = await c.execute(
        delete(ticket_papers).where(
            ticket_papers.c.tenant == relay.tenant,
            ticket_papers.c.ticket == ticket.row,
            ticket_papers.c.kind == kind,
            ticket_papers.c.sought == _sought(number),
        )
    )
    if not done.rowcount:
        raise not_found(kind, number)
    detail = {"kind": kind, "number": number[:_MAX_NUMBER_CHARS], "removed": True}
    await add_event(c, relay.tenant, ticket.row, "paper", actor, detail, relay.stamp())
    return await papers_of(c, relay.tenant, ticket.row)
