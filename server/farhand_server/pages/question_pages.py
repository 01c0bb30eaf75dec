"""Pages of public questions: read by anybody, written to by anybody, shown once the desk agreed.

Closed until an admin opens them (`farhand kb settings`), and then not there at all.  What
strangers wrote is shown as plain text: no markup of theirs, no link that can be followed.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, QueryParameter

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.api.questions import writer_of
from farhand_server.errors import not_permitted
from farhand_server.knowledge.questions import (
    Writer,
    accept_answer,
    answer_question,
    ask_question,
    check_questions_open,
    get_question,
    is_asker,
    list_questions,
)
from farhand_server.pages.routing import look, see_other
from farhand_server.pages.visitor import read_form
from farhand_server.relay import Relay

__all__ = ["QuestionPages"]

_Anything = Request[Any, Any, Any]
_SHOWN: Final = 30


def _count(relay: Relay, request: _Anything, writer: Writer | None = None) -> None:
    rates = relay.service(make_public_rates)
    address = caller_address(request, relay)
    if writer is None:
        rates.reads.take(address)
    elif not writer.staff:
        rates.writes.take(address)


class QuestionPages(Controller):
    """Questions and answers that everybody may read."""

    path = "/questions"

    @get("/", action=PUBLIC, include_in_schema=False)
    async def list_all(
        self,
        request: _Anything,
        relay: FromRelay,
        q: Annotated[str, QueryParameter(name="q", max_length=200)] = "",
        before: Annotated[int | None, QueryParameter(name="before", ge=1)] = None,
    ) -> Response[Any]:
        """List what is shown, newest first."""
        _count(relay, request)
        reading = await look(request, relay)
        async with relay.db.read() as c:
            await check_questions_open(c, relay.tenant)
            rows = await list_questions(c, relay.tenant, q=q, before=before, limit=_SHOWN + 1)
        more = rows[_SHOWN - 1].number if len(rows) > _SHOWN else 0
        return reading.page("questions", rows=rows[:_SHOWN], q=q, more=more)

    @get("/ask", action=PUBLIC, include_in_schema=False)
    async def new(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show the form of a question."""
        _count(relay, request)
        reading = await look(request, relay)
        async with relay.db.read() as c:
            await check_questions_open(c, relay.tenant)
        return reading.page("ask", sent=False)

    @post("/ask", action=PUBLIC, include_in_schema=False)
    async def ask(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Take a question; it waits for the desk."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        writer = await writer_of(relay, reading.visitor.actor, form.get("name", ""))
        _count(relay, request, writer)
        async with relay.db.write() as c:
            number = await ask_question(
                c,
                relay,
                title=form.get("title", ""),
                body=form.get("body", ""),
                language=reading.visitor.language,
                writer=writer,
            )
        return see_other(f"/questions/{number}") if writer.staff else reading.page("ask", sent=True)

    @get("/{number:int}", action=PUBLIC, include_in_schema=False)
    async def show(
        self, request: _Anything, relay: FromRelay, number: FromPath[int]
    ) -> Response[Any]:
        """Show a question and its answers, the accepted one first."""
        _count(relay, request)
        reading = await look(request, relay)
        actor = reading.visitor.actor
        async with relay.db.read() as c:
            await check_questions_open(c, relay.tenant)
            found = await get_question(c, relay.tenant, number)
            is_hers = actor is not None and await is_asker(
                c, relay.tenant, number, account=actor.account
            )
        sent = request.query_params.get("sent") == "1"
        return reading.page("question", question=found, is_hers=is_hers, sent=sent)

    @post("/{number:int}/answers", action=PUBLIC, include_in_schema=False)
    async def answer(
        self, request: _Anything, relay: FromRelay, number: FromPath[int]
    ) -> Response[Any]:
        """Take an answer; it waits for the desk."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        writer = await writer_of(relay, reading.visitor.actor, form.get("name", ""))
        _count(relay, request, writer)
        body = form.get("body", "")
        async with relay.db.write() as c:
            await answer_question(c, relay, question=number, body=body, writer=writer)
        return see_other(f"/questions/{number}" + ("" if writer.staff else "?sent=1"))

    @post("/{number:int}/accept", action=PUBLIC, include_in_schema=False)
    async def accept(
        self, request: _Anything, relay: FromRelay, number: FromPath[int]
    ) -> Response[Any]:
        """Say which answer it was; whoever asked does."""
        form = await read_form(request, relay)
        reading = await look(request, relay)
        actor = reading.visitor.signed_in()
        chosen = form.get("answer", "")
        if not (chosen.isascii() and chosen.isdigit() and len(chosen) < 10):
            raise UsageError("invalid", "an answer is named by its number")
        async with relay.db.write() as c:
            await check_questions_open(c, relay.tenant)
            if not await is_asker(c, relay.tenant, number, account=actor.account):
                raise not_permitted("somebody else asked this question")
            await accept_answer(
                c, relay, question=number, answer=int(chosen), account=actor.account
            )
        return see_other(f"/questions/{number}")
