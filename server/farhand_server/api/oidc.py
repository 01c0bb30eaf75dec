"""Routes of signing in with an account elsewhere; `accounts.oidc` says how the steps follow.

Two of them are opened by a browser and answer with redirects: `begin` and `callback`.  The cookie
between them binds the way to this browser; it is for these paths alone, and no script reads it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.accounts.oidc import OIDC_COOKIE, OIDC_PATH, OidcBegun, make_oidc
from farhand_server.accounts.oidc_settings import OidcSettings, oidc_settings, set_oidc
from farhand_server.accounts.signin import PendingSignIn, SignedIn
from farhand_server.accounts.steps import MAX_STEP_CHARS
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.signing_in import sign_in_answer

__all__ = ["AREA"]

_COOKIE_S: Final = 600
_NEVER: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Farhand</title>
<p>Type this where you began to sign in, and nowhere else. It works once, for five minutes:
<pre>{ticket}</pre></html>
"""

_Anything = Request[Any, Any, Any]
_Secret = Annotated[str, msgspec.Meta(max_length=MAX_STEP_CHARS)]
_Text = Annotated[str, msgspec.Meta(max_length=400)]
_State = Annotated[str, QueryParameter(name="state", max_length=MAX_STEP_CHARS)]
_Code = Annotated[str, QueryParameter(name="code", max_length=4000)]


class OidcWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the ticket is to go (empty: it is shown), and S256 of the verifier."""

    redirect: _Text = ""
    state: _Text = ""
    challenge: _Text


class OidcTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came back, and the verifier."""

    code: _Secret
    verifier: _Text


class OidcController(Controller):
    """Signing in with an account elsewhere."""

    path = "/sign-in/oidc"

    @post("/", action=PUBLIC, status_code=200, keep_answer=False)
    async def begin(
        self, request: _Anything, relay: FromRelay, data: JSONBody[OidcWish]
    ) -> Response[OidcBegun]:
        """Return the address that a browser opens."""
        begun = await relay.service(make_oidc).begin(
            redirect=data.redirect,
            state=data.state,
            challenge=data.challenge,
            address=caller_address(request, relay),
        )
        return Response(begun, headers=_NEVER)

    @get("/begin/{step:str}", action=PUBLIC)
    async def depart(
        self, request: _Anything, relay: FromRelay, step: FromPath[str]
    ) -> Response[bytes]:
        """Send the browser to the provider."""
        departure = await relay.service(make_oidc).depart(
            step[: MAX_STEP_CHARS + 1], address=caller_address(request, relay)
        )
        secure = "; Secure" if relay.settings.url.startswith("https:") else ""
        cookie = (
            f"{OIDC_COOKIE}={departure.cookie}; Path={OIDC_PATH}; Max-Age={_COOKIE_S}; "
            f"HttpOnly; SameSite=Lax{secure}"
        )
        headers = {**_NEVER, "Location": departure.address, "Set-Cookie": cookie}
        return Response(b"", status_code=302, headers=headers, media_type="text/plain")

    @get("/callback", action=PUBLIC)
    async def arrive(
        self, request: _Anything, relay: FromRelay, came_with: _State = "", code: _Code = ""
    ) -> Response[bytes]:
        """Take the browser back from the provider, and send it on."""
        arrival = await relay.service(make_oidc).arrive(
            state=came_with,
            code=code,
            cookie=request.cookies.get(OIDC_COOKIE, "")[:MAX_STEP_CHARS],
            address=caller_address(request, relay),
        )
        headers = {**_NEVER, "Set-Cookie": f"{OIDC_COOKIE}=; Path={OIDC_PATH}; Max-Age=0"}
        if arrival.address:
            headers["Location"] = arrival.address
            return Response(b"", status_code=302, headers=headers, media_type="text/plain")
        headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        page = _PAGE.format(ticket=arrival.ticket).encode()
        return Response(page, headers=headers, media_type="text/html; charset=utf-8")

    @post("/finish", action=PUBLIC, status_code=200, keep_answer=False)
    async def finish(
        self, request: _Anything, relay: FromRelay, data: JSONBody[OidcTicket]
    ) -> Response[SignedIn | PendingSignIn]:
        """Exchange a ticket for a sign-in."""
        answer = await relay.service(make_oidc).finish(
            ticket=data.code, verifier=data.verifier, address=caller_address(request, relay)
        )
        return sign_in_answer(answer)


class OidcSettingsController(Controller):
    """The provider, as an admin sets it; the secret itself is never here."""

    path = "/sign-in-settings/oidc"

    @get("/", action="signin.settings")
    async def show(self, relay: FromRelay) -> OidcSettings:
        """Return what is set."""
        async with relay.db.read() as c:
            return await oidc_settings(c, relay.tenant)

    @post("/", action="signin.settings", status_code=200)
    async def change(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[OidcSettings]
    ) -> OidcSettings:
        """Set the provider; an empty issuer switches this off."""
        async with relay.db.write() as c:
            await set_oidc(c, relay, data, actor=actor.name)
            return await oidc_settings(c, relay.tenant)


AREA = Area(
    name="oidc",
    controllers=[OidcController, OidcSettingsController],
    statuses={
        "oidc-off": 404,
        "oidc-over": 410,
        "oidc-refused": 400,
        "oidc-provider": 502,
        "oidc-secret": 500,
    },
)
