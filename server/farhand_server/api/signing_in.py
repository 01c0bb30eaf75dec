"""Routes of signing in beyond the first step: second factors, links, resets, the list of sign-ins.

The public routes here answer alike whether a name, an address or a link exists; what they take is
posted, never in a path, so that no log of addresses holds it.  None of them is kept for a repeated
request (`keep_answer=False`).
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import PUBLIC, ROLES, Role
from farhand_server.accounts.directory import Account, make_directory
from farhand_server.accounts.factors import Factor, NewTotp, make_factors
from farhand_server.accounts.links import LINKS_FOR, LinksFor, make_links
from farhand_server.accounts.resets import ResetToken, make_resets
from farhand_server.accounts.security_keys import (
    MAX_CREDENTIAL_CHARS,
    Challenge,
    make_security_keys,
)
from farhand_server.accounts.sign_ins import SignInLine, make_sign_ins
from farhand_server.accounts.signin import FACTOR_ROLES, PendingSignIn, SignedIn, make_signin
from farhand_server.accounts.steps import MAX_STEP_CHARS
from farhand_server.accounts.tiers import HIGHEST_TIER, set_tier_rights, tier_rights
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Page
from farhand_server.errors import not_found
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay

__all__ = ["AREA", "sign_in_answer"]

_NEVER: Final = {"Cache-Control": "no-store"}
_ANY_LITERAL: Any = LinksFor

_Anything = Request[Any, Any, Any]
_Secret = Annotated[str, msgspec.Meta(max_length=MAX_STEP_CHARS)]
_Code = Annotated[str, msgspec.Meta(max_length=64)]
_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Tier = Annotated[int, msgspec.Meta(ge=1, le=HIGHEST_TIER)]


class _Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every request."""


class SecondFactor(_Asked, frozen=True, kw_only=True):
    """A code, or `step` and `credential` of a security key."""

    pending: _Secret
    code: _Code | None = None
    step: _Secret | None = None
    credential: dict[str, Any] | None = None


class PendingOnly(_Asked, frozen=True, kw_only=True):
    """Which sign-in a security key is to finish."""

    pending: _Secret


class LinkWish(_Asked, frozen=True, kw_only=True):
    """Where the link is to go."""

    mail: _Line


class LinkToken(_Asked, frozen=True, kw_only=True):
    """What the link held."""

    token: _Secret


class ForgottenPassword(_Asked, frozen=True, kw_only=True):
    """Whose password was lost."""

    name: _Line


class NewPassword(_Asked, frozen=True, kw_only=True):
    """What the reset link held, and the password from now on."""

    token: _Secret
    password: Annotated[str, msgspec.Meta(max_length=1000)]


class NewFactor(_Asked, frozen=True, kw_only=True):
    """What the owner calls a factor; `code` is of one that she has, where she has any."""

    label: _Line
    code: _Code | None = None


class Code(_Asked, frozen=True, kw_only=True):
    """A code of an authenticator app, or a recovery code."""

    code: _Code | None = None


class KeyAnswer(_Asked, frozen=True, kw_only=True):
    """A security key's answer."""

    step: _Secret
    credential: dict[str, Any]


class Tier(_Asked, frozen=True, kw_only=True):
    """1 to 3."""

    tier: _Tier


class SettingsWish(_Asked, frozen=True, kw_only=True):
    """What is to change; what is left out stays."""

    factor_roles: list[Role] | None = None
    links_for: LinksFor | None = None
    tier_rights: dict[str, int] | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to everybody who asks for a mail."""

    message: str = "if there is somebody to write to, a mail is on its way"


class FactorList(msgspec.Struct, frozen=True, kw_only=True):
    """One's factors, and how many recovery codes are left."""

    items: list[Factor]
    recovery_left: int
    next: str | None = None


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """New recovery codes, shown once; empty where there are some already."""

    recovery_codes: list[str]


class SignInSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which roles must have a second factor, who may sign in by link, what needs which tier."""

    factor_roles: list[str]
    links_for: str
    tier_rights: dict[str, int]


def sign_in_answer(answer: SignedIn | PendingSignIn) -> Response[SignedIn | PendingSignIn]:
    """Answer a sign-in: 200 signed in, 202 a second factor is due."""
    status = 200 if isinstance(answer, SignedIn) else 202
    return Response(answer, status_code=status, headers=_NEVER)


def _checked(credential: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(credential)) > MAX_CREDENTIAL_CHARS:
        raise UsageError("invalid", "no security key's answer is that long")
    return credential


class SecondStepController(Controller):
    """What is done before one is signed in."""

    path = "/sign-in"

    @post("/second", action=PUBLIC, status_code=200, keep_answer=False)
    async def second(
        self, request: _Anything, relay: FromRelay, data: JSONBody[SecondFactor]
    ) -> Response[SignedIn | PendingSignIn]:
        """Finish a pending sign-in with a second factor."""
        key = None
        if data.step is not None and data.credential is not None:
            key = (data.step, _checked(data.credential))
        if (data.code is None) == (key is None):
            raise UsageError("invalid", "give a code, or a security key's answer")
        signed_in = await relay.service(make_signin).finish(
            data.pending, address=caller_address(request, relay), code=data.code, key=key
        )
        return sign_in_answer(signed_in)

    @post("/second/key", action=PUBLIC, status_code=200, keep_answer=False)
    async def ask_key(
        self, request: _Anything, relay: FromRelay, data: JSONBody[PendingOnly]
    ) -> Response[Challenge]:
        """Return what a security key is asked."""
        challenge = await relay.service(make_signin).ask_key(
            data.pending, address=caller_address(request, relay)
        )
        return Response(challenge, headers=_NEVER)

    @post("/link", action=PUBLIC, status_code=202, keep_answer=False)
    async def ask_link(
        self, request: _Anything, relay: FromRelay, data: JSONBody[LinkWish]
    ) -> Sent:
        """Mail a link that signs in; the answer is always the same."""
        relay.service(make_links).ask(data.mail, address=caller_address(request, relay))
        return Sent()

    @post("/link/use", action=PUBLIC, status_code=200, keep_answer=False)
    async def use_link(
        self, request: _Anything, relay: FromRelay, data: JSONBody[LinkToken]
    ) -> Response[SignedIn | PendingSignIn]:
        """Sign in with what a link held, once."""
        answer = await relay.service(make_links).use(
            data.token, address=caller_address(request, relay)
        )
        return sign_in_answer(answer)

    @post("/forgot", action=PUBLIC, status_code=202, keep_answer=False)
    async def forgot(
        self, request: _Anything, relay: FromRelay, data: JSONBody[ForgottenPassword]
    ) -> Sent:
        """Mail a link that sets a new password; the answer is always the same."""
        relay.service(make_resets).ask(data.name, address=caller_address(request, relay))
        return Sent()

    @post("/reset", action=PUBLIC, status_code=204, keep_answer=False)
    async def reset(
        self, request: _Anything, relay: FromRelay, data: JSONBody[NewPassword]
    ) -> None:
        """Set a new password; every sign-in of the account ends."""
        await relay.service(make_resets).use(
            data.token, data.password, address=caller_address(request, relay)
        )


class FactorController(Controller):
    """One's own second factors."""

    path = "/me/factors"

    @get("/", action="me.read")
    async def list_factors(self, relay: FromRelay, actor: FromActor) -> FactorList:
        """Return one's factors."""
        factors = relay.service(make_factors)
        async with relay.db.read() as c:
            return FactorList(
                items=await factors.of(c, actor.account),
                recovery_left=await factors.recovery_left(c, actor.account),
            )

    @post("/totp", action="me.write", status_code=201, keep_answer=False)
    async def begin_totp(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewFactor]
    ) -> Response[NewTotp]:
        """Return the secret for an authenticator app; it counts once a code of it came."""
        factors = relay.service(make_factors)
        factors.count_try(actor.account)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, data.code)
            made = await factors.begin_totp(
                c, account=actor.account, name=actor.name, label=data.label
            )
        factors.forgive(actor.account)
        return Response(made, status_code=201, headers=_NEVER)

    @post("/totp/{factor:str}/confirm", action="me.write", status_code=200, keep_answer=False)
    async def confirm_totp(
        self, relay: FromRelay, actor: FromActor, factor: FromPath[str], data: JSONBody[Code]
    ) -> Response[RecoveryCodes]:
        """Take the app's first code; the first factor brings recovery codes."""
        factors = relay.service(make_factors)
        factors.count_try(actor.account)
        async with relay.db.write() as c:
            codes = await factors.confirm_totp(
                c,
                account=actor.account,
                name=actor.name,
                factor=factor,
                code=data.code or "",
            )
        factors.forgive(actor.account)
        return Response(RecoveryCodes(recovery_codes=codes), headers=_NEVER)

    @post("/keys", action="me.write", status_code=200, keep_answer=False)
    async def begin_key(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewFactor]
    ) -> Response[Challenge]:
        """Return what a new security key is asked."""
        factors = relay.service(make_factors)
        factors.count_try(actor.account)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, data.code)
            asked = await relay.service(make_security_keys).begin(
                c, account=actor.account, name=actor.name, label=data.label
            )
        factors.forgive(actor.account)
        return Response(asked, headers=_NEVER)

    @post("/keys/finish", action="me.write", status_code=200, keep_answer=False)
    async def finish_key(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[KeyAnswer]
    ) -> Response[RecoveryCodes]:
        """Take a new security key's answer; the first factor brings recovery codes."""
        async with relay.db.write() as c:
            codes = await relay.service(make_security_keys).finish(
                c,
                account=actor.account,
                name=actor.name,
                step=data.step,
                credential=_checked(data.credential),
            )
        return Response(RecoveryCodes(recovery_codes=codes), headers=_NEVER)

    @post("/recovery", action="me.write", status_code=200, keep_answer=False)
    async def renew_recovery(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[Code]
    ) -> Response[RecoveryCodes]:
        """Make new recovery codes, against a code; the old ones end."""
        factors = relay.service(make_factors)
        factors.count_try(actor.account)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, data.code)
            codes = await factors.renew_recovery(c, account=actor.account, name=actor.name)
        factors.forgive(actor.account)
        return Response(RecoveryCodes(recovery_codes=codes), headers=_NEVER)

    @post("/{factor:str}/remove", action="me.write", status_code=204, keep_answer=False)
    async def remove(
        self, relay: FromRelay, actor: FromActor, factor: FromPath[str], data: JSONBody[Code]
    ) -> None:
        """Remove a factor, against a code."""
        factors = relay.service(make_factors)
        factors.count_try(actor.account)
        async with relay.db.write() as c:
            await factors.require(c, actor.account, data.code)
            await factors.remove(c, account=actor.account, name=actor.name, factor=factor)
        factors.forgive(actor.account)


