"""Pages that a mail leads to.  Opening one changes nothing, because programs open links too.

Each shows a form; what the form posts is done once, with the token that the link holds.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.accounts.resets import make_resets
from farhand_server.accounts.signin import make_signin
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.measures.surveys import answer_survey, question_of
from farhand_server.pages.routing import look
from farhand_server.pages.visitor import read_form
from farhand_server.people.proofs import prove, read_proof

__all__ = ["LinkPages"]

_Anything = Request[Any, Any, Any]


class LinkPages(Controller):
    """Proving an address, a new password, a survey."""

    @get("/verify/{token:str}", action=PUBLIC, include_in_schema=False)
    async def show_proof(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Show which address is to be proved."""
        reading = await look(request, relay)
        async with relay.db.read() as c:
            proof = await read_proof(c, relay, token)
        return reading.page("verify", address=proof.address, token=token, done=False)

    @post("/verify", action=PUBLIC, include_in_schema=False)
    async def prove(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Prove an address, once."""
        form = await read_form(request, relay)
        relay.service(make_signin).count_try(caller_address(request, relay))
        async with relay.db.write() as c:
            proof = await prove(c, relay, form.get("token", ""))
        reading = await look(request, relay)
        return reading.page("verify", address=proof.address, token="", done=True)

    @get("/reset/{token:str}", action=PUBLIC, include_in_schema=False)
    async def show_reset(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Ask for a new password."""
        reading = await look(request, relay)
        return reading.page("reset", token=token, done=False)

    @post("/reset", action=PUBLIC, include_in_schema=False)
    async def reset(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Set a new password, once for each link."""
        form = await read_form(request, relay)
        await relay.service(make_resets).use(
            form.get("token", ""),
            form.get("password", ""),
            address=caller_address(request, relay),
        )
        reading = await look(request, relay)
        return reading.page("reset", token="", done=True)

    @get("/csat/{token:str}", action=PUBLIC, include_in_schema=False)
    async def show_survey(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Ask how content somebody is."""
        reading = await look(request, relay)
        async with relay.db.read() as c:
            question = await question_of(c, relay, token)
        return reading.page("survey", question=question, token=token)

    @post("/csat", action=PUBLIC, include_in_schema=False)
    async def answer(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Take the answer, once."""
        form = await read_form(request, relay)
        relay.service(make_signin).count_try(caller_address(request, relay))
        score = form.get("score", "")
        if score not in ("1", "2", "3", "4", "5"):
            raise UsageError("invalid", "an answer is 1 to 5")
        async with relay.db.write() as c:
            question = await answer_survey(
                c,
                relay,
                token=form.get("token", ""),
                score=int(score),
                comment=form.get("comment", "").replace("\r\n", "\n"),
            )
        reading = await look(request, relay)
        return reading.page("survey", question=question, token="")
