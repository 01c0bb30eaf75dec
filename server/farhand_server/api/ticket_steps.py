"""Routes of what happens to a ticket: steps, details, people and links."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import Actor
from farhand_server.accounts.directory import make_directory
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of, with_etag
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Page
from farhand_server.api.revisions import check_if_match
from farhand_server.desk.details import TicketChange, change_ticket
from farhand_server.desk.links import Link, LinkKind, add_link, links_of, remove_link
from farhand_server.desk.merging import merge_ticket, unmerge_ticket
from farhand_server.desk.moves import (
    assign,
    close,
    escalate,
    mark_spam,
    reopen,
    resolve,
    resume,
    wait,
)
from farhand_server.desk.participants import (
    Participant,
    add_participant,
    check_may_post,
    list_participants,
    remove_participant,
)
from farhand_server.desk.ticket_states import WaitingFor
from farhand_server.desk.tickets import Sight, Ticket, get_ticket
from farhand_server.errors import not_found
from farhand_server.people.people import normalise_address
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_Request = Request[Any, Any, Any]


class _Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Assignment(_Given, frozen=True, kw_only=True):
    """The account that takes the ticket."""

    owner: _Line


class Waiting(_Given, frozen=True, kw_only=True):
    """For what, and until when at most (RFC 3339)."""

    reason: WaitingFor
    until: _Line | None = None
    note: _Body = ""


class Resumption(_Given, frozen=True, kw_only=True):
    """Why it goes on."""

    note: _Body = ""


class Escalation(_Given, frozen=True, kw_only=True):
    """Why the next tier must have it, and what it must know."""

    reason: _Line
    handover: _Body
    owner: _Line | None = None


class Resolution(_Given, frozen=True, kw_only=True):
    """The closing note, which stays in the desk."""

    note: _Body


class Reason(_Given, frozen=True, kw_only=True):
    """Why."""

    reason: _Body


class Nothing(_Given, frozen=True, kw_only=True):
    """Nothing more to say."""


class Target(_Given, frozen=True, kw_only=True):
    """The ticket that goes on."""

    into: _Line


class NewLink(_Given, frozen=True, kw_only=True):
    """The other ticket, and what this one is to it."""

    other: _Line
    kind: LinkKind = "relates"


class OldLink(_Given, frozen=True, kw_only=True):
    """The ticket that this one is nothing to any more."""

    other: _Line


class Leaver(_Given, frozen=True, kw_only=True):
    """Who takes part no more."""

    name: _Line


_Step = Callable[[AsyncConnection, Ticket, Sight], Awaitable[Ticket]]


async def _take(
    relay: Relay, actor: Actor, action: str, request: _Request, ref: str, step: _Step
) -> Response[Ticket]:
    """Take one step on a ticket that this actor sees, against the revision she read."""
    sight = sight_of(actor, action)
    async with relay.db.write() as c:
        found = await get_ticket(c, relay.tenant, ref, sight=sight)
        check_if_match(request, found.revision)
        changed = await step(c, found, sight)
    return with_etag(changed)


async def _name_of(c: AsyncConnection, relay: Relay, name: str) -> str:
    """Return under which name somebody takes part: her account's, or a mail address."""
    if await relay.service(make_directory).find(c, name) is not None:
        return name
    try:
        return normalise_address("mail", name)
    except UsageError as error:
        raise not_found("account", name) from error


async def _check_owner(c: AsyncConnection, relay: Relay, owner: str) -> None:
    account = await relay.service(make_directory).find(c, owner)
    if account is None or account.disabled_at is not None:
        raise not_found("account", owner)
    if account.role not in ("technician", "admin"):
        raise UsageError("invalid", f"{owner} cannot own tickets")


