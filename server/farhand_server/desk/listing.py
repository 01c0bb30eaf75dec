"""Lists of tickets in an order, page by page or as a whole file.

An order is a column and the ticket's number, so each page is a range of an index and the cursor is
where the last one ended.  What has nothing in the column (no due time) comes last.  A file is
written as the pages are read: however long the list, only one page of it is in memory.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Column, ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.cells import plain_cell
from farhand_protocol.errors import UsageError
from farhand_server.desk.priorities import rank_priority
from farhand_server.desk.tickets import (
    Sight,
    Ticket,
    TicketFilter,
    conditions_of,
    ticket_of_row,
)
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets

__all__ = [
    "COLUMNS",
    "MAX_LISTED",
    "ListOrder",
    "TicketListing",
    "check_listing",
    "csv_lines",
    "json_lines",
    "list_ordered",
    "place_of",
    "walk_tickets",
]

MAX_LISTED: Final = 200_000  # in one file
_AT_ONCE: Final = 500
COLUMNS: Final = Ticket.__struct_fields__
_DEFAULT: Final = ("number", "priority", "state", "title", "requester", "owner", "updated_at")

ListOrder = Literal["newest", "oldest", "priority", "due", "updated"]
Place = tuple[str | int | None, int]


class _By(NamedTuple):
    """The column of an order, None for the number alone, and which end comes first."""

    column: Column[Any] | None
    descends: bool
    field: str = ""


_ORDERS: Final[dict[str, _By]] = {
    "newest": _By(None, True),
    "oldest": _By(None, False),
    "priority": _By(tickets.c.priority, False, "priority"),
    "due": _By(tickets.c.due_at, False, "due_at"),
    "updated": _By(tickets.c.updated_at, True, "updated_at"),
}


class TicketListing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list: what is on it, in which order, and which columns people see."""

    wanted: TicketFilter = TicketFilter()
    sort: ListOrder = "newest"
    columns: tuple[str, ...] = _DEFAULT


def check_listing(listing: TicketListing) -> None:
    """Check that a list can be made.

    Raises:
        FarhandError: `invalid`.
    """
    conditions_of(listing.wanted)
    unknown = [name for name in listing.columns if name not in COLUMNS]
    if unknown or not listing.columns or len(set(listing.columns)) != len(listing.columns):
        words = f"columns are some of {', '.join(COLUMNS)}, each once"
        raise UsageError("invalid", words)


async def list_ordered(
    c: AsyncConnection,
    tenant: str,
    *,
    listing: TicketListing,
    sight: Sight | None,
    after: Place | None = None,
    limit: int = 50,
) -> list[Ticket]:
    """Return tickets in the order of a list.

    Args:
        c: any connection.
        tenant: organisation.
        listing: what is asked for.
        sight: who asks; None for the relay itself.
        after: `place_of` the last one already seen.
        limit: at most so many.

    Raises:
        FarhandError: `invalid`.
    """
    check_listing(listing)
    where = [tickets.c.tenant == tenant, *conditions_of(listing.wanted)]
    if sight is not None and (seen := sight.condition(tenant)) is not None:
        where.append(seen)
    by = _ORDERS[listing.sort]
    found: list[Ticket] = []
    for is_null in (False, True):
        if is_null and (by.column is None or not by.column.nullable):
            break
        if after is not None and (after[0] is None) > is_null and by.column is not None:
            continue  # what has a value was seen already
        here = [*where, *_part(by, after, is_null=is_null)]
        order = _order(by, is_null=is_null)
        query = select(tickets).where(and_(*here)).order_by(*order).limit(limit - len(found))
        found += [ticket_of_row(row) for row in (await c.execute(query)).mappings()]
        if len(found) >= limit:
            break
    return found


def _part(by: _By, after: Place | None, *, is_null: bool) -> list[ColumnElement[bool]]:
    """Return what rows must be to come after a place, among those with a value or without."""
    number, column = tickets.c.number, by.column
    where: list[ColumnElement[bool]] = []
    if column is not None and column.nullable:
        where.append(column.is_(None) if is_null else column.is_not(None))
    if after is None:
        return where
    value, last = after
    if column is None:
        where.append(number < last if by.descends else number > last)
    elif is_null:
        if value is None:
            where.append(number > last)
    else:
        further = column < value if by.descends else column > value
        beside = number < last if by.descends else number > last
        where.append(or_(further, and_(column == value, beside)))
    return where


def _order(by: _By, *, is_null: bool) -> list[ColumnElement[Any]]:
    if by.column is None or is_null:
        return [tickets.c.number.desc() if by.descends else tickets.c.number]
    if by.descends:
        return [by.column.desc(), tickets.c.number.desc()]
    return [by.column, tickets.c.number]


def place_of(ticket: Ticket, sort: ListOrder) -> Place:
    """Return where a ticket stands in an order, for the cursor."""
    field = _ORDERS[sort].field
    if field == "priority":
        return rank_priority(ticket.priority), ticket.row  # type: ignore[arg-type]
    return (getattr(ticket, field) if field else None), ticket.row


# Files.


async def walk_tickets(relay: Relay, listing: TicketListing, sight: Sight) -> AsyncIterator[Ticket]:
    """Yield a whole list, a page of it in each transaction; at most `MAX_LISTED`."""
    after: Place | None = None
    for _ in range(MAX_LISTED // _AT_ONCE):
        async with relay.db.read() as c:
            page = await list_ordered(
                c, relay.tenant, listing=listing, sight=sight, after=after, limit=_AT_ONCE
            )
        for ticket in page:
            yield ticket
        if len(page) < _AT_ONCE:
            return
        after = place_of(page[-1], listing.sort)


async def csv_lines(rows: AsyncIterator[Ticket], columns: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield a list as CSV (RFC 4180), its names first; no cell is a formula."""
    yield _csv_line(columns)
    async for ticket in rows:
        yield _csv_line([_cell(getattr(ticket, name)) for name in columns])


def _csv_line(cells: Sequence[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue().encode()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = msgspec.json.encode(value).decode() if value else ""
    return "" if value is None else plain_cell(str(value))


async def json_lines(rows: AsyncIterator[Ticket], columns: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield a list as lines of JSON, one for each ticket."""
    async for ticket in rows:
        yield msgspec.json.encode({name: getattr(ticket, name) for name in columns}) + b"\n"
