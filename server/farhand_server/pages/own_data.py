"""What the desk has of whoever is signed in, as one file of hers.

It holds what these pages show her anyway: herself, her addresses, her requests with what was said
in public.  What else is kept about somebody, notes of the desk among it, an admin gives out after a
look at it (`farhand person export`), because others are named there too.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Controller, Request, Response, get, post

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.accounts.rates import RateLimit
from farhand_server.api.guard import FromRelay
from farhand_server.api.ticket_files import file_response
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.tickets import Ticket, TicketFilter, list_tickets
from farhand_server.desk.timeline import Message, list_messages
from farhand_server.pages.routing import look
from farhand_server.pages.visitor import read_form
from farhand_server.pages.whose import sight_here
from farhand_server.people.blobs import attachments_of
from farhand_server.people.people import addresses_of, get_person
from farhand_server.relay import Relay

__all__ = ["OwnDataPages"]

_A_DAY_S: Final = 86_400.0
_A_DAY: Final = 10
# Requests in one file, and how many are read at once.
_MOST: Final = 1000
_AT_ONCE: Final = 50
_MESSAGES: Final = 200


def _make_rate(relay: Relay) -> RateLimit:
    return RateLimit(relay.clock, limit=_A_DAY, window_s=_A_DAY_S, message="too many files today")


async def _said(relay: Relay, ticket: Ticket) -> list[dict[str, Any]]:
    """Return what was said in public on a request, with the names of files."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        async with relay.db.read() as c:
            numbers = [ticket.row, *await merged_into(c, relay.tenant, ticket.row)]
            some: list[Message] = await list_messages(
                c, relay.tenant, numbers, with_notes=False, after=after, limit=_MESSAGES
            )
            kept = await attachments_of(c, relay.tenant, [one.seq for one in some])
        for one in some:
            files = [
                {"name": file.name, "size": file.size, "sha256": file.sha256}
                for file in kept
                if file.message == one.seq
            ]
            words = {"at": one.at, "author": one.author, "channel": one.channel, "body": one.body}
            found.append({**words, "files": files})
        if len(some) < _MESSAGES:
            return found
        after = some[-1].seq


class OwnDataPages(Controller):
    """Her own data."""

    path = "/my/data"

    @get("/", action=PUBLIC, include_in_schema=False)
    async def show(self, request: Request[Any, Any, Any], relay: FromRelay) -> Response[Any]:
        """Say what the file holds."""
        reading = await look(request, relay)
        sight_here(reading, "ticket.read")
        return reading.page("data")

    @post("/", action=PUBLIC, include_in_schema=False, status_code=200)
    async def fetch(self, request: Request[Any, Any, Any], relay: FromRelay) -> Response[Any]:
        """Return the file; that it was fetched is noted."""
        await read_form(request, relay)
        reading = await look(request, relay)
        sight = sight_here(reading, "ticket.read")
        actor = reading.visitor.signed_in()
        relay.service(_make_rate).take(actor.account)
        async with relay.db.write() as c:
            who = actor.person or actor.account
            await relay.audit.append(c, actor=actor.name, action="person.export", subject=who)
        told: dict[str, Any] = {"account": actor.name, "made_at": relay.stamp()}
        if actor.person:
            async with relay.db.read() as c:
                person = await get_person(c, relay.tenant, actor.person)
                addresses = await addresses_of(c, relay.tenant, actor.person)
            told["person"] = {
                "name": person.name,
                "locale": person.locale,
                "zone": person.zone,
                "since": person.created_at,
                "addresses": [
                    {"kind": one.kind, "value": one.value, "verified_at": one.verified_at}
                    for one in addresses
                ],
            }
        requests: list[dict[str, Any]] = []
        before: int | None = None
        more = True
        while more and len(requests) < _MOST:
            async with relay.db.read() as c:
                some = await list_tickets(
                    c,
                    relay.tenant,
                    wanted=TicketFilter(),
                    sight=sight,
                    before=before,
                    limit=_AT_ONCE,
                )
            for one in some:
                requests.append(
                    {
                        "number": one.number,
                        "title": one.title,
                        "kind": one.kind,
                        "state": one.state,
                        "created_at": one.created_at,
                        "updated_at": one.updated_at,
                        "messages": await _said(relay, one),
                    }
                )
            more = len(some) == _AT_ONCE
            before = some[-1].row if some else None
        told |= {"requests": requests, "older_left_out": more}
        content = msgspec.json.format(msgspec.json.encode(told), indent=1)
        return file_response("farhand.json", content)
