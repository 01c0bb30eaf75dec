"""Routes of calls, by hand and from a telephone system."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.accounts.rates import RateLimit
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.channels.calls import (
    Call,
    CallEnd,
    Direction,
    TelephoneEvent,
    begin_call,
    calls_subject,
    end_call,
    get_call,
    hear_telephone,
    list_calls,
    log_call,
)
from farhand_server.desk.tickets import Sight, Ticket, TicketFilter, get_ticket, list_tickets
from farhand_server.desk.watching import wait_for
from farhand_server.errors import not_signed_in
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA"]

_TOKEN_SETTING = "telephone.token_sha256"  # noqa: S105 - a name
_TOKEN_BYTES = 32
_LAST_TICKETS = 5
_MAX_WAIT_S = 60.0
_TRIES = 20
_WINDOW_S = 60.0

_Wait = Annotated[float, QueryParameter(name="wait", ge=0, le=_MAX_WAIT_S)]
_Line = Annotated[str, msgspec.Meta(max_length=200)]


class NewCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that begins now."""

    direction: Direction
    number: _Line
    ticket: _Line | None = None


class PastCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that is over: so many minutes until now."""

    direction: Direction
    number: _Line
    minutes: float
    note: Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
    ticket: _Line | None = None
    title: _Line = ""
    billable: bool = True


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A call, and the last tickets of whoever is at the other end."""

    call: Call
    tickets: list[Ticket]


class TelephoneToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a telephone system shows; told once."""

    token: str


def make_hook_rates(relay: Relay) -> RateLimit:
    """Return how often an address may be wrong about the telephone system's token."""
    return RateLimit(
        relay.clock, limit=_TRIES, window_s=_WINDOW_S, message="too many calls with a wrong token"
    )


class CallController(Controller):
    """Calls, the newest first."""

    path = "/calls"

    @post("/", action="ticket.work", status_code=201)
    async def begin(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewCall]) -> Call:
        """Begin a call; its timer runs."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            return await begin_call(
                c,
                relay,
                direction=data.direction,
                number=data.number,
                ticket=data.ticket,
                actor=actor.name,
                sight=sight,
            )

    @post("/log", action="ticket.work", status_code=201)
    async def log(self, relay: FromRelay, actor: FromActor, data: JSONBody[PastCall]) -> Call:
        """Write down a call that is over."""
        end = CallEnd(note=data.note, ticket=data.ticket, title=data.title, billable=data.billable)
        async with relay.db.write() as c:
            return await log_call(
                c,
                relay,
                direction=data.direction,
                number=data.number,
                minutes=data.minutes,
                end=end,
                actor=actor.name,
                sight=sight_of(actor, "ticket.work"),
            )

    @get("/", action="time.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Call]:
        """Return calls."""
        after = decode_cursor(cursor, str, str)
        before = (str(after[0]), str(after[1])) if after else None
        async with relay.db.read() as c:
            rows = await list_calls(
                c, relay.tenant, before=before, limit=limit + 1, sight=sight_of(actor, "time.read")
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.began_at, row.id))

    @get("/watch", action="ticket.work")
    async def watch(
        self,
        relay: FromRelay,
        actor: FromActor,
        after: Annotated[str, QueryParameter(name="after", max_length=40)] = "",
        wait: _Wait = 0.0,
    ) -> Page[CallView]:
        """Return calls that ring and began after a time; none only once `wait` is over."""
        sight = sight_of(actor, "ticket.work")

        async def look() -> list[CallView]:
            async with relay.db.read() as c:
                ringing = await list_calls(c, relay.tenant, state="ringing")
                fresh = [one for one in ringing if one.began_at > after]
                return [await _view(c, relay, one, sight) for one in reversed(fresh)]

        return Page(items=await wait_for(relay, calls_subject(relay.tenant), look, wait_s=wait))

    @get("/{call:str}", action="time.read")
    async def show(self, relay: FromRelay, actor: FromActor, call: FromPath[str]) -> CallView:
        """Return a call."""
        async with relay.db.read() as c:
            found = await get_call(c, relay.tenant, call)
            sight = sight_of(actor, "time.read")
            if found.ticket is not None:
                await get_ticket(c, relay.tenant, found.ticket, sight=sight)
            return await _view(c, relay, found, sight)

    @post("/{call:str}/end", action="ticket.work", status_code=200)
    async def end(
        self, relay: FromRelay, actor: FromActor, call: FromPath[str], data: JSONBody[CallEnd]
    ) -> Call:
        """End a call and write it down; once."""
        sight = sight_of(actor, "ticket.work")
        async with relay.db.write() as c:
            return await end_call(c, relay, call=call, end=data, actor=actor.name, sight=sight)

    @post("/hook-token", action="telephone.settings", status_code=201, keep_answer=False)
    async def hook_token(self, relay: FromRelay, actor: FromActor) -> TelephoneToken:
        """Make the token of the telephone system; an older one is worth nothing from then on."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        async with relay.db.write() as c:
            await set_setting(c, relay, _TOKEN_SETTING, _digest(token), actor.name)
        return TelephoneToken(token=token)

    @post("/hook", action=PUBLIC, status_code=202, keep_answer=False)
    async def hook(
        self,
        relay: FromRelay,
        request: Request[Any, Any, Any],
        data: JSONBody[TelephoneEvent],
        token: Annotated[str, QueryParameter(name="token", max_length=200)] = "",
    ) -> None:
        """Hear of a call from the telephone system.

        It shows its token as `X-Farhand-Token`, or as `token` in the address.
        """
        shown = request.headers.get("x-farhand-token", "") or token
        async with relay.db.read() as c:
            known = await get_setting(c, relay.tenant, _TOKEN_SETTING, str, default="")
        if not known or not hmac.compare_digest(_digest(shown), known):
            relay.service(make_hook_rates).take(caller_address(request, relay))
            raise not_signed_in("the telephone system's token is not known here")
        async with relay.db.write() as c:
            await hear_telephone(c, relay, data)
        await relay.bus.publish(calls_subject(relay.tenant), b"")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def _view(c: AsyncConnection, relay: Relay, call: Call, sight: Sight) -> CallView:
    hers: list[Ticket] = []
    if call.person is not None:
        her = Sight("", desk=False, guarded=False, person=call.person)
        found = await list_tickets(
            c, relay.tenant, wanted=TicketFilter(), sight=her, limit=_LAST_TICKETS
        )
        hers = [one for one in found if sight.guarded or not one.security]
    return CallView(call=call, tickets=hers)


AREA = Area(name="telephone", controllers=[CallController], statuses={"call-written": 409})
