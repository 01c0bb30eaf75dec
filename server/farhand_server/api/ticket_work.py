"""Routes of what is worked with on a ticket: canned replies, instructions, its device."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.canned import (
    CannedReply,
    FilledReply,
    drop_canned,
    fill_canned,
    list_canned,
    refuse_missing,
    set_canned,
)
from farhand_server.desk.instructions import (
    MAX_STEPS,
    InstructionStep,
    answer_step,
    instruct,
    list_instructions,
)
from farhand_server.desk.moves import add_message
from farhand_server.desk.participants import check_may_post
from farhand_server.desk.ticket_campaigns import (
    CampaignOfTicket,
    DeviceOfCampaign,
    add_campaign,
    campaigns_of,
    devices_of,
)
from farhand_server.desk.ticket_devices import (
    DeviceOfTicket,
    FrozenSection,
    device_of_ticket,
    frozen_items,
)
from farhand_server.desk.tickets import get_ticket
from farhand_server.desk.timeline import Message
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_Tag = Annotated[str, msgspec.Meta(max_length=20)]


class _Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class CannedText(_Given, frozen=True, kw_only=True):
    """A reply in one language."""

    language: _Tag
    body: _Body
    title: _Line = ""


class OldCanned(_Given, frozen=True, kw_only=True):
    """Which text goes; all of the key without a language."""

    language: _Tag | None = None


class CannedUse(_Given, frozen=True, kw_only=True):
    """A reply for a ticket, in the ticket's language unless another one is named."""

    key: _Line
    language: _Tag = ""
    params: Annotated[dict[_Line, _Body], msgspec.Meta(max_length=40)] = {}


class NewInstruction(_Given, frozen=True, kw_only=True):
    """What the requester is asked to do, step by step."""

    steps: Annotated[list[_Line], msgspec.Meta(min_length=1, max_length=MAX_STEPS)]
    language: _Tag = ""


class StepAnswer(_Given, frozen=True, kw_only=True):
    """Done, or why it cannot be."""

    answer: Literal["done", "cannot"]
    reason: _Line = ""


class NewCampaign(_Given, frozen=True, kw_only=True):
    """The campaign that the ticket is about."""

    campaign: _Line


class FrozenItems(msgspec.Struct, frozen=True, kw_only=True):
    """A section of a device as it was when the ticket was made."""

    section: FrozenSection
    items: list[dict[str, Any]]


