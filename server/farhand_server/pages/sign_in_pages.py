"""Signing in on pages: a link by mail, then the second factor of who has one; and signing out.

    /sign-in --mail--> link --its button--> signed in
                                `---------> /sign-in/second --code, or key--> signed in

A code of an app and a recovery code are typed; a security key needs the browser's scripts
(`scripts/keys.js`), and whoever has them switched off takes a code.  `/forgot` is for those who
sign in elsewhere with a password: what it mails leads to `/reset/TOKEN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.instants import parse_instant
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.accounts.links import make_links
from farhand_server.accounts.resets import make_resets
from farhand_server.accounts.security_keys import MAX_CREDENTIAL_CHARS
from farhand_server.accounts.signin import PendingSignIn, SignedIn, make_signin
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.pages.routing import Reading, look, see_other
from farhand_server.pages.visitor import read_form, session_cookie
from farhand_server.relay import Relay

__all__ = ["SignInPages", "key_answer"]

_Anything = Request[Any, Any, Any]
_KINDS: Final = ("totp", "webauthn", "recovery")


def key_answer(form: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the step and the answer of a security key, as the script of the page wrote it.

    Raises:
        UsageError: `invalid`.
    """
    text = form.get("credential", "")
    try:
        credential = msgspec.json.decode(text[: MAX_CREDENTIAL_CHARS + 1], type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError("invalid", "this is no security key's answer") from error
    return form.get("step", ""), credential


def _welcome(relay: Relay, answer: SignedIn) -> Response[Any]:
    left_s = (parse_instant(answer.expires_at) - relay.now()).total_seconds()
    cookie = session_cookie(relay, answer.token, int(max(left_s, 1)))
    # Who must have a second factor and has none can do nothing before she has one.
    return see_other("/my/security" if answer.needs_factor else "/my", [cookie])


def _second(reading: Reading, pending: str, kinds: Sequence[str], *, wrong: bool) -> Response[Any]:
    return reading.page(
        "second", status=403 if wrong else 200, pending=pending, kinds=kinds, wrong=wrong
    )


class SignInPages(Controller):
    """Signing in and out."""

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
        """Sign in, once for each link, or ask for the second factor."""
        form = await read_form(request, relay)
        answer = await relay.service(make_links).use(
            form.get("token", ""), address=caller_address(request, relay)
        )
        if isinstance(answer, SignedIn):
            return _welcome(relay, answer)
        return self._pending(await look(request, relay), answer)

    def _pending(self, reading: Reading, answer: PendingSignIn) -> Response[Any]:
        return _second(reading, answer.pending, answer.factors, wrong=False)

    @post("/sign-in/second", action=PUBLIC, include_in_schema=False)
    async def finish(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Take the second factor; a wrong one may be tried again, a few times."""
        form = await read_form(request, relay)
        pending = form.get("pending", "")
        is_key = "credential" in form
        try:
            answer = await relay.service(make_signin).finish(
                pending,
                address=caller_address(request, relay),
                code=None if is_key else form.get("code", ""),
                key=key_answer(form) if is_key else None,
            )
        except FarhandError as error:
            if error.code != "factor-wrong":
                raise
            kinds = [kind for kind in _KINDS if kind in form.get("kinds", "").split()]
            return _second(await look(request, relay), pending, kinds, wrong=True)
        return _welcome(relay, answer)

    @post("/sign-in/key", action=PUBLIC, include_in_schema=False)
    async def ask_key(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show the page on which a security key signs."""
        form = await read_form(request, relay)
        pending = form.get("pending", "")
        challenge = await relay.service(make_signin).ask_key(
            pending, address=caller_address(request, relay)
        )
        reading = await look(request, relay)
        return reading.page(
            "key",
            script=True,
            action="/sign-in/second",
            verb="get",
            step=challenge.step,
            options=msgspec.json.encode(challenge.options).decode(),
            pending=pending,
            kinds=form.get("kinds", ""),
        )

    @get("/forgot", action=PUBLIC, include_in_schema=False)
    async def forgot(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Ask whose password was lost."""
        reading = await look(request, relay)
        return reading.page("forgot", sent=False)

    @post("/forgot", action=PUBLIC, include_in_schema=False)
    async def send_reset(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Mail a link that sets a new password; what is answered is always the same."""
        form = await read_form(request, relay)
        address = caller_address(request, relay)
        relay.service(make_resets).ask(form.get("name", ""), address=address)
        reading = await look(request, relay)
        return reading.page("forgot", sent=True)

    @post("/sign-out", action=PUBLIC, include_in_schema=False)
    async def sign_out(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """End the sign-in of this browser."""
        await read_form(request, relay)
        reading = await look(request, relay)
        if reading.visitor.actor is not None:
            await relay.service(make_signin).sign_out(reading.visitor.actor)
        return see_other("/", [session_cookie(relay, "", 0)])
