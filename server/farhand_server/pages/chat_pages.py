"""Chat on pages: with a sign-in under /my, without one behind a link that only the guest has.

The words stand in a frame that brings itself up to date, so that nothing is lost of what somebody
types below it: with scripts at once (`scripts/talk.js`), without them every 15 seconds.  A chat is
a ticket from its first line (`channels.chats`); a guest's goes on at `/t/TOKEN/chat`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, QueryParameter

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.channels.chats import (
    begin_chat,
    chats_subject,
    get_chat,
    person_seen,
    somebody_there,
)
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.moves import add_message
from farhand_server.desk.participants import check_may_post
from farhand_server.desk.tickets import Sight, Ticket, get_ticket
from farhand_server.desk.watching import tell_ticket, ticket_subject, wait_for
from farhand_server.errors import not_found
from farhand_server.mail.ticket_links import make_link
from farhand_server.pages.kept_words import show_again
from farhand_server.pages.routing import Reading, look, see_other
from farhand_server.pages.threads import Thread, read_thread
from farhand_server.pages.ticket_link_pages import opened
from farhand_server.pages.visitor import read_form
from farhand_server.pages.whose import sight_here
from farhand_server.people.people import get_person, normalise_address, person_of_address
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["ChatPages"]

_Anything = Request[Any, Any, Any]
_TITLE_CHARS: Final = 60
_MAX_WAIT_S: Final = 25.0
_After = Annotated[int, QueryParameter(name="after", ge=0)]
_Wait = Annotated[float, QueryParameter(name="wait", ge=0, le=_MAX_WAIT_S)]


def _title(text: str) -> str:
    line = "".join(one for one in " ".join(text.split()) if one.isprintable())
    return line[:_TITLE_CHARS].strip() or "?"


async def _talk(
    reading: Reading,
    ticket: Ticket,
    numbers: list[int],
    *,
    base: str,
    me: set[str | None],
    after: int,
    wait_s: float,
    guest: str | None = None,
) -> Response[Any]:
    """Return what was said after a message; waits for it where it is told to."""
    relay = reading.relay
    await person_seen(relay, ticket.row)

    async def news() -> list[Thread]:
        thread = await read_thread(relay, numbers, after=after, guest=guest)
        return [thread] if thread.said else []

    subject = ticket_subject(relay.tenant, ticket.row)
    found = await wait_for(relay, subject, news, wait_s=wait_s)
    thread = found[0] if found else Thread([], {}, {}, {})
    async with relay.db.read() as c:
        chat = await get_chat(c, relay, ticket.row)
    return reading.page(
        "talk",
        script=True,
        framed=True,
        thread=thread,
        chat=chat,
        base=base,
        me=me,
        after=after,
    )


async def _say(relay: Relay, ticket: Ticket, sight: Sight, text: str, *, to: str) -> str:
    """Say something in a chat; returns the ticket on which it stands now."""
    async with relay.db.write() as c:
        await check_may_post(c, relay.tenant, ticket, sight.name)
        said = await add_message(
            c,
            relay,
            ref=ticket.id,
            kind="chat",
            body=text,
            actor=to,
            sight=sight,
            channel="chat",
            person=sight.person,
        )
    await tell_ticket(relay, int(said.ticket[3:]))
    return said.ticket


class ChatPages(Controller):
    """Chats: begun, read, talked on."""

    @get("/chat", action=PUBLIC, include_in_schema=False)
    async def ask(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show whether somebody is there, and the form of the first words."""
        reading = await look(request, relay)
        async with relay.db.read() as c:
            somebody = await somebody_there(c, relay)
        return reading.page("chat_begin", somebody=somebody, guests=reading.branding.guests)

    @post("/chat", action=PUBLIC, include_in_schema=False)
    async def begin(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Begin a chat with its first words."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        if reading.visitor.actor is None and "mail" not in form:
            return await show_again(request, reading)  # she was signed in when the form was made
        text = form.get("text", "")
        if not text.strip() or len(text) > MAX_BODY_CHARS:
            raise UsageError("invalid", "a chat begins with words")
        actor = reading.visitor.actor
        if actor is None:
            path, number = await self._as_guest(request, reading, form, text)
        else:
            sight = sight_here(reading, "ticket.create")
            async with relay.db.write() as c:
                organisation = None
                if actor.person:
                    organisation = (await get_person(c, relay.tenant, actor.person)).organisation
                ticket = await begin_chat(
                    c,
                    relay,
                    title=_title(text),
                    actor=actor.name,
                    requester=actor.name,
                    person=actor.person or None,
                    organisation=organisation,
                    language=reading.visitor.language,
                )
            await _say(relay, ticket, sight, text, to=actor.name)
            path, number = f"/my/{ticket.number}/chat", ticket.row
        await relay.bus.publish(chats_subject(relay.tenant), b"")
        await tell_ticket(relay, number)
        return see_other(path)

    async def _as_guest(
        self, request: _Anything, reading: Reading, form: dict[str, str], text: str
    ) -> tuple[str, int]:
        """Begin a chat for somebody without a sign-in; her address is written, not believed."""
        relay = reading.relay
        if not reading.branding.guests:
            raise FarhandError("not-signed-in", "sign in first")
        relay.service(make_public_rates).writes.take(caller_address(request, relay))
        mail = normalise_address("mail", form.get("mail", ""))
        async with relay.db.write() as c:
            who = await person_of_address(
                c, relay, kind="mail", value=mail, name=form.get("name", "")
            )
            ticket = await begin_chat(
                c,
                relay,
                title=_title(text),
                actor="relay",
                requester=mail,
                person=who.id,
                organisation=who.organisation,
                language=reading.visitor.language,
            )
            warning = f"A guest of the chat page calls herself {mail}. Nobody has proved that."
            await add_message(c, relay, ref=ticket.id, kind="note", body=warning, actor="relay")
        sight = Sight(mail, desk=False, guarded=False, person=who.id)
        await _say(relay, ticket, sight, text, to=mail)
        link = make_link(relay, ticket=ticket.row)
        return link.removeprefix(relay.settings.url) + "/chat", ticket.row

    @get("/my/{ticket:str}/chat", action=PUBLIC, include_in_schema=False)
    async def mine(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Show one's chat."""
        reading = await look(request, relay)
        found, _ = await self._hers(reading, ticket)
        return reading.page("chat", frames=True, ticket=found, base=f"/my/{found.number}")

    @get("/my/{ticket:str}/talk", action=PUBLIC, include_in_schema=False)
    async def my_talk(
        self,
        request: _Anything,
        relay: FromRelay,
        ticket: FromPath[str],
        after: _After = 0,
        wait: _Wait = 0.0,
    ) -> Response[Any]:
        """Return what was said, for the frame."""
        reading = await look(request, relay)
        found, sight = await self._hers(reading, ticket)
        async with relay.db.read() as c:
            numbers = [found.row, *await merged_into(c, relay.tenant, found.row)]
        return await _talk(
            reading,
            found,
            numbers,
            base=f"/my/{found.number}",
            me={sight.name, found.requester},
            after=after,
            wait_s=wait,
        )

    @post("/my/{ticket:str}/say", action=PUBLIC, include_in_schema=False)
    async def my_words(
        self, request: _Anything, relay: FromRelay, ticket: FromPath[str]
    ) -> Response[Any]:
        """Say something in one's chat."""
        reading = await look(request, relay)
        if reading.visitor.actor is None:
            return await show_again(request, reading)
        form = await read_form(request, relay)
        found, sight = await self._hers(reading, ticket, "ticket.reply")
        number = await _say(relay, found, sight, form.get("text", ""), to=sight.name)
        is_here = number == found.number
        return see_other(f"/my/{number}/chat" if is_here else f"/my/{number}")

    async def _hers(
        self, reading: Reading, ref: str, action: str = "ticket.read"
    ) -> tuple[Ticket, Sight]:
        relay = reading.relay
        sight = sight_here(reading, action)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ref, sight=sight)
            await get_chat(c, relay, found.row)
        return found, sight

    @get("/t/{token:str}/chat", action=PUBLIC, include_in_schema=False)
    async def guests(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Show a guest's chat."""
        ticket, _ = await self._guests(request, relay, token)
        reading = await look(request, relay)
        return reading.page("chat", frames=True, ticket=ticket, base=f"/t/{token}")

    @get("/t/{token:str}/talk", action=PUBLIC, include_in_schema=False)
    async def guests_talk(
        self,
        request: _Anything,
        relay: FromRelay,
        token: FromPath[str],
        after: _After = 0,
        wait: _Wait = 0.0,
    ) -> Response[Any]:
        """Return what was said in a guest's chat, for the frame."""
        ticket, sight = await self._guests(request, relay, token)
        reading = await look(request, relay)
        return await _talk(
            reading,
            ticket,
            [ticket.row],
            base=f"/t/{token}",
            me={sight.name},
            after=after,
            wait_s=wait,
            guest=sight.name,
        )

    @post("/t/{token:str}/say", action=PUBLIC, include_in_schema=False)
    async def guests_words(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Say something in a guest's chat."""
        ticket, sight = await self._guests(request, relay, token)
        form = await read_form(request, relay)
        relay.service(make_public_rates).talks.take(caller_address(request, relay))
        number = await _say(relay, ticket, sight, form.get("text", ""), to=sight.name)
        if number == ticket.number:
            return see_other(f"/t/{token}/chat")
        return (await look(request, relay)).page("sent", number=number)

    async def _guests(self, request: _Anything, relay: Relay, token: str) -> tuple[Ticket, Sight]:
        link = await opened(request, relay, token)
        if not link.chat:
            raise not_found("chat", "of this link")
        return link.ticket, link.holders[0].sight
