"""Routes of tickets: made, listed, shown, talked on.  Steps have a file of their own.

A requester sees and answers her own tickets only, and never a note; a technician sees no security
ticket of others.  Both are one `Sight`, made from the reach of the action and the role.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import Actor, authorise
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.api.revisions import etag
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.closing import sweep_tickets_for_ever
from farhand_server.desk.export import export_html, export_mbox
from farhand_server.desk.heed import heed_events_for_ever
from farhand_server.desk.links import Link, links_of
from farhand_server.desk.moves import add_message
from farhand_server.desk.participants import Participant, check_may_post, list_participants
from farhand_server.desk.priorities import Level, Priority
from farhand_server.desk.queues import DEFAULT_QUEUE
from farhand_server.desk.references import format_number
from farhand_server.desk.service import service_of
from farhand_server.desk.service_levels import ServiceTimer
from farhand_server.desk.ticket_devices import warranty_words
from farhand_server.desk.tickets import (
    Intake,
    Kind,
    Reproducible,
    Sight,
    Ticket,
    TicketFilter,
    create_ticket,
    get_ticket,
    list_tickets,
)
from farhand_server.desk.time_entries import TimeEntry, active_seconds, list_time_entries
from farhand_server.desk.timeline import (
    Event,
    Message,
    SessionLine,
    list_events,
    list_messages,
    sessions_of,
)
from farhand_server.desk.walk_ins import create_walk_in
from farhand_server.desk.watching import tell_ticket
from farhand_server.fleet.devices import find_device, lock_device
from farhand_server.fleet.product import get_product
from farhand_server.heeders import HEEDERS
from farhand_server.mail.showing import with_folds
from farhand_server.measures.survey_list import SurveyLine, surveys_of
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA", "sight_of", "with_etag"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]
_Owner = Annotated[str | None, QueryParameter(name="owner", max_length=64)]
_Name = Annotated[str | None, QueryParameter(max_length=64)]
_Weight = Annotated[Priority | None, QueryParameter(name="priority")]
_Tier = Annotated[int | None, QueryParameter(name="tier", ge=1, le=3)]
_Query = Annotated[str | None, QueryParameter(name="q", max_length=200)]
_Reason = Annotated[str | None, QueryParameter(name="reason", max_length=20)]
_Open = Annotated[bool | None, QueryParameter(name="open")]
_Late = Annotated[bool | None, QueryParameter(name="late")]
_Due = Annotated[str | None, QueryParameter(name="due_before", max_length=40)]
_Format = Annotated[Literal["mbox", "html"], QueryParameter(name="format")]

_SHOWN = 50
_AT_ONCE = 500
MAX_EXPORTED = 20_000


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
    kind: Kind = "incident"
    queue: _Line = DEFAULT_QUEUE
    impact: Level = "medium"
    urgency: Level = "medium"
    security: bool = False
    steps_tried: _Body = ""
    reproducible: Reproducible | None = None
    repro_steps: _Body = ""
    complained_about: _Line | None = None
    language: Annotated[str, msgspec.Meta(max_length=10)] = ""
    category: Annotated[str, msgspec.Meta(max_length=200)] = ""
    fields: dict[str, Any] = {}

    def intake(self) -> Intake:
        """Return what the desk takes besides who and what."""
        return Intake(**{name: getattr(self, name) for name in Intake.__struct_fields__})


class NewMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reply for everybody on the ticket, a note for the desk, or what a session came to."""

    body: _Body
    kind: Literal["reply", "note", "session"] = "reply"


class TicketDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The device of a ticket, where it is one of ours; `warranty` is words for people."""

    id: str
    name: str
    os: str
    host_name: str
    last_seen: str | None
    make: str | None
    model: str | None
    serial: str | None
    warranty: str


class TicketView(Ticket, frozen=True, kw_only=True):
    """A ticket with what belongs to it, for the desk; the newest of each."""

    device_detail: TicketDevice | None
    service: list[ServiceTimer]
    participants: list[Participant]
    links: list[Link]
    merged: list[str]
    messages: list[Message]
    time_entries: list[TimeEntry]
    sessions: list[SessionLine]
    surveys: list[SurveyLine]
    active_s: int


# Who sees security tickets of others.
_GUARDIANS = ("admin", "auditor")


def sight_of(actor: Actor, action: str) -> Sight:
    """Return what this actor sees of the tickets on which she does this."""
    desk = authorise(actor, action) == "all"
    return Sight(actor.name, desk, actor.role in _GUARDIANS, actor.person or None)


def with_etag(ticket: Ticket, *, status: int = 200) -> Response[Ticket]:
    """Answer with a ticket and the tag of its revision."""
    return Response(ticket, status_code=status, headers={"ETag": etag(ticket.revision)})


class TicketController(Controller):
    """Tickets; `{ticket}` is FH-1, 1, or an external key."""

    path = "/tickets"

    @post("/", action="ticket.create", status_code=201)
    async def create(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewTicket]
    ) -> Response[Ticket]:
        """Make a ticket; a requester makes her own, without a device or a key of another desk."""
        desk = authorise(actor, "ticket.create") == "all"
        async with relay.db.write() as c:
            device = None
            if data.device and desk:
                device = (await find_device(c, relay.tenant, data.device))["id"]
            if data.walk_in and desk:
                made = await create_walk_in(
                    c,
                    relay,
                    actor=actor.name,
                    device=device,
                    external_key=data.external_key,
                    title=data.title,
                    body=data.body,
                )
                return with_etag(made, status=201)
            made = await create_ticket(
                c,
                relay,
                title=data.title,
                actor=actor.name,
                requester=data.requester if desk else actor.name,
                device=device,
                # By its key a ticket is joined: by sessions, other desks, hooks, monitoring.
                external_key=data.external_key if desk else None,
                body=data.body,
                intake=data.intake(),
            )
        return with_etag(made, status=201)

    @get("/", action="ticket.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        wanted: _State = None,
        reason: _Reason = None,
        is_open: _Open = None,
        owner: _Owner = None,
        queue: _Name = None,
        kind: _Name = None,
        weight: _Weight = None,
        tier: _Tier = None,
        device: _Name = None,
        due_before: _Due = None,
        late: _Late = None,
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
                wanted=TicketFilter(
                    state=wanted,
                    reason=reason,
                    open=is_open,
                    owner=owner,
                    queue=queue,
                    kind=kind,
                    priority=weight,
                    tier=tier,
                    device=device,
                    due_before=due_before,
                    late=late,
                    q=q,
                ),
                sight=sight_of(actor, "ticket.read"),
                before=after[0] if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.row,))

    @get("/{ticket:str}", action="ticket.read")
    async def show(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Response[TicketView]:
        """Return a ticket with its device, what was said, the sessions and the time."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            view = await _view(c, relay, found, sight)
        said = await with_folds(relay, view.messages)
        view = msgspec.structs.replace(view, messages=said)
        return Response(view, headers={"ETag": etag(found.revision)})

    @get("/{ticket:str}/export", action="ticket.read")
    async def export(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], form: _Format = "mbox"
    ) -> Response[bytes]:
        """Return the whole thread as a file: mbox for a mail program, HTML for a person."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            numbers = [found.row, *await merged_into(c, relay.tenant, found.row)]
            said: list[Message] = []
            while True:
                more = await list_messages(
                    c,
                    relay.tenant,
                    numbers,
                    with_notes=sight.desk,
                    after=said[-1].seq if said else 0,
                    limit=_AT_ONCE,
                )
                said += more
                if len(more) < _AT_ONCE or len(said) >= MAX_EXPORTED:
                    break
        if len(said) >= MAX_EXPORTED:
            raise FarhandError(
                "export-too-large",
                f"{found.number} has more than {MAX_EXPORTED} messages",
                hint="farhand ticket export --format json",
            )
        write = export_html if form == "html" else export_mbox
        data = await asyncio.to_thread(write, found, said)
        headers = {
            "Content-Disposition": f'attachment; filename="{found.number}.{form}"',
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "X-Content-Type-Options": "nosniff",
        }
        media = "text/html; charset=utf-8" if form == "html" else "application/mbox"
        return Response(data, headers=headers, media_type=media)

    @post("/{ticket:str}/messages", action="ticket.reply", status_code=201)
    async def say(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[NewMessage]
    ) -> Message:
        """Reply, or leave a note."""
        if data.kind != "reply":
            authorise(actor, "ticket.note")
        sight = sight_of(actor, "ticket.reply")
        async with relay.db.write() as c:
            if not sight.desk:
                found = await get_ticket(c, relay.tenant, ticket, sight=sight)
                await check_may_post(c, relay.tenant, found, actor.name)
            said = await add_message(
                c,
                relay,
                ref=ticket,
                kind=data.kind,
                body=data.body,
                actor=actor.name,
                sight=sight,
                person=actor.person or None,
            )
        await tell_ticket(relay, int(said.ticket[3:]))
        return said

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
        sight = sight_of(actor, "ticket.read")
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            rows = await list_messages(
                c,
                relay.tenant,
                [found.row, *await merged_into(c, relay.tenant, found.row)],
                with_notes=sight.desk,
                after=after[0] if after else 0,
                limit=limit + 1,
            )
        rows = await with_folds(relay, rows)
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @get("/{ticket:str}/events", action="time.read")
    async def events(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Event]:
        """Return what happened to a ticket, oldest first; for the desk."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "time.read"))
            rows = await list_events(
                c, relay.tenant, found.row, after=after[0] if after else 0, limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @get("/{ticket:str}/time-entries", action="time.read")
    async def time_entries(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[TimeEntry]:
        """Return the time spent on a ticket, by start."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "time.read"))
            rows = await list_time_entries(
                c,
                relay.tenant,
                [found.row, *await merged_into(c, relay.tenant, found.row)],
                after=f"{after[0]} {after[1]}" if after else "",
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.started_at, row.id))


async def _view(c: AsyncConnection, relay: Relay, found: Ticket, sight: Sight) -> TicketView:
    tenant = relay.tenant
    merged = await merged_into(c, tenant, found.row)
    numbers = [found.row, *merged]
    messages = await list_messages(
        c, tenant, numbers, with_notes=sight.desk, limit=_SHOWN, newest=True
    )
    entries: list[TimeEntry] = []
    sessions: list[SessionLine] = []
    links: list[Link] = []
    surveys: list[SurveyLine] = []
    device = None
    if sight.desk:
        entries = await list_time_entries(c, tenant, numbers, limit=_SHOWN)
        sessions = list(await sessions_of(c, tenant, found.row, limit=_SHOWN))
        links = await links_of(c, tenant, found.row, guarded=sight.guarded)
        surveys = await surveys_of(c, tenant, found.row, limit=_SHOWN)
        device = await _device(c, relay, found)
    return TicketView(
        **msgspec.structs.asdict(found),
        device_detail=device,
        service=await service_of(c, relay, found.row) if sight.desk else [],
        participants=await list_participants(c, tenant, found.row) if sight.desk else [],
        links=links,
        merged=[format_number(number) for number in merged],
        messages=messages,
        time_entries=entries,
        sessions=sessions,
        surveys=surveys,
        active_s=await active_seconds(c, tenant, numbers),
    )


async def _device(c: AsyncConnection, relay: Relay, ticket: Ticket) -> TicketDevice | None:
    """Return the device that the ticket is about; None for a guest, which is not in the fleet."""
    row = await lock_device(c, relay.tenant, ticket.device or "", held=False)
    if row is None:
        return None
    product = await get_product(c, relay, row["id"])
    return TicketDevice(
        **{name: row[name] for name in ("id", "name", "os", "host_name", "last_seen")},
        make=product.make,
        model=product.model,
        serial=product.serial,
        warranty=warranty_words(product),
    )


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(sweep_tickets_for_ever(relay), name="tickets")
    relay.tasks.spawn(heed_events_for_ever(relay, HEEDERS), name="heeders")


AREA = Area(
    name="desk",
    controllers=[TicketController],
    statuses={"ticket-state": 409, "export-too-large": 413, "fields-invalid": 422},
    start=_start,
)
