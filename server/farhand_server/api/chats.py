"""Routes of live chats: begun, talked on, watched by the desk."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.accounts.authorisation import Actor
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.channels.chats import (
    Chat,
    begin_chat,
    chats_subject,
    desk_seen,
    get_chat,
    is_chat,
    list_chats,
    person_seen,
)
from farhand_server.channels.help_requests import make_help_requests
from farhand_server.channels.sweep import sweep_chats_for_ever
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.moves import add_message
from farhand_server.desk.participants import check_may_post
from farhand_server.desk.queues import DEFAULT_QUEUE
from farhand_server.desk.tickets import get_ticket
from farhand_server.desk.timeline import Message, list_messages
from farhand_server.desk.watching import tell_ticket, ticket_subject, wait_for
from farhand_server.gateway.node import make_gateway
from farhand_server.mail.showing import with_folds
from farhand_server.people.people import get_person
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS, MAX_LINE_CHARS

__all__ = ["AREA", "MAX_WAIT_S"]

MAX_WAIT_S = 60.0
_TITLE_CHARS = 60

_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_Wait = Annotated[float, QueryParameter(name="wait", ge=0, le=MAX_WAIT_S)]


class NewChat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first words of a chat; the title is their beginning unless given."""

    text: _Body
    title: Annotated[str, msgspec.Meta(max_length=400)] = ""
    language: Annotated[str, msgspec.Meta(max_length=10)] = "en"
    queue: Annotated[str, msgspec.Meta(max_length=80)] = DEFAULT_QUEUE


class ChatWords(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said in a chat."""

    text: _Body


class ChatController(Controller):
    """Chats, each by its ticket."""

    path = "/chats"

    @post("/", action="ticket.create", status_code=201)
    async def begin(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewChat]) -> Chat:
        """Begin a chat with its first words."""
        title = data.title.strip() or " ".join(data.text.split())[:_TITLE_CHARS]
        async with relay.db.write() as c:
            organisation = None
            if actor.person:
                organisation = (await get_person(c, relay.tenant, actor.person)).organisation
            ticket = await begin_chat(
                c,
                relay,
                title=title[:MAX_LINE_CHARS],
                actor=actor.name,
                requester=actor.name,
                person=actor.person or None,
                organisation=organisation,
                queue=data.queue,
                language=data.language,
            )
            await _say(relay, c, actor, ticket.id, data.text)
            made = await get_chat(c, relay, ticket.row)
        await relay.bus.publish(chats_subject(relay.tenant), b"")
        return made

    @get("/", action="ticket.work")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Chat]:
        """Return the chats that are not over, those that wait longest first.

        Whoever asks is at the desk for the next minute and a half.
        """
        after = decode_cursor(cursor, str, str)
        async with relay.db.write() as c:
            await desk_seen(c, relay, actor.name)
        async with relay.db.read() as c:
            place = (str(after[0]), int(after[1])) if after else None
            rows = await list_chats(c, relay.tenant, after=place, limit=limit + 1)
        return page_of(rows, limit, lambda row: row, lambda row: (row.began_at, row.ticket[3:]))

    @get("/watch", action="ticket.work")
    async def watch(self, relay: FromRelay, actor: FromActor, wait: _Wait = 0.0) -> Page[Chat]:
        """Return the chats that nobody answered yet; none only once `wait` seconds are over."""

        async def look() -> list[Chat]:
            async with relay.db.read() as c:
                rows = await list_chats(c, relay.tenant, limit=LIMIT_DEFAULT)
            return [row for row in rows if row.answered_at is None]

        async with relay.db.write() as c:
            await desk_seen(c, relay, actor.name)
        subject = chats_subject(relay.tenant)
        return Page(items=await wait_for(relay, subject, look, wait_s=wait))

    @get("/{ticket:str}", action="ticket.read")
    async def show(self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]) -> Chat:
        """Return a chat, and whether anybody of the desk is there."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            return await get_chat(c, relay, found.row)

    @post("/{ticket:str}/messages", action="ticket.reply", status_code=201)
    async def say(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[ChatWords]
    ) -> Message:
        """Say something to whoever is there."""
        async with relay.db.write() as c:
            said = await _say(relay, c, actor, ticket, data.text)
        await tell_ticket(relay, int(said.ticket[3:]))
        return said

    @get("/{ticket:str}/messages", action="ticket.read")
    async def messages(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        after: Annotated[int, QueryParameter(name="after", ge=0)] = 0,
        wait: _Wait = 0.0,
    ) -> Page[Message]:
        """Return what was said after a message; nothing only once `wait` seconds are over."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            numbers = [found.row, *await merged_into(c, relay.tenant, found.row)]
            is_live = await is_chat(c, relay.tenant, found.row)
        if is_live and not sight.desk:
            await person_seen(relay, found.row)
        elif is_live and actor.role in ("technician", "admin"):
            async with relay.db.write() as c:
                await desk_seen(c, relay, actor.name)

        async def look() -> list[Message]:
            async with relay.db.read() as c:
                said = await list_messages(
                    c,
                    relay.tenant,
                    numbers,
                    with_notes=sight.desk,
                    after=after,
                    limit=LIMIT_DEFAULT,
                )
            return await with_folds(relay, said)

        subject = ticket_subject(relay.tenant, found.row)
        return Page(items=await wait_for(relay, subject, look, wait_s=wait))


async def _say(relay: Relay, c: AsyncConnection, actor: Actor, ticket: str, text: str) -> Message:
    sight = sight_of(actor, "ticket.reply")
    found = await get_ticket(c, relay.tenant, ticket, sight=sight)
    if not sight.desk:
        await check_may_post(c, relay.tenant, found, actor.name)
    return await add_message(
        c, relay, ref=found.id, kind="chat", body=text, actor=actor.name, sight=sight,
        channel="chat", person=actor.person or None,
    )  # fmt: skip


async def _start(relay: Relay) -> None:
    relay.service(make_gateway).plug(relay.service(make_help_requests))
    relay.tasks.spawn(sweep_chats_for_ever(relay), name="chats")


AREA = Area(name="chats", controllers=[ChatController], start=_start)
