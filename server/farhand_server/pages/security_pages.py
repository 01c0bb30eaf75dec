"""One's own second factors: authenticator apps, security keys, recovery codes.

Whoever has a factor shows a code of it before anything changes (`accounts.factors.require`).  The
secret of an app and recovery codes are on one page, once.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post

from farhand_server.accounts.authorisation import PUBLIC, Actor, authorise
from farhand_server.accounts.factors import make_factors
from farhand_server.accounts.security_keys import make_security_keys
from farhand_server.api.guard import FromRelay
from farhand_server.pages.routing import Reading, look, see_other
from farhand_server.pages.sign_in_pages import key_answer
from farhand_server.pages.visitor import read_form
from farhand_server.relay import Relay

__all__ = ["SecurityPages"]

_Anything = Request[Any, Any, Any]
_HERE = "/my/security"


async def _form(request: _Anything, relay: Relay) -> tuple[Reading, Actor, dict[str, str]]:
    """Return who posts what; a try of her factors is counted before anything is looked at."""
    form = await read_form(request, relay)
    reading = await look(request, relay)
    actor = reading.visitor.signed_in()
    authorise(actor, "me.write")
    relay.service(make_factors).count_try(actor.account)
    return reading, actor, form


def _codes(reading: Reading, actor: Actor, codes: list[str]) -> Response[Any]:
    # A sign-in that had to get a factor first may do nothing else: the next one may.
    again = "*" not in actor.scopes
    if not codes and not again:
        return see_other(_HERE)
    return reading.page("codes", codes=codes, again=again)


class SecurityPages(Controller):
    """One's second factors."""

    path = _HERE

    @get("/", action=PUBLIC, include_in_schema=False)
    async def show(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """List one's factors, and how to add one."""
        reading = await look(request, relay)
        actor = reading.visitor.signed_in()
        authorise(actor, "me.read")
        factors = relay.service(make_factors)
        async with relay.db.read() as c:
            found = await factors.of(c, actor.account)
            left = await factors.recovery_left(c, actor.account)
        return reading.page("security", factors=found, left=left, must="*" not in actor.scopes)

    @post("/app", action=PUBLIC, include_in_schema=False)
    async def begin_app(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show the secret for an authenticator app; it counts once a code of it came."""
        reading, actor, form = await _form(request, relay)
        factors = relay.service(make_factors)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, form.get("code"))
            made = await factors.begin_totp(
                c, account=actor.account, name=actor.name, label=form.get("label", "")
            )
        factors.forgive(actor.account)
        return reading.page("app", made=made)

    @post("/app/confirm", action=PUBLIC, include_in_schema=False)
    async def confirm_app(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Take the app's first code."""
        reading, actor, form = await _form(request, relay)
        factors = relay.service(make_factors)
        async with relay.db.write() as c:
            codes = await factors.confirm_totp(
                c,
                account=actor.account,
                name=actor.name,
                factor=form.get("factor", ""),
                code=form.get("code", ""),
            )
        factors.forgive(actor.account)
        return _codes(reading, actor, codes)

    @post("/key", action=PUBLIC, include_in_schema=False)
    async def begin_key(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show the page on which a new security key answers."""
        reading, actor, form = await _form(request, relay)
        factors = relay.service(make_factors)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, form.get("code"))
            asked = await relay.service(make_security_keys).begin(
                c, account=actor.account, name=actor.name, label=form.get("label", "")
            )
        factors.forgive(actor.account)
        return reading.page(
            "key",
            script=True,
            action=f"{_HERE}/key/finish",
            verb="create",
            step=asked.step,
            options=msgspec.json.encode(asked.options).decode(),
            pending="",
            kinds="",
        )

    @post("/key/finish", action=PUBLIC, include_in_schema=False)
    async def finish_key(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Take a new security key's answer."""
        reading, actor, form = await _form(request, relay)
        step, credential = key_answer(form)
        async with relay.db.write() as c:
            codes = await relay.service(make_security_keys).finish(
                c, account=actor.account, name=actor.name, step=step, credential=credential
            )
        relay.service(make_factors).forgive(actor.account)
        return _codes(reading, actor, codes)

    @post("/recovery", action=PUBLIC, include_in_schema=False)
    async def renew(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Make new recovery codes; the old ones end."""
        reading, actor, form = await _form(request, relay)
        factors = relay.service(make_factors)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, form.get("code"))
            codes = await factors.renew_recovery(c, account=actor.account, name=actor.name)
        factors.forgive(actor.account)
        return _codes(reading, actor, codes)

    @post("/remove", action=PUBLIC, include_in_schema=False)
    async def remove(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Remove a factor."""
        _, actor, form = await _form(request, relay)
        factors = relay.service(make_factors)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, form.get("code"))
            await factors.remove(
                c, account=actor.account, name=actor.name, factor=form.get("factor", "")
            )
        factors.forgive(actor.account)
        return see_other(_HERE)
