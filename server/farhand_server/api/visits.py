"""Routes of visits on site."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.channels.visits import (
    Visit,
    VisitEnd,
    VisitTerms,
    cancel_visit,
    card_of,
    finish_visit,
    get_visit,
    list_visits,
    move_visit,
    plan_visit,
)
from farhand_server.desk.tickets import get_ticket
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA"]

_State = Annotated[
    Literal["planned", "done", "missed", "cancelled"] | None, QueryParameter(name="state")
]
_Name = Annotated[str | None, QueryParameter(max_length=64)]


class NewVisit(VisitTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A visit for a ticket."""

    ticket: Annotated[str, msgspec.Meta(max_length=200)]


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a visit is called off."""

    reason: Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]


class VisitController(Controller):
    """Visits, by when they begin."""

    path = "/visits"

    @post("/", action="ticket.work", status_code=201)
    async def plan(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewVisit]) -> Visit:
        """Plan a visit, and invite whoever is concerned."""
        terms = VisitTerms(**{name: getattr(data, name) for name in VisitTerms.__struct_fields__})
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            return await plan_visit(
                c, relay, ref=data.ticket, terms=terms, actor=actor.name, sight=sight
            )

    @get("/", action="time.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        technician: _Name = None,
        ticket: _Name = None,
        in_state: _State = None,
        since: _Name = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Visit]:
        """Return visits."""
        place = decode_cursor(cursor, str, str)
        sight = sight_of(actor, "time.read")
        async with relay.db.read() as c:
            number = None
            if ticket is not None:
                number = (await get_ticket(c, relay.tenant, ticket, sight=sight)).row
            rows = await list_visits(
                c,
                relay.tenant,
                technician=technician,
                ticket=number,
                state=in_state,
                since=since,
                after=(str(place[0]), str(place[1])) if place else None,
                sight=sight,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.starts_at, row.id))

    @get("/{visit:str}", action="time.read")
    async def show(self, relay: FromRelay, actor: FromActor, visit: FromPath[str]) -> Visit:
        """Return a visit."""
        async with relay.db.read() as c:
            return await get_visit(c, relay.tenant, visit, sight=sight_of(actor, "time.read"))

    @get("/{visit:str}/ics", action="time.read")
    async def card(
        self, relay: FromRelay, actor: FromActor, visit: FromPath[str]
    ) -> Response[bytes]:
        """Return a visit for a calendar program."""
        async with relay.db.read() as c:
            found = await get_visit(c, relay.tenant, visit, sight=sight_of(actor, "time.read"))
            card = await card_of(c, relay, found)
        return Response(
            card,
            media_type="text/calendar; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="visit.ics"'},
        )

    @post("/{visit:str}/move", action="ticket.work", status_code=200)
    async def move(
        self, relay: FromRelay, actor: FromActor, visit: FromPath[str], data: JSONBody[VisitTerms]
    ) -> Visit:
        """Plan a visit anew."""
        async with relay.db.write() as c:
            await get_visit(c, relay.tenant, visit, sight=sight_of(actor, "ticket.work"))
            return await move_visit(c, relay, visit=visit, terms=data, actor=actor.name)

    @post("/{visit:str}/cancel", action="ticket.work", status_code=200)
    async def cancel(
        self, relay: FromRelay, actor: FromActor, visit: FromPath[str], data: JSONBody[Reason]
    ) -> Visit:
        """Call a visit off."""
        async with relay.db.write() as c:
            await get_visit(c, relay.tenant, visit, sight=sight_of(actor, "ticket.work"))
            return await cancel_visit(c, relay, visit=visit, reason=data.reason, actor=actor.name)

    @post("/{visit:str}/finish", action="ticket.work", status_code=200)
    async def finish(
        self, relay: FromRelay, actor: FromActor, visit: FromPath[str], data: JSONBody[VisitEnd]
    ) -> Visit:
        """Write down what came of a visit."""
        async with relay.db.write() as c:
            await get_visit(c, relay.tenant, visit, sight=sight_of(actor, "ticket.work"))
            return await finish_visit(c, relay, visit=visit, end=data, actor=actor.name)


AREA = Area(name="visits", controllers=[VisitController], statuses={"visit-state": 409})
