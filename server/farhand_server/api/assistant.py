"""Routes of the assistant: ask, and talk to a person.

The assistant itself (`farhand_server.assistant`) is given a question and articles, nothing else;
everything that is done here is done for the person who asks, with her own rights or with none.  An
answer elsewhere gets public articles only; where it fails or cites what it was not given, what is
built in answers instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import PUBLIC, Actor, authorise
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay, actor_in
from farhand_server.api.knowledge import languages_of
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.assistant.answers import (
    NOTHING,
    Answer,
    Assistant,
    Source,
    SourcePassage,
    checked,
)
from farhand_server.assistant.passages import PassageAssistant
from farhand_server.assistant.remote import AssistantTerms, RemoteAssistant, check_terms
from farhand_server.desk.moves import add_message
from farhand_server.desk.references import format_number, parse_reference
from farhand_server.desk.tickets import Intake, create_ticket, get_ticket
from farhand_server.knowledge.articles import get_article
from farhand_server.knowledge.markdown import passages
from farhand_server.knowledge.readers import ANYBODY, CUSTOMER, Reader
from farhand_server.knowledge.searching import search_articles
from farhand_server.knowledge.talks import (
    Turn,
    add_turn,
    begin_talk,
    check_talk,
    hand_over,
    transcript,
    turns_of,
)
from farhand_server.knowledge.texts import read_text
from farhand_server.knowledge.uses import note_use
from farhand_server.people.people import person_of_address
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import articles
from farhand_server.wording import MAX_BODY_CHARS, MAX_LINE_CHARS, check_body

__all__ = ["AREA", "ASSISTANT", "MAX_ASKED_CHARS"]

_log = logging.getLogger(__name__)

MAX_ASKED_CHARS: Final = 500
_SETTING: Final = "assistant"
# What rows say of it; no account, so no action is open to it.
ASSISTANT: Final = "assistant"
# So many articles are given to an assistant.
_GIVEN: Final = 6
_MAX_TOKEN_BYTES: Final = 4096

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Question = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ASKED_CHARS)]
_Words = Annotated[str, msgspec.Meta(max_length=8000)]


class NewAsking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question; `talk` is the token of the conversation that it goes on."""

    question: _Question
    language: _Line = ""
    talk: Annotated[str, msgspec.Meta(max_length=43)] = ""


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """An article that an answer rests on."""

    slug: str
    title: str
    language: str
    url: str


class AssistantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the articles say; empty where they say nothing.

    `person` is where to go on with a person, whatever the answer; `source` is who found it.
    """

    talk: str
    text: str
    citations: list[Citation]
    source: Literal["built-in", "http"]
    person: str


class NewHandover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants a person, and for what.

    Who is signed in may name one of her tickets; who is not names the mail address for the answer.
    """

    words: _Words = ""
    address: _Line = ""
    name: _Line = ""
    ticket: _Line = ""


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket that has the conversation now."""

    ticket: str


async def _terms(relay: Relay) -> AssistantTerms:
    async with relay.db.read() as c:
        return await get_setting(
            c, relay.tenant, _SETTING, AssistantTerms, default=AssistantTerms()
        )


async def _sources(
    relay: Relay, question: str, languages: list[str], reader: Reader
) -> list[Source]:
    """Return the articles that may answer, as this reader is shown them, best first."""
    async with relay.db.read() as c:
        hits = await search_articles(
            c, relay.tenant, query=question, reader=reader, wanted=languages, limit=_GIVEN
        )
        found = []
        for hit in hits:
            article = await get_article(c, relay.tenant, hit.slug, reader=reader)
            text = await read_text(c, relay.tenant, article, reader=reader, wanted=[hit.language])
            parts = [
                SourcePassage(heading=one.heading, text=one.text) for one in passages(text.body)
            ]
            found.append(
                Source(slug=hit.slug, title=text.title, language=text.language, passages=parts)
            )
    return found


def _read_token(home: str, name: str) -> str:
    try:
        with (Path(home) / name).open("rb") as file:
            return file.read(_MAX_TOKEN_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        raise FarhandError(
            "assistant-unreachable", f"the relay cannot read {name} in its home", detail=str(error)
        ) from error


async def _remote(relay: Relay, terms: AssistantTerms) -> Assistant:
    token = ""
    if terms.token_file:
        token = await asyncio.to_thread(_read_token, relay.settings.home, terms.token_file)
    return RemoteAssistant(terms, token)


async def _answered(
    relay: Relay, terms: AssistantTerms, question: str, languages: list[str], reader: Reader
) -> tuple[Answer, list[Source], Literal["built-in", "http"]]:
    language = languages[0] if languages else ""
    if terms.mode == "http":
        public = await _sources(relay, question, languages, ANYBODY)
        try:
            assistant = await _remote(relay, terms)
            said = checked(await assistant.answer(question, language, public), public)
        except FarhandError as error:
            _log.warning("%s: %s", error, error.detail)
        else:
            if said is not NOTHING:
                return said, public, "http"
    given = await _sources(relay, question, languages, reader)
    built_in: Assistant = PassageAssistant()
    said = checked(await built_in.answer(question, language, given), given)
    return said, given, "built-in"


class AssistantController(Controller):
    """Ask the articles; a person is always one request away."""

    path = "/assistant"

    @post("/ask", action=PUBLIC, status_code=200, keep_answer=False)
    async def ask(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        data: JSONBody[NewAsking],
    ) -> AssistantAnswer:
        """Answer from articles, or with nothing."""
        relay.service(make_public_rates).talks.take(caller_address(request, relay))
        question = check_body(data.question, "question", max_chars=MAX_ASKED_CHARS)
        languages = languages_of(data.language)
        terms = await _terms(relay)
        if terms.mode == "off":
            raise FarhandError("assistant-off", "there is no assistant here")
        actor = actor_in(request.scope)
        account = actor.account if actor is not None else None
        if data.talk:
            async with relay.db.read() as c:
                await check_talk(c, relay.tenant, data.talk, account=account)
        reader = ANYBODY if actor is None else CUSTOMER
        said, given, source = await _answered(relay, terms, question, languages, reader)
        async with relay.db.write() as c:
            talk = data.talk or await begin_talk(c, relay, account=account)
            await add_turn(
                c,
                relay,
                token=talk,
                question=question,
                answer=said.text,
                citations=said.citations,
            )
        by_slug = {one.slug: one for one in given}
        return AssistantAnswer(
            talk=talk,
            text=said.text,
            citations=[
                Citation(
                    slug=slug,
                    title=by_slug[slug].title,
                    language=by_slug[slug].language,
                    url=f"{relay.settings.url}/kb/{slug}",
                )
                for slug in said.citations
            ],
            source=source,
            person=f"/api/v1/assistant/talks/{talk}/person",
        )

    @post("/talks/{talk:str}/person", action=PUBLIC, status_code=201, keep_answer=False)
    async def person(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        talk: FromPath[str],
        data: JSONBody[NewHandover],
    ) -> HandedOver:
        """Hand a conversation over to people: on a ticket, with everything that was said."""
        actor = actor_in(request.scope)
        if actor is None:
            relay.service(make_public_rates).writes.take(caller_address(request, relay))
        account = actor.account if actor is not None else None
        async with relay.db.write() as c:
            await check_talk(c, relay.tenant, talk, account=account)
            turns = await turns_of(c, relay.tenant, talk)
            words = data.words.strip()
            said = transcript(turns, max_chars=MAX_BODY_CHARS - len(words) - 10)
            body = "\n\n".join(part for part in (words, said) if part)
            title = _title(words or (turns[-1].question if turns else ""))
            if actor is None:
                number = await _as_stranger(c, relay, data, title, body)
            else:
                number = await _as_actor(c, relay, actor, data, title, body)
            await hand_over(c, relay, token=talk, ticket=number)
            await _note_cited(c, relay, turns, number)
        return HandedOver(ticket=format_number(number))

    @get("/terms", action="knowledge.settings")
    async def terms(self, relay: FromRelay) -> AssistantTerms:
        """Return which assistant answers; its token is not among it."""
        return await _terms(relay)

    @post("/terms", action="knowledge.settings", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[AssistantTerms]
    ) -> AssistantTerms:
        """Say which assistant answers."""
        check_terms(data)
        async with relay.db.write() as c:
            await set_setting(c, relay, _SETTING, data, actor.name)
        return data


def _title(words: str) -> str:
    """Return one line of what somebody said; the way to a person is shut by no character of it."""
    lines = words.splitlines() or [""]
    line = "".join(one for one in " ".join(lines[0].split()) if one.isprintable())
    return line[:MAX_LINE_CHARS].strip() or "?"


async def _as_stranger(
    c: AsyncConnection, relay: Relay, data: NewHandover, title: str, body: str
) -> int:
    """Make a ticket for somebody who did not sign in; her address is not believed, only written."""
    who = await person_of_address(c, relay, kind="mail", value=data.address, name=data.name)
    made = await create_ticket(
        c,
        relay,
        title=title,
        actor="relay",
        requester=data.address.strip().casefold(),
        body=body,
        intake=Intake(kind="question"),
        person=who.id,
        organisation=who.organisation,
        channel="web",
    )
    return made.row


async def _as_actor(
    c: AsyncConnection, relay: Relay, actor: Actor, data: NewHandover, title: str, body: str
) -> int:
    """Make a ticket of who is signed in, or say it on one of hers; with her own rights."""
    if data.ticket:
        sight = sight_of(actor, "ticket.reply")
        found = await get_ticket(c, relay.tenant, data.ticket, sight=sight)
        said = await add_message(
            c, relay, ref=found.number, kind="reply", body=body, actor=actor.name, sight=sight
        )
        # One that is over has a successor.
        return parse_reference(said.ticket) or found.row
    authorise(actor, "ticket.create")
    made = await create_ticket(
        c,
        relay,
        title=title,
        actor=actor.name,
        requester=actor.name,
        body=body,
        intake=Intake(kind="question"),
        channel="web",
    )
    return made.row


async def _note_cited(c: AsyncConnection, relay: Relay, turns: Sequence[Turn], number: int) -> None:
    """Note which articles had been shown; one that has another name by now is not looked for."""
    slugs = {slug for one in turns for slug in one.citations}
    query = select(articles.c.id).where(
        articles.c.tenant == relay.tenant, articles.c.slug.in_(sorted(slugs))
    )
    for found in list(await c.scalars(query)):
        article = await get_article(c, relay.tenant, found)
        await note_use(c, relay, article=article, ticket=number, kind="cited", actor=ASSISTANT)


AREA = Area(
    name="assistant",
    controllers=[AssistantController],
    statuses={"assistant-off": 404, "talk-over": 409, "talk-long": 409},
)
