"""A person's own requests: listed, written, read, answered, called solved, opened again."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, QueryParameter

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import PUBLIC, Actor
from farhand_server.api.guard import FromRelay
from farhand_server.channels.chats import is_chat
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.moves import add_message, close, reopen
from farhand_server.desk.participants import check_may_post, may_post_on
from farhand_server.desk.ticket_fields import Form, check_fields, get_form
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
from farhand_server.errors import not_permitted
from farhand_server.knowledge.readers import CUSTOMER
from farhand_server.knowledge.searching import MAX_QUERY_CHARS, Hit, search_articles
from farhand_server.mail.showing import html_of_mail
from farhand_server.measures.surveys import answer_open_survey, open_survey
from farhand_server.pages.asked_fields import asked_fields, read_fields, since_chars
from farhand_server.pages.kept_words import show_again
from farhand_server.pages.rendering import KIND_WORDS
from farhand_server.pages.routing import Reading, look, mail_response, see_other
from farhand_server.pages.threads import file_of_thread, mail_of_message, read_thread
from farhand_server.pages.uploads import MAX_UPLOAD_BYTES, keep_files, read_upload
from farhand_server.pages.visitor import read_form
from farhand_server.pages.whose import sight_here
from farhand_server.relay import Relay
from farhand_server.wording import MAX_LINE_CHARS

__all__ = ["PortalPages"]

_Anything = Request[Any, Any, Any]
_SHOWN: Final = 50
_SUGGESTED: Final = 5
_KINDS: Final = tuple(KIND_WORDS)


def _is_hers(ticket: Ticket, actor: Actor) -> bool:
    """Tell whether somebody asked for this, and does not only take part."""
    by_name = actor.name in (ticket.requester, ticket.created_by)
    return by_name or (bool(actor.person) and ticket.person == actor.person)


async def _found(relay: Relay, ref: str, sight: Sight) -> tuple[Ticket, list[int]]:
    """Return a ticket that she sees, and the numbers whose words are shown with it."""
    async with relay.db.read() as c:
        found = await get_ticket(c, relay.tenant, ref, sight=sight)
        return found, [found.row, *await merged_into(c, relay.tenant, found.row)]


async def _suggestions(reading: Reading, words: str) -> list[Hit]:
    relay = reading.relay
    if "knowledge" in reading.visitor.off:
        return []
    async with relay.db.read() as c:
        return await search_articles(
            c,
            relay.tenant,
            query=words[:MAX_QUERY_CHARS],
            reader=CUSTOMER,
            wanted=[reading.visitor.language],
            limit=_SUGGESTED,
        )


async def _form(
    reading: Reading,
    given: dict[str, str],
    hits: list[Hit],
    *,
    lacking: bool = False,
    had_files: bool = False,
) -> Response[Any]:
    """Return the form of a new request, with what may answer it already above.

    Args:
        reading: what is answered.
        given: what was typed so far.
        hits: what may answer it.
        lacking: whether something that the kind asks is missing, or cannot be read.
        had_files: whether files came, which a page cannot give back.
    """
    relay, kind = reading.relay, given.get("kind", _KINDS[0])
    async with relay.db.read() as c:
        forms = {one: await get_form(c, relay.tenant, one) for one in _KINDS}
    return reading.page(
        "new",
        status=422 if lacking else 200,
        kinds=_KINDS,
        form=given,
        hits=hits,
        sure=True,
        since_chars=max(map(since_chars, forms.values())),
        asked=asked_fields(forms[kind]) if kind in forms else [],
        lacking=lacking,
        had_files=had_files,
    )


async def _answers(
    relay: Relay, kind: str, asked: Form, given: dict[str, str]
) -> dict[str, Any] | None:
    """Return what was answered of what a kind asks; None where that cannot be kept."""
    try:
        fields = read_fields(asked, given)
        async with relay.db.read() as c:
            await check_fields(c, relay.tenant, kind, fields)
    except UsageError as error:
        if error.code != "fields-invalid":
            raise
        return None
    return fields


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
        if "*" not in reading.visitor.signed_in().scopes:
            return see_other("/my/security")  # she must have a second factor first
        sight = sight_here(reading, "ticket.read")
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
    async def new(
        self,
        request: _Anything,
        relay: FromRelay,
        title: Annotated[str, QueryParameter(name="title", max_length=MAX_LINE_CHARS)] = "",
        kind: Annotated[str, QueryParameter(name="kind", max_length=20)] = _KINDS[0],
    ) -> Response[Any]:
        """Ask what it is about, then show what may answer it above the form."""
        reading = await look(request, relay)
        sight_here(reading, "ticket.create")
        if not title.strip():
            return reading.page("new_about", kinds=_KINDS)
        hits = await _suggestions(reading, title)
        return await _form(reading, {"title": title, "kind": kind}, hits)

    @post("/new", action=PUBLIC, include_in_schema=False, request_max_body_size=MAX_UPLOAD_BYTES)
    async def create(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Offer what may answer it already where that was not done yet, then make the ticket."""
        reading = await look(request, relay)
        if reading.visitor.actor is None:
            return await show_again(request, reading)
        actor = reading.visitor.signed_in()
        sight_here(reading, "ticket.create")
        form, files = await read_upload(request, relay, sender=actor.account)
        title, body = form.get("title", ""), form.get("body", "")
        if form.get("sure") != "yes" and not files:
            hits = await _suggestions(reading, f"{title} {body}")
            if hits:
                return await _form(reading, form, hits)
        kind = form.get("kind", "incident")
        if kind not in _KINDS or not body.strip():
            raise UsageError("invalid", "a request says what is wrong")
        async with relay.db.read() as c:
            asked = await get_form(c, relay.tenant, kind)
        fields = await _answers(relay, kind, asked, form)
        if fields is None:
            return await _form(reading, form, [], lacking=True, had_files=bool(files))
        since = form.get("since", "").strip()
        if since and not 0 < len(since) <= since_chars(asked):
            # Only some kinds have the field; what she wrote stays.
            body = f"{body}\n\n{reading.visitor.words('Since when?')} {since}"
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
                    fields=fields if asked.properties else None,
                ),
            )
            if files:
                said = await list_messages(c, relay.tenant, [made.row], with_notes=False, limit=1)
                await keep_files(c, relay, said[0].seq, files)
        return see_other(f"/my/{made.number}")

    @get("/{ticket:str}", action=PUBLIC, include_in_schema=False)
    async def show(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Show a request and what was said."""
        reading = await look(request, relay)
        sight = sight_here(reading, "ticket.read")
        found, numbers = await _found(relay, ticket, sight)
        thread = await read_thread(relay, numbers)
        actor = reading.visitor.signed_in()
        is_hers = _is_hers(found, actor)
        me = {actor.name, *([found.requester] if is_hers else [])}
        survey = None
        async with relay.db.read() as c:
            in_chat = await is_chat(c, relay.tenant, found.row)
            may_post = await may_post_on(c, relay.tenant, found, actor.name)
            if is_hers and actor.person:
                survey = await open_survey(c, relay, ticket=found.row, person=actor.person)
        return reading.page(
            "ticket",
            ticket=found,
            thread=thread,
            me=me,
            base=f"/my/{found.number}",
            is_solver=is_hers,
            survey=survey is not None,
            may_post=may_post,
            in_chat=in_chat,
            writers=[],
        )

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
        _, numbers = await _found(relay, ticket, sight_here(reading, "ticket.read"))
        return await file_of_thread(relay, numbers, message, place)

    @get("/{ticket:str}/mail/{message:int}", action=PUBLIC, include_in_schema=False)
    async def mail(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str], message: FromPath[int]
    ) -> Response[Any]:
        """Show a mail as it was sent, within a page of ours."""
        reading = await look(request, relay)
        found, numbers = await _found(relay, ticket, sight_here(reading, "ticket.read"))
        await mail_of_message(relay, numbers, message)
        return reading.page(
            "mail", frames=True, ticket=found, base=f"/my/{found.number}", message=message
        )

    @get("/{ticket:str}/mail/{message:int}/own", action=PUBLIC, include_in_schema=False)
    async def mail_itself(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str], message: FromPath[int]
    ) -> Response[str]:
        """Return a mail's own HTML, made harmless: it runs nothing and fetches nothing."""
        reading = await look(request, relay)
        _, numbers = await _found(relay, ticket, sight_here(reading, "ticket.read"))
        mail = await mail_of_message(relay, numbers, message)
        return mail_response(await html_of_mail(relay, mail, message=message, pictures=None))

    @post(
        "/{ticket:str}/reply",
        action=PUBLIC,
        include_in_schema=False,
        request_max_body_size=MAX_UPLOAD_BYTES,
    )
    async def reply(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Say something more; a resolved request is opened again by it."""
        reading = await look(request, relay)
        if reading.visitor.actor is None:
            return await show_again(request, reading)
        actor = reading.visitor.signed_in()
        sight = sight_here(reading, "ticket.reply")
        form, files = await read_upload(request, relay, sender=actor.account)
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
            await keep_files(c, relay, said.seq, files)
        await tell_ticket(relay, int(said.ticket[3:]))
        return see_other(f"/my/{said.ticket}")

    @post("/{ticket:str}/solved", action=PUBLIC, include_in_schema=False)
    async def solved(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Call a resolved request solved, or not; she is asked in words."""
        reading = await look(request, relay)
        if reading.visitor.actor is None:
            return await show_again(request, reading)
        form = await read_form(request, relay)
        actor = reading.visitor.signed_in()
        sight = sight_here(reading, "ticket.reopen")
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

    @post("/{ticket:str}/content", action=PUBLIC, include_in_schema=False)
    async def content(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Take how content she is, where she was asked."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        actor = reading.visitor.signed_in()
        found, _ = await _found(relay, ticket, sight_here(reading, "ticket.reopen"))
        if not _is_hers(found, actor):
            raise not_permitted("whoever asked for help says how it was")
        score = form.get("score", "")
        if score not in ("1", "2", "3", "4", "5"):
            raise UsageError("invalid", "an answer is 1 to 5")
        async with relay.db.write() as c:
            await answer_open_survey(
                c,
                relay,
                ticket=found.row,
                person=actor.person or None,
                score=int(score),
                comment=form.get("comment", "").replace("\r\n", "\n"),
            )
        return see_other(f"/my/{found.number}")
