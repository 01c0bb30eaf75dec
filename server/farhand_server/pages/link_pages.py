"""Pages that a mail leads to.  Opening one changes nothing, because programs open links too.

Each shows a form; what the form posts is done once, with the token that the link holds.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath

from farhand_protocol.errors import UsageError
from farhand_protocol.instants import parse_instant
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.accounts.links import make_links
from farhand_server.accounts.resets import make_resets
from farhand_server.accounts.signin import PendingSignIn, make_signin
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.errors import not_permitted
from farhand_server.measures.surveys import answer_survey, question_of
from farhand_server.pages.routing import look, see_other
from farhand_server.pages.visitor import read_form, session_cookie
from farhand_server.people.proofs import prove, read_proof

__all__ = ["LinkPages"]

_Anything = Request[Any, Any, Any]


class LinkPages(Controller):
    """Signing in, proving an address, a new password, a survey."""

    @get("/sign-in", action=PUBLIC, include_in_schema=False)
    async def ask(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Ask for the address to which the link goes."""
        reading = await look(request, relay)
        return reading.page("sign_in", sent=False)

    @post("/sign-in", action=PUBLIC, include_in_schema=False)
    async def send(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Mail a link; what is answered is always the same."""
        form = await read_form(request, relay)
        relay.service(make_links).ask(form.get("mail", ""), address=caller_address(request, relay))
        reading = await look(request, relay)
        return reading.page("sign_in", sent=True)

    @get("/sign-in/{token:str}", action=PUBLIC, include_in_schema=False)
    async def open_link(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Show the button that signs in."""
        reading = await look(request, relay)
        return reading.page("use_link", action="/sign-in/use", token=token)

    @post("/sign-in/use", action=PUBLIC, include_in_schema=False)
    async def use_link(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Sign in, once for each link."""
        form = await read_form(request, relay)
        answer = await relay.service(make_links).use(
            form.get("token", ""), address=caller_address(request, relay)
        )
        if isinstance(answer, PendingSignIn):
            raise not_permitted("an account with a second factor signs in with its console")
        left_s = (parse_instant(answer.expires_at) - relay.now()).total_seconds()
        return see_other("/my", [session_cookie(relay, answer.token, int(max(left_s, 1)))])

    @post("/sign-out", action=PUBLIC, include_in_schema=False)
    async def sign_out(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """End the sign-in of this browser."""
        await read_form(request, relay)
        reading = await look(request, relay)
        if reading.visitor.actor is not None:
            await relay.service(make_signin).sign_out(reading.visitor.actor)
        return see_other("/", [session_cookie(relay, "", 0)])

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
