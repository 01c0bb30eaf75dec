"""Questions that people ask in public, and what others answer; off until an admin turns it on.

Everything here was written by strangers.  Nothing is shown before somebody of the desk let it
through; what staff answers is shown at once, as theirs.

    question   pending -> open -> answered (an answer was accepted) ; pending, open -> refused
    answer     pending -> shown                                     ; pending, shown -> refused
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Table, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, RefusedError
from farhand_server.errors import not_found
from farhand_server.knowledge.readers import check_language
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import question_answers, questions, tenants
from farhand_server.wording import check_body, check_line

__all__ = [
    "MAX_PENDING",
    "MAX_QUESTION_CHARS",
    "QUESTIONS_OPEN",
    "Decision",
    "Question",
    "QuestionAnswer",
    "QuestionLine",
    "Writer",
    "accept_answer",
    "answer_question",
    "ask_question",
    "check_questions_open",
    "decide_answer",
    "decide_question",
    "get_question",
    "is_asker",
    "list_questions",
    "list_waiting_answers",
]

QUESTIONS_OPEN: Final = "knowledge.questions"
MAX_QUESTION_CHARS: Final = 4000
# Questions and answers that wait for the desk; whoever floods it is told to come back.
MAX_PENDING: Final = 500
_MAX_ANSWERS: Final = 100
_MAX_NAME_CHARS: Final = 60

Decision = Literal["show", "refuse"]
_SHOWN: Final = ("open", "answered")


class Writer(NamedTuple):
    """Who writes: a name as given, the account where there is one, and whether it is the desk."""

    name: str
    account: str | None = None
    staff: bool = False


class QuestionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer; `body` is Markdown of a stranger."""

    number: int
    question: int
    body: str
    name: str
    staff: bool
    accepted: bool
    state: str
    at: str


class QuestionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A question in a list."""

    number: int
    title: str
    language: str
    name: str
    state: str
    answers: int
    at: str


class Question(QuestionLine, frozen=True, kw_only=True):
    """A question with its answers, the accepted one first; all of it is strangers' text."""

    body: str
    said: list[QuestionAnswer]


async def check_questions_open(c: AsyncConnection, tenant: str) -> None:
    """Refuse where the organisation has no public questions.

    Raises:
        FarhandError: `questions-off`.
    """
    if not await get_setting(c, tenant, QUESTIONS_OPEN, bool, default=False):
        raise FarhandError("questions-off", "public questions are not open here")


async def _next(c: AsyncConnection, tenant: str, table: Table) -> int:
    """Return the next number; one transaction at a time takes one."""
    await c.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())
    highest = await c.scalar(select(func.max(table.c.number)).where(table.c.tenant == tenant))
    return int(highest or 0) + 1


async def _check_room(c: AsyncConnection, tenant: str, table: Table) -> None:
    waiting = and_(table.c.tenant == tenant, table.c.state == "pending")
    if (await c.scalar(select(func.count()).select_from(table).where(waiting)) or 0) >= MAX_PENDING:
        raise FarhandError("questions-full", "too much waits to be looked at", hint="come later")


async def ask_question(
    c: AsyncConnection, relay: Relay, *, title: str, body: str, language: str, writer: Writer
) -> int:
    """Keep a question; it is shown once somebody let it through.  Returns its number.

    Raises:
        FarhandError: `questions-off`, `invalid`, `questions-full`.
    """
    tenant = relay.tenant
    await check_questions_open(c, tenant)
    await _check_room(c, tenant, questions)
    number = await _next(c, tenant, questions)
    await c.execute(
        insert(questions).values(
            tenant=tenant,
            number=number,
            title=check_line(title, "title"),
            body=check_body(body, "question", max_chars=MAX_QUESTION_CHARS),
            language=check_language(language),
            name=check_line(writer.name, "name", max_chars=_MAX_NAME_CHARS),
            account=writer.account,
            state="open" if writer.staff else "pending",
            accepted=None,
            at=relay.stamp(),
        )
    )
    return number


async def answer_question(
    c: AsyncConnection, relay: Relay, *, question: int, body: str, writer: Writer
) -> int:
    """Keep an answer to a question that is shown; returns its number.

    Raises:
        FarhandError: `questions-off`, `not-found`, `invalid`, `questions-full`.
    """
    tenant = relay.tenant
    await check_questions_open(c, tenant)
    await get_question(c, tenant, question)
    await _check_room(c, tenant, question_answers)
    here = and_(question_answers.c.tenant == tenant, question_answers.c.question == question)
    count = await c.scalar(select(func.count()).select_from(question_answers).where(here))
    if (count or 0) >= _MAX_ANSWERS:
        raise FarhandError("questions-full", "this question has answers enough")
    number = await _next(c, tenant, question_answers)
    await c.execute(
        insert(question_answers).values(
            tenant=tenant,
            number=number,
            question=question,
            body=check_body(body, "answer", max_chars=MAX_QUESTION_CHARS),
            name=check_line(writer.name, "name", max_chars=_MAX_NAME_CHARS),
            account=writer.account,
            staff=writer.staff,
            state="shown" if writer.staff else "pending",
            at=relay.stamp(),
        )
    )
    return number


# Reading.


def _count_shown() -> ColumnElement[int]:
    mine = and_(
        question_answers.c.tenant == questions.c.tenant,
        question_answers.c.question == questions.c.number,
        question_answers.c.state == "shown",
    )
    return select(func.count()).select_from(question_answers).where(mine).scalar_subquery()