class SignInsController(Controller):
    """Where one is signed in."""

    path = "/me/sign-ins"

    @get("/", action="me.read")
    async def list_mine(self, relay: FromRelay, actor: FromActor) -> Page[SignInLine]:
        """Return one's sign-ins, newest first."""
        async with relay.db.read() as c:
            found = await relay.service(make_sign_ins).of(c, actor.account, mine=actor.token)
        return Page(items=found)

    @post("/{which:str}/end", action="me.write", status_code=204)
    async def end_mine(self, relay: FromRelay, actor: FromActor, which: FromPath[str]) -> None:
        """End one of them, or `all`."""
        async with relay.db.write() as c:
            await relay.service(make_sign_ins).end(
                c, account=actor.account, name=actor.name, which=which, actor=actor.name
            )


class AccountCareController(Controller):
    """What an admin does about somebody's signing in."""

    path = "/accounts/{name:str}"

    @get("/sign-ins", action="account.read")
    async def list_sign_ins(self, relay: FromRelay, name: FromPath[str]) -> Page[SignInLine]:
        """Return where somebody is signed in, newest first."""
        async with relay.db.read() as c:
            account = await _account(c, relay, name)
            found = await relay.service(make_sign_ins).of(c, account.id)
        return Page(items=found)

    @post("/sign-ins/{which:str}/end", action="account.write", status_code=204)
    async def end_sign_in(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], which: FromPath[str]
    ) -> None:
        """End one of them, or `all`."""
        async with relay.db.write() as c:
            account = await _account(c, relay, name)
            await relay.service(make_sign_ins).end(
                c, account=account.id, name=name, which=which, actor=actor.name
            )

    @post("/reset", action="account.write", status_code=200, keep_answer=False)
    async def reset(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str]
    ) -> Response[ResetToken]:
        """Return a link that sets a new password, to hand over."""
        made = await relay.service(make_resets).make(name, actor=actor.name)
        return Response(made, headers=_NEVER)

    @post("/factors/reset", action="account.write", status_code=204)
    async def reset_factors(self, relay: FromRelay, actor: FromActor, name: FromPath[str]) -> None:
        """Take all second factors from an account whose owner lost hers."""
        async with relay.db.write() as c:
            account = await _account(c, relay, name)
            await relay.service(make_factors).reset(
                c, account=account.id, name=name, actor=actor.name
            )

    @post("/tier", action="account.write", status_code=200)
    async def set_tier(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[Tier]
    ) -> Account:
        """Set a technician's tier."""
        async with relay.db.write() as c:
            return await relay.service(make_directory).set_tier(
                c, name, data.tier, actor=actor.name
            )


class SignInSettingsController(Controller):
    """How people sign in here."""

    path = "/sign-in-settings"

    @get("/", action="signin.settings")
    async def show(self, relay: FromRelay) -> SignInSettings:
        """Return what is set."""
        async with relay.db.read() as c:
            return await _settings(c, relay)

    @post("/", action="signin.settings", status_code=200)
    async def change(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[SettingsWish]
    ) -> SignInSettings:
        """Change what is given."""
        async with relay.db.write() as c:
            if data.factor_roles is not None:
                roles = [role for role in ROLES if role in data.factor_roles]
                await set_setting(c, relay, FACTOR_ROLES, roles, actor.name)
            if data.links_for is not None:
                await set_setting(c, relay, LINKS_FOR, data.links_for, actor.name)
            if data.tier_rights is not None:
                await set_tier_rights(c, relay, data.tier_rights, actor=actor.name)
            return await _settings(c, relay)


async def _settings(c: Any, relay: Relay) -> SignInSettings:
    return SignInSettings(
        factor_roles=await get_setting(c, relay.tenant, FACTOR_ROLES, list[str], default=[]),
        links_for=await get_setting(c, relay.tenant, LINKS_FOR, _ANY_LITERAL, default="known"),
        tier_rights=await tier_rights(c, relay.tenant),
    )


async def _account(c: Any, relay: Relay, name: str) -> Account:
    account = await relay.service(make_directory).find(c, name)
    if account is None:
        raise not_found("account", name)
    return account


AREA = Area(
    name="signing in",
    controllers=[
        SecondStepController,
        FactorController,
        SignInsController,
        AccountCareController,
        SignInSettingsController,
    ],
    statuses={"reset-over": 410, "link-over": 410, "factor-taken": 409, "factors-full": 409},
)
