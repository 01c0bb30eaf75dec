"""Routes of bugs: made, linked with tickets and issues, fixed."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_protocol.errors import UsageError
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.bugs.bugs import (
    Bug,
    BugView,
    change_state,
    create_bug,
    get_bug,
    link_ticket,
    list_bugs,
    set_issue,
    unlink_ticket,
    view_bug,
)
from farhand_server.bugs.following import ask_trackers_for_ever
from farhand_server.connectors.desks import Draft, ForeignTicket
from farhand_server.connectors.registry import open_connector, split_key
from farhand_server.desk.tickets import get_ticket
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS, check_body, check_line

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]


class NewBug(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bug to be.

    Attributes:
        title: one line; it goes to the makers where an issue is made.
        notes: what is known; it goes there, too, so it names nobody.
        ticket: one that is about it.
        issue: `CONNECTOR:KEY` of an issue that there is.
        tracker: the connector with which an issue is to be made.
    """

    title: _Line
    notes: _Body = ""
    ticket: _Line | None = None
    issue: _Line | None = None
    tracker: _Line | None = None


class TicketOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ticket."""

    ticket: _Line


class IssueOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An issue, `CONNECTOR:KEY`."""

    issue: _Line


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a bug."""

    state: Literal["open", "fixed", "rejected"]
    fixed_in: _Line = ""


async def _issue(relay: Relay, external_key: str) -> tuple[str, ForeignTicket]:
    """Look at an issue that there is."""
    name, key = split_key(external_key)
    if not name:
        raise UsageError("invalid", f"{external_key[:80]!r} is not CONNECTOR:KEY")
    async with relay.db.read() as c:
        opened = await open_connector(c, relay, name)
    return f"{name}:{key}", await opened.desk.get(key)


async def _new_issue(relay: Relay, data: NewBug, tracker: str) -> tuple[str, ForeignTicket]:
    # Before anything is made there: what is refused here would be left behind, once for each try.
    title = check_line(data.title, "title")
    notes = check_body(data.notes, "notes") if data.notes.strip() else ""
    async with relay.db.read() as c:
        opened = await open_connector(c, relay, tracker)
    made = await opened.desk.create(Draft(title=title, text=notes))
    return f"{tracker}:{made.key}", made


class BugController(Controller):
    """Bugs; `{bug}` is B-1 or 1."""

    path = "/bugs"

    @get("/", action="bug.read")
    async def list_all(
        self,
        relay: FromRelay,
        wanted: _State = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Bug]:
        """Return bugs, newest first."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            rows = await list_bugs(
                c,
                relay.tenant,
                state=wanted,
                before=after[0] if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.row,))

    @post("/", action="bug.write", status_code=201)
    async def add(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewBug]) -> Bug:
        """Make a bug, with an issue of its makers where one is named or wanted."""
        if data.issue is not None and data.tracker is not None:
            raise UsageError("invalid", "give an issue or a tracker")
        sight = sight_of(actor, "ticket.read")
        if data.ticket is not None:
            async with relay.db.read() as c:
                await get_ticket(c, relay.tenant, data.ticket, sight=sight)
        key, url = None, ""
        if data.issue is not None:
            key, found = await _issue(relay, data.issue)
            url = found.url
        elif data.tracker is not None:
            key, found = await _new_issue(relay, data, data.tracker)
            url = found.url
        async with relay.db.write() as c:
            made = await create_bug(
                c,
                relay,
                title=data.title,
                notes=data.notes,
                external_key=key,
                external_url=url,
                actor=actor.name,
            )
            if data.ticket is not None:
                ticket = await get_ticket(c, relay.tenant, data.ticket, sight=sight)
                made = await link_ticket(c, relay, ref=made.id, ticket=ticket, actor=actor.name)
        return made

    @get("/{bug:str}", action="bug.read")
    async def show(self, relay: FromRelay, actor: FromActor, bug: FromPath[str]) -> BugView:
        """Return a bug and its tickets."""
        async with relay.db.read() as c:
            return await view_bug(c, relay.tenant, bug, sight_of(actor, "ticket.read"))

    @post("/{bug:str}/link", action="bug.write", status_code=200)
    async def link(
        self, relay: FromRelay, actor: FromActor, bug: FromPath[str], data: JSONBody[TicketOf]
    ) -> Bug:
        """Say that a ticket is about a bug."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.write() as c:
            ticket = await get_ticket(c, relay.tenant, data.ticket, sight=sight)
            return await link_ticket(c, relay, ref=bug, ticket=ticket, actor=actor.name)

    @post("/{bug:str}/unlink", action="bug.write", status_code=200)
    async def unlink(
        self, relay: FromRelay, actor: FromActor, bug: FromPath[str], data: JSONBody[TicketOf]
    ) -> Bug:
        """Say that it is not."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.write() as c:
            ticket = await get_ticket(c, relay.tenant, data.ticket, sight=sight)
            return await unlink_ticket(c, relay, ref=bug, ticket=ticket, actor=actor.name)

    @post("/{bug:str}/issue", action="bug.write", status_code=200)
    async def issue(
        self, relay: FromRelay, actor: FromActor, bug: FromPath[str], data: JSONBody[IssueOf]
    ) -> Bug:
        """Say where a bug's makers keep it."""
        async with relay.db.read() as c:
            await get_bug(c, relay.tenant, bug)
        key, found = await _issue(relay, data.issue)
        async with relay.db.write() as c:
            return await set_issue(
                c, relay, ref=bug, external_key=key, url=found.url, actor=actor.name
            )

    @post("/{bug:str}/state", action="bug.write", status_code=200)
    async def change(
        self, relay: FromRelay, actor: FromActor, bug: FromPath[str], data: JSONBody[Change]
    ) -> Bug:
        """Say what became of a bug; its tickets are noted of it."""
        async with relay.db.write() as c:
            return await change_state(
                c, relay, ref=bug, state=data.state, fixed_in=data.fixed_in, actor=actor.name
            )


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(ask_trackers_for_ever(relay), name="bugs")


AREA = Area(
    name="bugs",
    controllers=[BugController],
    statuses={"bug-exists": 409, "bug-limit": 409},
    start=_start,
)
