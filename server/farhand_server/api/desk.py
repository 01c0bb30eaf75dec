"""Routes of tickets.

A requester sees and answers her own tickets only, and never a note: wherever the reach of the
action is `own`, her name goes along as `own_only`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import Actor, authorise
from farhand_server.accounts.directory import make_directory
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.api.revisions import check_if_match, etag
from farhand_server.desk.tickets import (
    Ticket,
    TimeEntry,
    active_seconds,
    add_message,
    assign,
    create_ticket,
    get_ticket,
    list_tickets,
    list_time_entries,
    reopen,
    resolve,
)
from farhand_server.desk.timeline import (
    Event,
    Message,
    SessionLine,
    list_events,
    list_messages,
    sessions_of,
)
from farhand_server.desk.walk_ins import create_walk_in
from farhand_server.desk.wording import MAX_BODY_CHARS
from farhand_server.errors import not_found
from farhand_server.fleet.devices import find_device, lock_device
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]
_Owner = Annotated[str | None, QueryParameter(name="owner", max_length=64)]
_Query = Annotated[str | None, QueryParameter(name="q", max_length=200)]

_SHOWN = 50


class NewTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ticket to be; `device` is an id or a name.

    `walk_in` says that it is made for one session, whose grant must name it: it is its operator's,
    and resolved by the relay when that session never begins.  Whoever opens another session on that
    device at the same time is given the same one.
    """

    title: _Line
    requester: _Line | None = None
    device: _Line | None = None
    external_key: _Line | None = None
    body: _Body | None = None
    walk_in: bool = False


class NewMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reply for everybody on the ticket, a note for the desk, or what a session came to."""

    body: _Body
    kind: Literal["reply", "note", "session"] = "reply"


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account that takes the ticket."""

    owner: _Line


class Resolution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The closing note, which stays in the desk."""

    note: _Body


class Reopening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is not over."""

    reason: _Body


class TicketDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The device of a ticket, where it is one of ours."""

    id: str
    name: str
    os: str
    host_name: str
    last_seen: str | None


class TicketView(Ticket, frozen=True, kw_only=True):
    """A ticket with what belongs to it, for the desk; the newest of each."""

    device_detail: TicketDevice | None
    messages: list[Message]
    time_entries: list[TimeEntry]
    sessions: list[SessionLine]
    active_s: int


def _own_only(actor: Actor, action: str) -> str | None:
    return actor.name if authorise(actor, action) == "own" else None


def _with_etag(ticket: Ticket, *, status: int = 200) -> Response[Ticket]:
    return Response(ticket, status_code=status, headers={"ETag": etag(ticket.revision)})


class TicketController(Controller):
    """Tickets; `{ticket}` is FH-1, 1, or an external key."""

    path = "/tickets"

    @post("/", action="ticket.create", status_code=201)
    async def create(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewTicket]
    ) -> Response[Ticket]:
        """Make a ticket; a requester makes her own."""
        own = _own_only(actor, "ticket.create")
        async with relay.db.write() as c:
            device = None
            if data.device and own is None:
                device = (await find_device(c, relay.tenant, data.device))["id"]
            if data.walk_in and own is None:
                made = await create_walk_in(
                    c,
                    relay,
                    actor=actor.name,
                    device=device,
                    external_key=data.external_key,
                    title=data.title,
                    body=data.body,
                )
                return _with_etag(made, status=201)
            made = await create_ticket(
                c,
                relay,
                title=data.title,
                actor=actor.name,
                requester=own or data.requester,
                device=device,
                external_key=data.external_key,
                body=data.body,
            )
        return _with_etag(made, status=201)

    @get("/", action="ticket.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        wanted: _State = None,
        owner: _Owner = None,
        q: _Query = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Ticket]:
        """Return tickets, newest first."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            rows = await list_tickets(
                c,
                relay.tenant,
                state=wanted,
                owner=owner,
                q=q,
                own_only=_own_only(actor, "ticket.read"),
                before=after[0] if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.row,))

    @get("/{ticket:str}", action="ticket.read")
    async def show(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Response[TicketView]:
        """Return a ticket with its device, what was said, the sessions and the time."""
        own = _own_only(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, own_only=own)
            device = None
            messages = await list_messages(
                c, relay.tenant, found.row, with_notes=own is None, limit=_SHOWN
            )
            entries: list[TimeEntry] = []
            sessions: list[SessionLine] = []
            active_s = await active_seconds(c, relay.tenant, found.row)
            if own is None:
                entries = await list_time_entries(c, relay.tenant, found.row, limit=_SHOWN)
                sessions = list(await sessions_of(c, relay.tenant, found.row, limit=_SHOWN))
                device = await _device(c, relay, found)
        view = TicketView(
            **msgspec.structs.asdict(found),
            device_detail=device,
            messages=messages,
            time_entries=entries,
            sessions=sessions,
            active_s=active_s,
        )
        return Response(view, headers={"ETag": etag(found.revision)})

    @post("/{ticket:str}/messages", action="ticket.reply", status_code=201)
    async def say(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[NewMessage]
    ) -> Message:
        """Reply, or leave a note."""
        if data.kind != "reply":
            authorise(actor, "ticket.note")
        async with relay.db.write() as c:
            return await add_message(
                c,
                relay,
                ref=ticket,
                kind=data.kind,
                body=data.body,
                actor=actor.name,
                own_only=_own_only(actor, "ticket.reply"),
            )

    @get("/{ticket:str}/messages", action="ticket.read")
    async def messages(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Message]:
        """Return what was said, oldest first."""
        own = _own_only(actor, "ticket.read")
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, own_only=own)
            rows = await list_messages(
                c,
                relay.tenant,
                found.row,
                with_notes=own is None,
                after=after[0] if after else 0,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @get("/{ticket:str}/events", action="time.read")
    async def events(
        self,
        relay: FromRelay,
        ticket: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Event]:
        """Return what happened to a ticket, oldest first; for the desk."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket)
            rows = await list_events(
                c, relay.tenant, found.row, after=after[0] if after else 0, limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @get("/{ticket:str}/time-entries", action="time.read")
    async def time_entries(
        self,
        relay: FromRelay,
        ticket: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[TimeEntry]:
        """Return the time spent on a ticket, by start."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket)
            rows = await list_time_entries(
                c,
                relay.tenant,
                found.row,
                after=f"{after[0]} {after[1]}" if after else "",
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.started_at, row.id))

    @post("/{ticket:str}/assign", action="ticket.assign", status_code=200)
    async def assign(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: Request[Any, Any, Any],
        ticket: FromPath[str],
        data: JSONBody[Assignment],
    ) -> Response[Ticket]:
        """Give the ticket to a technician or an admin."""
        async with relay.db.write() as c:
            account = await relay.service(make_directory).find(c, data.owner)
            if account is None or account.disabled_at is not None:
                raise not_found("account", data.owner)
            if account.role not in ("technician", "admin"):
                raise UsageError("invalid", f"{data.owner} cannot own tickets")
            found = await get_ticket(c, relay.tenant, ticket)
            check_if_match(request, found.revision)
            changed = await assign(
                c,
                relay,
                ref=found.id,
                owner=data.owner,
                actor=actor.name,
                revision=found.revision,
            )
        return _with_etag(changed)

    @post("/{ticket:str}/resolve", action="ticket.resolve", status_code=200)
    async def resolve(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: Request[Any, Any, Any],
        ticket: FromPath[str],
        data: JSONBody[Resolution],
    ) -> Response[Ticket]:
        """Resolve with a closing note."""
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket)
            check_if_match(request, found.revision)
            changed = await resolve(
                c,
                relay,
                ref=found.id,
                note=data.note,
                actor=actor.name,
                revision=found.revision,
            )
        return _with_etag(changed)

    @post("/{ticket:str}/reopen", action="ticket.reopen", status_code=200)
    async def reopen(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: Request[Any, Any, Any],
        ticket: FromPath[str],
        data: JSONBody[Reopening],
    ) -> Response[Ticket]:
        """Open a resolved ticket again."""
        own = _own_only(actor, "ticket.reopen")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, own_only=own)
            check_if_match(request, found.revision)
            changed = await reopen(
                c,
                relay,
                ref=found.id,
                reason=data.reason,
                actor=actor.name,
                own_only=own,
                revision=found.revision,
            )
        return _with_etag(changed)


async def _device(c: AsyncConnection, relay: Relay, ticket: Ticket) -> TicketDevice | None:
    """Return the device that the ticket is about; None for a guest, which is not in the fleet."""
    row = await lock_device(c, relay.tenant, ticket.device or "", held=False)
    if row is None:
        return None
    return TicketDevice(**{name: row[name] for name in TicketDevice.__struct_fields__})


AREA = Area(
    name="desk",
    controllers=[TicketController],
    statuses={"ticket-state": 409},
)
