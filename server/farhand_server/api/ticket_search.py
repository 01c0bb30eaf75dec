"""Routes of looking for tickets: by words, as lists in an order, kept lists, and lists as files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream

from farhand_server.accounts.authorisation import Actor
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import (
    LIMIT_DEFAULT,
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_of,
)
from farhand_server.desk.listing import (
    ListOrder,
    TicketListing,
    csv_lines,
    json_lines,
    list_ordered,
    place_of,
    walk_tickets,
)
from farhand_server.desk.priorities import Priority
from farhand_server.desk.saved_filters import (
    SavedFilter,
    drop_filter,
    get_filter,
    list_filters,
    save_filter,
)
from farhand_server.desk.search import search_tickets
from farhand_server.desk.search_index import fill_index
from farhand_server.desk.tickets import Ticket, TicketFilter
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Words = Annotated[str, QueryParameter(name="q", min_length=1, max_length=400)]
_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]
_Name = Annotated[str | None, QueryParameter(max_length=64)]
_Weight = Annotated[Priority | None, QueryParameter(name="priority")]
_Tier = Annotated[int | None, QueryParameter(name="tier", ge=1, le=3)]
_Order = Annotated[ListOrder | None, QueryParameter(name="sort")]
_Filter = Annotated[str | None, QueryParameter(name="filter", max_length=64)]
_Owner = Annotated[str | None, QueryParameter(name="of", max_length=64)]
_Format = Annotated[Literal["csv", "json"], QueryParameter(name="format")]


class NewFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list to keep; a shared one is for everybody of the desk."""

    listing: TicketListing
    shared: bool = False


class SearchController(Controller):
    """Tickets by words."""

    @get("/ticket-search", action="ticket.read")
    async def search(
        self,
        relay: FromRelay,
        actor: FromActor,
        q: _Words,
        in_state: _State = None,
        owner: _Name = None,
        queue: _Name = None,
        kind: _Name = None,
        weight: _Weight = None,
        tier: _Tier = None,
        device: _Name = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Ticket]:
        """Return the tickets in which all the words are: in their own words first, newest first."""
        wanted = TicketFilter(
            state=in_state,
            owner=owner,
            queue=queue,
            kind=kind,
            priority=weight,
            tier=tier,
            device=device,
        )
        after = decode_cursor(cursor, int, int)
        async with relay.db.read() as c:
            rows = await search_tickets(
                c,
                relay.tenant,
                words=q,
                wanted=wanted,
                sight=sight_of(actor, "ticket.read"),
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row.ticket, lambda row: (row.rank, row.seq))


class ListController(Controller):
    """Lists of tickets: in an order, kept under a name, and as files."""

    @get("/ticket-list", action="ticket.read")
    async def list_them(
        self,
        relay: FromRelay,
        actor: FromActor,
        name: _Filter = None,
        of: _Owner = None,
        sort: _Order = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Ticket]:
        """Return the tickets of a kept list (all without a name) in its order, or in another."""
        after = decode_cursor(cursor, str | int | None, int)
        async with relay.db.read() as c:
            listing = await _listing(relay, actor, name, of)
            if sort is not None:
                listing = msgspec.structs.replace(listing, sort=sort)
            rows = await list_ordered(
                c,
                relay.tenant,
                listing=listing,
                sight=sight_of(actor, "ticket.read"),
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        shown = rows[:limit]
        more = encode_cursor(*place_of(shown[-1], listing.sort)) if len(rows) > limit else None
        return Page(items=shown, next=more)

    @get("/ticket-list/export", action="ticket.note")
    async def export(
        self,
        relay: FromRelay,
        actor: FromActor,
        name: _Filter = None,
        of: _Owner = None,
        form: _Format = "csv",
    ) -> Stream:
        """Return a whole list as CSV or as a line of JSON for each ticket, as it is read."""
        listing = await _listing(relay, actor, name, of)
        tickets = walk_tickets(relay, listing, sight_of(actor, "ticket.note"))
        lines: AsyncIterator[bytes]
        if form == "csv":
            lines, media = csv_lines(tickets, listing.columns), "text/csv; charset=utf-8"
        else:
            lines, media = json_lines(tickets, listing.columns), "application/x-ndjson"
        headers = {
            "Content-Disposition": f'attachment; filename="tickets.{form}"',
            "X-Content-Type-Options": "nosniff",
        }
        return Stream(lines, headers=headers, media_type=media)

    @get("/ticket-filters", action="ticket.note")
    async def filters(self, relay: FromRelay, actor: FromActor) -> Page[SavedFilter]:
        """Return one's own kept lists and those that others share; they are bounded."""
        async with relay.db.read() as c:
            return Page(items=await list_filters(c, relay.tenant, actor.name))

    @post("/ticket-filters/{name:str}", action="ticket.note", status_code=200)
    async def save(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[NewFilter]
    ) -> SavedFilter:
        """Keep a list under a name; one's own of that name is replaced."""
        async with relay.db.write() as c:
            return await save_filter(
                c, relay, owner=actor.name, name=name, listing=data.listing, shared=data.shared
            )

    @post("/ticket-filters/{name:str}/drop", action="ticket.note", status_code=200)
    async def drop(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str]
    ) -> Page[SavedFilter]:
        """Forget one's own list; returns those that are left."""
        async with relay.db.write() as c:
            await drop_filter(c, relay, owner=actor.name, name=name)
            return Page(items=await list_filters(c, relay.tenant, actor.name))


async def _listing(relay: Relay, actor: Actor, name: str | None, of: str | None) -> TicketListing:
    if name is None:
        return TicketListing()
    async with relay.db.read() as c:
        kept = await get_filter(c, relay.tenant, asking=actor.name, name=name, owner=of)
    return kept.listing


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(_fill(relay), name="ticket-index")


async def _fill(relay: Relay) -> None:
    await fill_index(relay)


AREA = Area(
    name="ticket-search",
    controllers=[SearchController, ListController],
    statuses={"filter-limit": 409},
    start=_start,
)