def _line(row: RowMapping) -> QuestionLine:
    return QuestionLine(**{name: row[name] for name in QuestionLine.__struct_fields__})


async def list_questions(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None = None,
    q: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[QuestionLine]:
    """Return questions, newest first; what is shown, unless the desk names another state."""
    where = [questions.c.tenant == tenant]
    where.append(questions.c.state == state if state else questions.c.state.in_(_SHOWN))
    if before is not None:
        where.append(questions.c.number < before)
    for word in (q or "").replace("\0", "").split()[:10]:
        here = questions.c.title.icontains(word, autoescape=True)
        where.append(or_(here, questions.c.body.icontains(word, autoescape=True)))
    query = select(*questions.c, _count_shown().label("answers")).where(*where)
    query = query.order_by(questions.c.number.desc()).limit(limit)
    return [_line(row) for row in (await c.execute(query)).mappings()]


async def get_question(
    c: AsyncConnection, tenant: str, number: int, *, desk: bool = False
) -> Question:
    """Return a question with its answers.

    Args:
        c: any connection.
        tenant: organisation.
        number: of the question.
        desk: whether what waits or was refused is shown as well.

    Raises:
        FarhandError: `not-found`.
    """
    where = [questions.c.tenant == tenant, questions.c.number == number]
    said = [question_answers.c.tenant == tenant, question_answers.c.question == number]
    if not desk:
        where.append(questions.c.state.in_(_SHOWN))
        said.append(question_answers.c.state == "shown")
    query = select(*questions.c, _count_shown().label("answers")).where(*where)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("question", str(number))
    order = select(question_answers).where(*said).order_by(question_answers.c.number)
    answers = [
        _answer(one, row["accepted"]) for one in (await c.execute(order.limit(200))).mappings()
    ]
    return Question(
        body=row["body"],
        said=sorted(answers, key=lambda one: not one.accepted),
        **msgspec.structs.asdict(_line(row)),
    )


def _answer(row: RowMapping, accepted: int | None) -> QuestionAnswer:
    names = [name for name in QuestionAnswer.__struct_fields__ if name != "accepted"]
    return QuestionAnswer(accepted=row["number"] == accepted, **{name: row[name] for name in names})


async def list_waiting_answers(
    c: AsyncConnection, tenant: str, *, limit: int = 50
) -> list[QuestionAnswer]:
    """Return answers that wait for the desk, oldest first."""
    where = and_(question_answers.c.tenant == tenant, question_answers.c.state == "pending")
    query = select(question_answers).where(where).order_by(question_answers.c.number).limit(limit)
    return [_answer(row, None) for row in (await c.execute(query)).mappings()]


# Deciding.


async def decide_question(
    c: AsyncConnection, relay: Relay, *, number: int, decision: Decision, actor: str
) -> None:
    """Show a question, or refuse it.

    Raises:
        FarhandError: `not-found`.
    """
    state = "open" if decision == "show" else "refused"
    found = await get_question(c, relay.tenant, number, desk=True)
    if decision == "show" and found.state == "answered":
        return
    await _decide(c, relay, questions, number, {"state": state}, actor)
    await relay.audit.append(c, actor=actor, action=f"question.{decision}", subject=str(number))


async def decide_answer(
    c: AsyncConnection, relay: Relay, *, number: int, decision: Decision, actor: str
) -> None:
    """Show an answer, or refuse it; one that was accepted is that no more.

    Raises:
        FarhandError: `not-found`.
    """
    state = "shown" if decision == "show" else "refused"
    await _decide(c, relay, question_answers, number, {"state": state}, actor)
    await relay.audit.append(c, actor=actor, action=f"answer.{decision}", subject=str(number))
    if decision == "refuse":
        mine = and_(questions.c.tenant == relay.tenant, questions.c.accepted == number)
        await c.execute(update(questions).where(mine).values(accepted=None, state="open"))


async def _decide(
    c: AsyncConnection,
    relay: Relay,
    table: Table,
    number: int,
    values: dict[str, str],
    actor: str,
) -> None:
    mine = and_(table.c.tenant == relay.tenant, table.c.number == number)
    given = {**values, "decided_by": actor, "decided_at": relay.stamp()}
    if (await c.execute(update(table).where(mine).values(given))).rowcount != 1:
        raise not_found("question" if table is questions else "answer", str(number))


async def is_asker(c: AsyncConnection, tenant: str, question: int, *, account: str) -> bool:
    """Tell whether this account asked a question."""
    query = select(questions.c.account).where(
        questions.c.tenant == tenant, questions.c.number == question
    )
    return await c.scalar(query) == account


async def accept_answer(
    c: AsyncConnection, relay: Relay, *, question: int, answer: int, account: str | None
) -> None:
    """Accept an answer that is shown: its question's writer does, or the desk.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        question: number.
        answer: number.
        account: whose question it must be; None for the desk.

    Raises:
        FarhandError: `not-found`; `not-permitted` for somebody else's question.
    """
    tenant = relay.tenant
    found = await get_question(c, tenant, question)
    if all(one.number != answer for one in found.said):
        raise not_found("answer", str(answer))
    mine = and_(questions.c.tenant == tenant, questions.c.number == question)
    asked_by = await c.scalar(select(questions.c.account).where(mine))
    if account is not None and asked_by != account:
        raise RefusedError("not-permitted", "somebody else asked this question")
    await c.execute(update(questions).where(mine).values(accepted=answer, state="answered"))