class StepController(Controller):
    """Steps; `{ticket}` is FH-1, 1, or an external key."""

    path = "/tickets"

    @post("/{ticket:str}/assign", action="ticket.assign", status_code=200)
    async def assign(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Assignment],
    ) -> Response[Ticket]:
        """Give the ticket to a technician or an admin."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            await _check_owner(c, relay, data.owner)
            return await assign(
                c,
                relay,
                ref=found.id,
                owner=data.owner,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.assign", request, ticket, step)

    @post("/{ticket:str}/wait", action="ticket.work", status_code=200)
    async def wait(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Waiting],
    ) -> Response[Ticket]:
        """Wait for somebody else, or for a day to come."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            return await wait(
                c,
                relay,
                ref=found.id,
                reason=data.reason,
                until=data.until,
                note=data.note,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.work", request, ticket, step)

    @post("/{ticket:str}/resume", action="ticket.work", status_code=200)
    async def resume(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Resumption],
    ) -> Response[Ticket]:
        """Go on with a ticket that waited."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            return await resume(
                c,
                relay,
                ref=found.id,
                note=data.note,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.work", request, ticket, step)

    @post("/{ticket:str}/escalate", action="ticket.work", status_code=200)
    async def escalate(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Escalation],
    ) -> Response[Ticket]:
        """Hand the ticket to the next tier."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            if data.owner is not None:
                await _check_owner(c, relay, data.owner)
            return await escalate(
                c,
                relay,
                ref=found.id,
                reason=data.reason,
                handover=data.handover,
                owner=data.owner,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.work", request, ticket, step)

    @post("/{ticket:str}/resolve", action="ticket.resolve", status_code=200)
    async def resolve(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Resolution],
    ) -> Response[Ticket]:
        """Resolve with a closing note."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            return await resolve(
                c,
                relay,
                ref=found.id,
                note=data.note,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.resolve", request, ticket, step)

    @post("/{ticket:str}/reopen", action="ticket.reopen", status_code=200)
    async def reopen(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Reason],
    ) -> Response[Ticket]:
        """Open an ended ticket again."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            if not sight.desk:
                await check_may_post(c, relay.tenant, found, actor.name)
            return await reopen(
                c,
                relay,
                ref=found.id,
                reason=data.reason,
                actor=actor.name,
                sight=sight,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.reopen", request, ticket, step)

    @post("/{ticket:str}/close", action="ticket.resolve", status_code=200)
    async def close(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Nothing],
    ) -> Response[Ticket]:
        """Close a resolved ticket for good."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            return await close(c, relay, ref=found.id, actor=actor.name, revision=found.revision)

        return await _take(relay, actor, "ticket.resolve", request, ticket, step)

    @post("/{ticket:str}/spam", action="ticket.work", status_code=200)
    async def spam(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Reason],
    ) -> Response[Ticket]:
        """Put the ticket away as spam."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            return await mark_spam(
                c,
                relay,
                ref=found.id,
                reason=data.reason,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.work", request, ticket, step)

    @post("/{ticket:str}/merge", action="ticket.work", status_code=200)
    async def merge(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Target],
    ) -> Response[Ticket]:
        """Merge the ticket into another one; answers with that one."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            target = await get_ticket(c, relay.tenant, data.into, sight=sight)
            return await merge_ticket(
                c,
                relay,
                source=found,
                target=target,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.work", request, ticket, step)

    @post("/{ticket:str}/unmerge", action="ticket.work", status_code=200)
    async def unmerge(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[Nothing],
    ) -> Response[Ticket]:
        """Take a merge back."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            return await unmerge_ticket(
                c, relay, ticket=found, actor=actor.name, revision=found.revision
            )

        return await _take(relay, actor, "ticket.work", request, ticket, step)

    @post("/{ticket:str}/details", action="ticket.work", status_code=200)
    async def change(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[TicketChange],
    ) -> Response[Ticket]:
        """Change what the ticket says of itself."""

        async def step(c: AsyncConnection, found: Ticket, sight: Sight) -> Ticket:
            return await change_ticket(
                c,
                relay,
                ticket=found,
                change=data,
                actor=actor.name,
                revision=found.revision,
            )

        return await _take(relay, actor, "ticket.work", request, ticket, step)


class BelongingController(Controller):
    """Links and people of a ticket."""

    path = "/tickets"

    @get("/{ticket:str}/links", action="ticket.note")
    async def links(self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]) -> Page[Link]:
        """Return what the ticket is to others; all of it, it is bounded."""
        sight = sight_of(actor, "ticket.note")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            items = await links_of(c, relay.tenant, found.row, guarded=sight.guarded)
        return Page(items=items)

    @post("/{ticket:str}/links", action="ticket.work", status_code=200)
    async def link(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[NewLink]
    ) -> Page[Link]:
        """Say what the ticket is to another one."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            other = await get_ticket(c, relay.tenant, data.other, sight=sight)
            await add_link(c, relay, ticket=found, other=other, kind=data.kind, actor=actor.name)
            items = await links_of(c, relay.tenant, found.row, guarded=sight.guarded)
        return Page(items=items)

    @post("/{ticket:str}/unlink", action="ticket.work", status_code=200)
    async def unlink(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[OldLink]
    ) -> Page[Link]:
        """Take that back."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            other = await get_ticket(c, relay.tenant, data.other, sight=sight)
            await remove_link(c, relay, ticket=found, other=other, actor=actor.name)
            items = await links_of(c, relay.tenant, found.row, guarded=sight.guarded)
        return Page(items=items)

    @get("/{ticket:str}/participants", action="ticket.note")
    async def participants(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Page[Participant]:
        """Return who else takes part; all of them, they are bounded."""
        sight = sight_of(actor, "ticket.note")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            return Page(items=await list_participants(c, relay.tenant, found.row))

    @post("/{ticket:str}/participants", action="ticket.work", status_code=200)
    async def invite(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        data: JSONBody[Participant],
    ) -> Page[Participant]:
        """Let somebody take part: with an account, or by mail at an address."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            who = msgspec.structs.replace(data, name=await _name_of(c, relay, data.name))
            await add_participant(c, relay, ticket=found, who=who, actor=actor.name)
            return Page(items=await list_participants(c, relay.tenant, found.row))

    @post("/{ticket:str}/dismiss", action="ticket.work", status_code=200)
    async def dismiss(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[Leaver]
    ) -> Page[Participant]:
        """Let somebody take part no more."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            await remove_participant(c, relay, ticket=found, name=data.name, actor=actor.name)
            return Page(items=await list_participants(c, relay.tenant, found.row))


AREA = Area(
    name="ticket-steps",
    controllers=[StepController, BelongingController],
    statuses={
        "identity-unchecked": 409,
        "link-exists": 409,
        "link-limit": 409,
        "link-self": 409,
        "merge-ended": 409,
        "merge-guarded": 409,
        "merge-limit": 409,
        "merge-none": 409,
        "merge-self": 409,
        "merge-too-late": 409,
        "owner-complained-about": 409,
        "participant-limit": 409,
        "reopen-too-late": 409,
        "tier-highest": 409,
    },
)
