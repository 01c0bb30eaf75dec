"""A person's own requests: listed, written, read, answered, called solved, opened again."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast
from urllib.parse import quote

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, QueryParameter

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import PUBLIC, Actor, authorise
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge import picture_response
from farhand_server.desk.merging import merged_into
from farhand_server.desk.moves import add_message, close, reopen
from farhand_server.desk.participants import check_may_post
from farhand_server.desk.tickets import (
    Intake,
    Kind,
    Sight,
    Ticket,
    TicketFilter,
    create_ticket,
    get_ticket,
)
from farhand_server.desk.tickets import list_tickets as tickets_of
from farhand_server.desk.timeline import list_messages
from farhand_server.desk.watching import tell_ticket
from farhand_server.errors import not_found, not_permitted
from farhand_server.knowledge.readers import CUSTOMER
from farhand_server.knowledge.searching import search_articles
from farhand_server.mail.showing import split_folded, with_folds
from farhand_server.pages.rendering import KIND_WORDS
from farhand_server.pages.routing import Reading, look, see_other
from farhand_server.pages.visitor import read_form
from farhand_server.people.blobs import attachments_of, read_blob

__all__ = ["PortalPages"]

_Anything = Request[Any, Any, Any]
_SHOWN: Final = 50
_MESSAGES: Final = 200
_SUGGESTED: Final = 5
_KINDS: Final = tuple(KIND_WORDS)
# Types that a browser shows by itself and that run nothing; all others are only offered as files.
_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")


def _sight(reading: Reading, action: str) -> Sight:
    """Return what she sees here: what is hers, also where she is of the desk."""
    actor = reading.visitor.signed_in()
    authorise(actor, action)
    seen = sight_of(actor, action)
    return Sight(seen.name, desk=False, guarded=False, person=seen.person)


def _is_hers(ticket: Ticket, actor: Actor) -> bool:
    """Tell whether somebody asked for this, and does not only take part."""
    by_name = actor.name in (ticket.requester, ticket.created_by)
    return by_name or (bool(actor.person) and ticket.person == actor.person)


class PortalPages(Controller):
    """One's own requests."""

    path = "/my"

    @get("/", action=PUBLIC, include_in_schema=False)
    async def mine(
        self,
        request: _Anything,
        relay: FromRelay,
        before: Annotated[int | None, QueryParameter(name="before", ge=1)] = None,
    ) -> Response[Any]:
        """List one's requests, the newest first."""
        reading = await look(request, relay)
        sight = _sight(reading, "ticket.read")
        async with relay.db.read() as c:
            rows = await tickets_of(
                c,
                relay.tenant,
                wanted=TicketFilter(),
                sight=sight,
                before=before,
                limit=_SHOWN + 1,
            )
        more = rows[_SHOWN - 1].id if len(rows) > _SHOWN else ""
        return reading.page("mine", tickets=rows[:_SHOWN], more=more)

    @get("/new", action=PUBLIC, include_in_schema=False)
    async def new(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show the form of a new request."""
        reading = await look(request, relay)
        _sight(reading, "ticket.create")
        return reading.page("new", kinds=_KINDS, form={}, hits=[])

    @post("/new", action=PUBLIC, include_in_schema=False)
    async def create(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Offer what may answer it already, then make the ticket."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        actor = reading.visitor.signed_in()
        _sight(reading, "ticket.create")
        title, body = form.get("title", ""), form.get("body", "")
        if form.get("sure") != "yes":
            async with relay.db.read() as c:
                hits = await search_articles(
                    c,
                    relay.tenant,
                    query=f"{title} {body}",
                    reader=CUSTOMER,
                    wanted=[reading.visitor.language],
                    limit=_SUGGESTED,
                )
            if hits:
                return reading.page("new", kinds=_KINDS, form=form, hits=hits)
        kind = form.get("kind", "incident")
        if kind not in _KINDS or not body.strip():
            raise UsageError("invalid", "a request says what is wrong")
        async with relay.db.write() as c:
            made = await create_ticket(
                c,
                relay,
                title=title,
                actor=actor.name,
                requester=actor.name,
                body=body,
                person=actor.person or None,
                channel="web",
                intake=Intake(
                    kind=cast(Kind, kind),  # one of _KINDS
                    steps_tried=form.get("steps_tried", ""),
                    language=reading.visitor.language,
                ),
            )
        return see_other(f"/my/{made.number}")

    @get("/{ticket:str}", action=PUBLIC, include_in_schema=False)
    async def show(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Show a request and what was said."""
        reading = await look(request, relay)
        sight = _sight(reading, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            numbers = [found.row, *await merged_into(c, relay.tenant, found.row)]
            said = await list_messages(
                c, relay.tenant, numbers, with_notes=False, limit=_MESSAGES, newest=True
            )
            kept = await attachments_of(c, relay.tenant, [one.seq for one in said])
        files: dict[int, list[Any]] = {}
        for one in kept:
            files.setdefault(one.message, []).append(one)
        said = await with_folds(relay, said)
        pieces = {one.seq: split_folded(one) for one in said}
        actor = reading.visitor.signed_in()
        me = {actor.name, *([found.requester] if _is_hers(found, actor) else [])}
        return reading.page("ticket", ticket=found, said=said, pieces=pieces, files=files, me=me)

    @get("/{ticket:str}/files/{message:int}/{place:int}", action=PUBLIC, include_in_schema=False)
    async def file(
        self,
        request: _Anything,
        relay: FromRelay,
        ticket: FromPath[str],
        message: FromPath[int],
        place: FromPath[int],
    ) -> Response[bytes]:
        """Return a file of a message that she may read."""
        reading = await look(request, relay)
        sight = _sight(reading, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            numbers = [found.row, *await merged_into(c, relay.tenant, found.row)]
            said = await list_messages(
                c, relay.tenant, numbers, with_notes=False, after=message - 1, limit=1
            )
            there = await attachments_of(c, relay.tenant, [message])
            wanted = [one for one in there if one.place == place]
            if not said or said[0].seq != message or not wanted:
                raise not_found("file", f"{message}/{place}")
            kept = await read_blob(c, relay.tenant, wanted[0].sha256)
        if kept.media_type in _PICTURES:
            answer = picture_response(kept.media_type, kept.content)
            answer.headers["Cache-Control"] = "no-store"
            return answer
        answer = picture_response("application/octet-stream", kept.content)
        answer.headers["Cache-Control"] = "no-store"
        # RFC 6266 with the name in its extended form only, so that nothing needs quoting.
        name = quote(wanted[0].name, safe="")
        answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        return answer

    @post("/{ticket:str}/reply", action=PUBLIC, include_in_schema=False)
    async def reply(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Say something more; a resolved request is opened again by it."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        actor = reading.visitor.signed_in()
        sight = _sight(reading, "ticket.reply")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            await check_may_post(c, relay.tenant, found, actor.name)
            said = await add_message(
                c,
                relay,
                ref=found.id,
                kind="reply",
                body=form.get("body", ""),
                actor=actor.name,
                sight=sight,
                channel="web",
                person=actor.person or None,
                language=reading.visitor.language,
            )
        await tell_ticket(relay, int(said.ticket[3:]))
        return see_other(f"/my/{said.ticket}")

    @post("/{ticket:str}/solved", action=PUBLIC, include_in_schema=False)
    async def solved(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Call a resolved request solved, or not; she is asked in words."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        actor = reading.visitor.signed_in()
        sight = _sight(reading, "ticket.reopen")
        async with relay.db.write() as c:
            seen = await get_ticket(c, relay.tenant, ticket, sight=sight)
            await check_may_post(c, relay.tenant, seen, actor.name)
            if form.get("solved") == "yes":
                if not _is_hers(seen, actor):
                    raise not_permitted("whoever asked for help says whether it is solved")
                found = await close(c, relay, ref=ticket, actor=actor.name, sight=sight)
            else:
                why = form.get("body", "")
                found = await reopen(
                    c, relay, ref=ticket, reason=why, actor=actor.name, sight=sight
                )
        return see_other(f"/my/{found.number}")
