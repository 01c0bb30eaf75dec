"""Routes of public questions: asked and answered by anybody, shown once the desk let them through.

Off until an admin opens them (`POST /knowledge/settings`); closed, every one answers 404.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.accounts.authorisation import PUBLIC, Actor, authorise
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay, actor_in
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.knowledge.questions import (
    MAX_QUESTION_CHARS,
    Decision,
    Question,
    QuestionAnswer,
    QuestionLine,
    Writer,
    accept_answer,
    answer_question,
    ask_question,
    check_questions_open,
    decide_answer,
    decide_question,
    get_question,
    list_questions,
    list_waiting_answers,
)
from farhand_server.people.people import get_person
from farhand_server.relay import Relay

__all__ = ["AREA", "writer_of"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Name = Annotated[str, msgspec.Meta(max_length=60)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_QUESTION_CHARS)]
_Query = Annotated[str | None, QueryParameter(name="q", max_length=200)]


class NewQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question; without a name, whoever is signed in is named as the desk knows her."""

    title: _Line
    body: _Body
    language: _Line = "en"
    name: _Name = ""


class NewAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer."""

    body: _Body
    name: _Name = ""


class NewAcceptance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which answer it was."""

    answer: int


class NewDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether something is shown."""

    decision: Decision


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: shown at once, or waiting for the desk."""

    number: int
    waiting: bool


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for the desk."""

    questions: list[QuestionLine]
    answers: list[QuestionAnswer]


_NOBODY = "guest"


async def writer_of(relay: Relay, actor: Actor | None, name: str) -> Writer:
    """Return who writes; the whole world reads the name, so it is never a mail address.

    An account that a link or a provider made is named by its owner's address.

    Args:
        relay: the wiring.
        actor: who is signed in, if anybody.
        name: what she calls herself; may be empty.
    """
    if actor is None:
        return Writer(name=_first_shown(name))
    if actor.role in ("technician", "admin"):
        authorise(actor, "question.moderate")
        names = [actor.name, await _known_as(relay, actor), relay.settings.org]
        return Writer(name=_first_shown(*names), account=actor.account, staff=True)
    names = [name, await _known_as(relay, actor)]
    return Writer(name=_first_shown(*names), account=actor.account)


async def _known_as(relay: Relay, actor: Actor) -> str:
    """Return the name of the person whose account it is; empty where nobody said."""
    if not actor.person:
        return ""
    async with relay.db.read() as c:
        return (await get_person(c, relay.tenant, actor.person)).name


def _first_shown(*names: str) -> str:
    """Return the first name that is one and no address."""
    found = (name.strip() for name in names)
    return next((name for name in found if name and "@" not in name), _NOBODY)


def _count(relay: Relay, request: Request[Any, Any, Any], writer: Writer | None = None) -> None:
    rates = relay.service(make_public_rates)
    address = caller_address(request, relay)
    if writer is None:
        rates.reads.take(address)
    elif not writer.staff:
        rates.writes.take(address)


class QuestionController(Controller):
    """Questions and answers."""

    path = "/knowledge/questions"

    @get("/", action=PUBLIC)
    async def list_all(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        q: _Query = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[QuestionLine]:
        """Return questions that are shown, newest first."""
        _count(relay, request)
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            await check_questions_open(c, relay.tenant)
            rows = await list_questions(
                c, relay.tenant, q=q, before=after[0] if after else None, limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.number,))

    @post("/", action=PUBLIC, status_code=201)
    async def ask(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        data: JSONBody[NewQuestion],
    ) -> Received:
        """Ask."""
        writer = await writer_of(relay, actor_in(request.scope), data.name)
        _count(relay, request, writer)
        async with relay.db.write() as c:
            number = await ask_question(
                c,
                relay,
                title=data.title,
                body=data.body,
                language=data.language,
                writer=writer,
            )
        return Received(number=number, waiting=not writer.staff)

    @get("/{number:int}", action=PUBLIC)
    async def show(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        number: FromPath[int],
    ) -> Question:
        """Return a question with its answers, the accepted one first."""
        _count(relay, request)
        async with relay.db.read() as c:
            await check_questions_open(c, relay.tenant)
            return await get_question(c, relay.tenant, number)

    @post("/{number:int}/answers", action=PUBLIC, status_code=201)
    async def answer(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        number: FromPath[int],
        data: JSONBody[NewAnswer],
    ) -> Received:
        """Answer."""
        writer = await writer_of(relay, actor_in(request.scope), data.name)
        _count(relay, request, writer)
        async with relay.db.write() as c:
            made = await answer_question(c, relay, question=number, body=data.body, writer=writer)
        return Received(number=made, waiting=not writer.staff)

    @post("/{number:int}/accept", action="question.accept", status_code=200)
    async def accept(
        self,
        relay: FromRelay,
        actor: FromActor,
        number: FromPath[int],
        data: JSONBody[NewAcceptance],
    ) -> Question:
        """Say which answer it was; the one who asked does, or the desk."""
        desk = authorise(actor, "question.accept") == "all"
        async with relay.db.write() as c:
            await accept_answer(
                c,
                relay,
                question=number,
                answer=data.answer,
                account=None if desk else actor.account,
            )
            return await get_question(c, relay.tenant, number)


class ModerationController(Controller):
    """What waits for the desk, and what it decides; also while questions are closed."""

    path = "/knowledge/moderation"

    @get("/", action="question.moderate")
    async def waiting(self, relay: FromRelay, limit: Limit = LIMIT_DEFAULT) -> Waiting:
        """Return what waits."""
        async with relay.db.read() as c:
            return Waiting(
                questions=await list_questions(c, relay.tenant, state="pending", limit=limit),
                answers=await list_waiting_answers(c, relay.tenant, limit=limit),
            )

    @get("/questions/{number:int}", action="question.moderate")
    async def show(self, relay: FromRelay, number: FromPath[int]) -> Question:
        """Return a question with everything that was said, shown or not."""
        async with relay.db.read() as c:
            return await get_question(c, relay.tenant, number, desk=True)

    @post("/questions/{number:int}", action="question.moderate", status_code=200)
    async def decide(
        self,
        relay: FromRelay,
        actor: FromActor,
        number: FromPath[int],
        data: JSONBody[NewDecision],
    ) -> Question:
        """Show a question, or refuse it."""
        async with relay.db.write() as c:
            await decide_question(c, relay, number=number, decision=data.decision, actor=actor.name)
            return await get_question(c, relay.tenant, number, desk=True)

    @post("/answers/{number:int}", action="question.moderate", status_code=200)
    async def decide_one(
        self,
        relay: FromRelay,
        actor: FromActor,
        number: FromPath[int],
        data: JSONBody[NewDecision],
    ) -> Waiting:
        """Show an answer, or refuse it."""
        async with relay.db.write() as c:
            await decide_answer(c, relay, number=number, decision=data.decision, actor=actor.name)
            return Waiting(
                questions=await list_questions(c, relay.tenant, state="pending"),
                answers=await list_waiting_answers(c, relay.tenant),
            )


AREA = Area(
    name="questions",
    controllers=[QuestionController, ModerationController],
    statuses={"questions-off": 404, "questions-full": 503},
)
