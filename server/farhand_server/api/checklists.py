"""Routes of what a kind of ticket asks for: checklists and forms of fields."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import Actor
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Page
from farhand_server.desk.checklist_items import ChecklistItem, list_items, set_item
from farhand_server.desk.checklists import (
    Template,
    TemplateTerms,
    drop_template,
    give_checklist,
    list_templates,
    set_template,
)
from farhand_server.desk.ticket_fields import Form, KeptForm, list_forms, set_form
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import KINDS, Ticket, get_ticket
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]


class _Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Nothing(_Given, frozen=True, kw_only=True):
    """Nothing more to say."""


class NewChecklist(_Given, frozen=True, kw_only=True):
    """The checklist that a ticket gets."""

    name: _Line


class ItemChange(_Given, frozen=True, kw_only=True):
    """What an item is; `run` is the order that did it."""

    state: Literal["open", "done", "skipped"]
    run: _Line | None = None
    note: _Line = ""


class TemplateController(Controller):
    """Checklists as tickets get them."""

    path = "/checklists"

    @get("/", action="queue.read")
    async def list_all(self, relay: FromRelay, actor: FromActor) -> Page[Template]:
        """Return all checklists; they are bounded."""
        async with relay.db.read() as c:
            return Page(items=await list_templates(c, relay.tenant))

    @post("/{name:str}", action="queue.write", status_code=200)
    async def write(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[TemplateTerms]
    ) -> Template:
        """Make a checklist, or replace it for tickets to come."""
        async with relay.db.write() as c:
            return await set_template(c, relay, name=name, terms=data, actor=actor.name)

    @post("/{name:str}/drop", action="queue.write", status_code=200)
    async def drop(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[Nothing]
    ) -> Page[Template]:
        """Take a checklist away, tickets that have it keep it; returns those that are left."""
        async with relay.db.write() as c:
            await drop_template(c, relay, name=name, actor=actor.name)
            return Page(items=await list_templates(c, relay.tenant))


class ItemController(Controller):
    """The items of a ticket."""

    path = "/tickets"

    @get("/{ticket:str}/checklist", action="ticket.note")
    async def items(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Page[ChecklistItem]:
        """Return the items to tick; they are bounded."""
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.note"))
            return Page(items=await list_items(c, relay.tenant, found.row))

    @post("/{ticket:str}/checklist", action="ticket.work", status_code=200)
    async def give(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        data: JSONBody[NewChecklist],
    ) -> Page[ChecklistItem]:
        """Give the ticket a checklist."""
        async with relay.db.write() as c:
            found = await _open_ticket(c, relay, actor, ticket)
            await give_checklist(c, relay, ticket=found, name=data.name, actor=actor.name)
            return Page(items=await list_items(c, relay.tenant, found.row))

    @post("/{ticket:str}/checklist/{place:int}", action="ticket.work", status_code=200)
    async def tick(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        place: FromPath[int],
        data: JSONBody[ItemChange],
    ) -> ChecklistItem:
        """Tick an item, skip it, or open it again."""
        async with relay.db.write() as c:
            found = await _open_ticket(c, relay, actor, ticket)
            return await set_item(
                c,
                relay,
                number=found.row,
                place=place,
                state=data.state,
                run=data.run,
                note=data.note,
                actor=actor.name,
            )


async def _open_ticket(c: AsyncConnection, relay: Relay, actor: Actor, ref: str) -> Ticket:
    found = await get_ticket(c, relay.tenant, ref, sight=sight_of(actor, "ticket.work"))
    if found.state in ENDED:
        raise UsageError("ticket-state", f"{found.number} is {found.state}")
    return found


class FormController(Controller):
    """Forms: which fields a kind of ticket has."""

    path = "/ticket-forms"

    @get("/", action="ticket.read")
    async def list_all(self, relay: FromRelay, actor: FromActor) -> Page[KeptForm]:
        """Return the forms, one at most for each kind."""
        async with relay.db.read() as c:
            return Page(items=await list_forms(c, relay.tenant))

    @post("/{kind:str}", action="queue.write", status_code=200)
    async def write(
        self, relay: FromRelay, actor: FromActor, kind: FromPath[str], data: JSONBody[Form]
    ) -> KeptForm:
        """Replace the form of a kind; one without fields takes it away."""
        if kind not in KINDS:
            raise UsageError("invalid", f"a ticket is of a kind of {', '.join(KINDS)}")
        async with relay.db.write() as c:
            return await set_form(c, relay, kind=kind, form=data, actor=actor.name)


AREA = Area(
    name="checklists",
    controllers=[TemplateController, ItemController, FormController],
    statuses={
        "checklist-limit": 409,
        "checklist-open": 409,
        "checklist-run": 409,
        "checklist-there": 409,
        "form-invalid": 422,
    },
)