class CannedController(Controller):
    """Canned replies."""

    @get("/canned-replies", action="ticket.note")
    async def all_replies(
        self,
        relay: FromRelay,
        actor: FromActor,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[CannedReply]:
        """Return canned replies by key and language."""
        after = decode_cursor(cursor, str, str) or ("", "")
        async with relay.db.read() as c:
            rows = await list_canned(c, relay.tenant, after=(after[0], after[1]), limit=limit + 1)
        return page_of(rows, limit, lambda row: row, lambda row: (row.key, row.language))

    @post("/canned-replies/{key:str}", action="ticket.work", status_code=200)
    async def write(
        self, relay: FromRelay, actor: FromActor, key: FromPath[str], data: JSONBody[CannedText]
    ) -> CannedReply:
        """Write a reply in one language."""
        async with relay.db.write() as c:
            return await set_canned(
                c,
                relay,
                key=key,
                language=data.language,
                title=data.title,
                body=data.body,
                actor=actor.name,
            )

    @post("/canned-replies/{key:str}/drop", action="ticket.work", status_code=200)
    async def drop(
        self, relay: FromRelay, actor: FromActor, key: FromPath[str], data: JSONBody[OldCanned]
    ) -> OldCanned:
        """Take a reply away; returns what was asked."""
        async with relay.db.write() as c:
            await drop_canned(c, relay, key=key, language=data.language)
        return data

    @post("/tickets/{ticket:str}/canned", action="ticket.note", status_code=200)
    async def fill(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[CannedUse]
    ) -> FilledReply:
        """Return a reply as it would be sent, and which variables have no value yet."""
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.note"))
            return await fill_canned(
                c,
                relay,
                ticket=found,
                key=data.key,
                language=data.language,
                params=data.params,
                actor=actor.name,
            )

    @post("/tickets/{ticket:str}/canned/send", action="ticket.work", status_code=201)
    async def send(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[CannedUse]
    ) -> Message:
        """Reply with it; nothing is sent while a variable has no value."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            filled = await fill_canned(
                c,
                relay,
                ticket=found,
                key=data.key,
                language=data.language,
                params=data.params,
                actor=actor.name,
            )
            refuse_missing(filled)
            return await add_message(
                c,
                relay,
                ref=found.id,
                kind="reply",
                body=filled.body,
                actor=actor.name,
                sight=sight,
                language=filled.language,
            )


class InstructionController(Controller):
    """Steps that the requester is asked to take."""

    path = "/tickets"

    @get("/{ticket:str}/instructions", action="ticket.read")
    async def instructions(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Page[InstructionStep]:
        """Return the steps and their answers; they are bounded."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            numbers = [found.row, *await merged_into(c, relay.tenant, found.row)]
            return Page(items=await list_instructions(c, relay.tenant, numbers))

    @post("/{ticket:str}/instructions", action="ticket.work", status_code=201)
    async def ask(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        data: JSONBody[NewInstruction],
    ) -> Message:
        """Ask for steps to be taken."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            return await instruct(
                c,
                relay,
                ticket=found,
                steps=data.steps,
                actor=actor.name,
                language=data.language,
            )

    @post(
        "/{ticket:str}/instructions/{message:int}/{place:int}",
        action="ticket.reply",
        status_code=200,
    )
    async def answer(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        message: FromPath[int],
        place: FromPath[int],
        data: JSONBody[StepAnswer],
    ) -> InstructionStep:
        """Answer a step."""
        sight = sight_of(actor, "ticket.reply")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            if not sight.desk:
                await check_may_post(c, relay.tenant, found, actor.name)
            return await answer_step(
                c,
                relay,
                ticket=found,
                message=message,
                place=place,
                answer=data.answer,
                reason=data.reason,
                actor=actor.name,
                sight=sight,
            )


class DeviceController(Controller):
    """The device of a ticket."""

    path = "/tickets"

    @get("/{ticket:str}/device", action="ticket.note")
    async def device(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> DeviceOfTicket:
        """Return the device, its warranty, and what changed on it since the ticket was made."""
        sight = sight_of(actor, "ticket.note")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            return await device_of_ticket(c, relay, found)

    @get("/{ticket:str}/device/sections/{name:str}", action="ticket.note")
    async def section(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], name: FromPath[str]
    ) -> FrozenItems:
        """Return a section of the device as it was when the ticket was made."""
        sight = sight_of(actor, "ticket.note")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            section, items = await frozen_items(c, relay.tenant, found, name)
        return FrozenItems(section=section, items=items)


class CampaignController(Controller):
    """Campaigns that a ticket is about."""

    path = "/tickets"

    @get("/{ticket:str}/campaigns", action="ticket.note")
    async def campaigns(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Page[CampaignOfTicket]:
        """Return the campaigns of a ticket; they are bounded."""
        sight = sight_of(actor, "ticket.note")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            return Page(items=await campaigns_of(c, relay.tenant, found.row))

    @post("/{ticket:str}/campaigns", action="ticket.work", status_code=200)
    async def add(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[NewCampaign]
    ) -> Page[CampaignOfTicket]:
        """Say that the ticket is about a campaign."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            await add_campaign(c, relay, ticket=found, campaign=data.campaign, actor=actor.name)
            return Page(items=await campaigns_of(c, relay.tenant, found.row))

    @get("/{ticket:str}/campaign-devices", action="ticket.note")
    async def devices(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[DeviceOfCampaign]:
        """Return how each device of the ticket's campaigns stands."""
        sight = sight_of(actor, "ticket.note")
        after = decode_cursor(cursor, str, str) or ("", "")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            rows = await devices_of(
                c, relay.tenant, found.row, after=(after[0], after[1]), limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.campaign, row.device))


AREA = Area(
    name="ticket-work",
    controllers=[CannedController, InstructionController, DeviceController, CampaignController],
    statuses={
        "campaign-limit": 409,
        "campaign-ticket": 409,
        "canned-incomplete": 409,
        "section-not-frozen": 404,
        "step-answered": 409,
        "ticket-no-device": 409,
    },
)
