"""Signing in with an account elsewhere: the authorisation code flow, with the relay as the client.

    console or page     begin: where to come back to, and a challenge of its own (PKCE)
      -> browser        GET the begin address: a cookie is set, off to the provider
      -> provider       she signs in there; back with code and state
      -> relay          cookie, state, token, address, account; off to where it began, with a ticket
      -> console, page  finish: the ticket and the verifier: signed in

So a state is good only in the browser that set out with it, and the ticket only for whoever holds
the verifier; a link that somebody else began ends nowhere.  Where there is no browser here (a
console far away), the last page shows the ticket to be typed.

Who comes back is found by issuer and subject; the first time by her verified address, in an allowed
domain, among people whose address here is verified, too.  Nobody becomes an admin or technician by
this: an account there never makes more than a requester, and only if the settings say so.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_server.accounts.directory import Account, is_account_name, make_directory
from farhand_server.accounts.oidc_provider import Claims, Provider
from farhand_server.accounts.oidc_settings import oidc_settings
from farhand_server.accounts.persons import join_person
from farhand_server.accounts.signin import PendingSignIn, SignedIn, make_signin
from farhand_server.accounts.steps import make_steps
from farhand_server.people.people import (
    addresses_of,
    find_person,
    normalise_address,
    person_of_address,
    verify_address,
)
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, oidc_identities

__all__ = ["OIDC_COOKIE", "OIDC_PATH", "Arrival", "Departure", "Oidc", "OidcBegun", "make_oidc"]

OIDC_COOKIE: Final = "farhand_oidc"
OIDC_PATH: Final = "/api/v1/sign-in/oidc"
_ROUND_TRIP: Final = timedelta(minutes=10)
_TICKET: Final = timedelta(minutes=5)
_MAX_REDIRECT_CHARS: Final = 400
_CHALLENGE_CHARS: Final = 43  # base64url of a SHA-256


class OidcBegun(msgspec.Struct, frozen=True, kw_only=True):
    """What the browser opens to set out."""

    url: str


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """Where a browser is sent, and the cookie that it keeps meanwhile."""

    address: str
    cookie: str


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of coming back: an address to go on to, or a ticket to show."""

    address: str
    ticket: str


def make_oidc(relay: Relay) -> Oidc:
    """Return the relay's signing in with accounts elsewhere."""
    return Oidc(relay)


class Oidc:
    """The relay as a client of one provider; one per relay, because it keeps keys."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._steps = relay.service(make_steps)
        self._provider: Provider | None = None

    async def begin(self, *, redirect: str, state: str, challenge: str, address: str) -> OidcBegun:
        """Begin a sign-in.

        Args:
            redirect: where the ticket goes: on this machine, or a page of this relay; empty shows
                it.
            state: given back with the ticket.
            challenge: S256 of the verifier that `finish` will be given.
            address: of the caller.

        Raises:
            FarhandError: `oidc-off`, `oidc-redirect`, `invalid`, `rate-limited`.
        """
        self._relay.service(make_signin).count_try(address)
        await self._known()
        self._check_redirect(redirect)
        if len(challenge) != _CHALLENGE_CHARS or not challenge.isascii():
            raise UsageError("invalid", "the challenge is the base64url of a SHA-256")
        async with self._relay.db.write() as c:
            step = await self._steps.make(
                c,
                "oidc-begin",
                ttl=_ROUND_TRIP,
                state={"redirect": redirect, "state": state, "challenge": challenge},
            )
        return OidcBegun(url=f"{self._relay.settings.url}{OIDC_PATH}/begin/{step}")

    async def depart(self, step: str, *, address: str) -> Departure:
        """Send a browser to the provider; the step is used up by that.

        Raises:
            FarhandError: `oidc-over`, `oidc-off`, `oidc-provider`, `rate-limited`.
        """
        self._relay.service(make_signin).count_try(address)
        provider = await self._known()
        nonce, verifier = self._relay.random(32).hex(), self._relay.random(32).hex()
        cookie = self._relay.random(32).hex()
        async with self._relay.db.write() as c:
            begun = await self._steps.use(c, "oidc-begin", step)
            if begun is None:
                raise _over()
            kept = {
                **begun.state,
                "nonce": nonce,
                "verifier": verifier,
                "cookie": _sha256(cookie),
                "issuer": provider.settings.issuer,
            }
            state = await self._steps.make(c, "oidc", ttl=_ROUND_TRIP, state=kept)
        where = await provider.address(state=state, nonce=nonce, verifier=verifier)
        return Departure(address=where, cookie=cookie)

    async def arrive(self, *, state: str, code: str, cookie: str, address: str) -> Arrival:
        """Take a browser back from the provider.

        Raises:
            FarhandError: `oidc-over` for another browser's, an old or a used state; `oidc-refused`,
                `oidc-unknown`, `oidc-off`, `oidc-provider`, `rate-limited`.
        """
        self._relay.service(make_signin).count_try(address)
        provider = await self._known()
        async with self._relay.db.write() as c:
            step = await self._steps.use(c, "oidc", state)
        if step is None or not hmac.compare_digest(_sha256(cookie), step.state["cookie"]):
            raise _over()
        if step.state["issuer"] != provider.settings.issuer:
            raise _over()
        claims = await provider.claims(
            code=code, nonce=step.state["nonce"], verifier=step.state["verifier"]
        )
        async with self._relay.db.write() as c:
            account = await self._account_of(c, provider, claims)
            ticket = await self._steps.make(
                c,
                "oidc-done",
                ttl=_TICKET,
                account=account.id,
                state={"challenge": step.state["challenge"]},
            )
        redirect = step.state["redirect"]
        if not redirect:
            return Arrival(address="", ticket=ticket)
        query = urlencode({"code": ticket, "state": step.state["state"]})
        return Arrival(address=f"{redirect}?{query}", ticket="")

    async def finish(self, *, ticket: str, verifier: str, address: str) -> SignedIn | PendingSignIn:
        """Exchange a ticket for a sign-in; only whoever began it holds the verifier.

        Raises:
            FarhandError: `oidc-over`, `rate-limited`.
        """
        signin = self._relay.service(make_signin)
        signin.count_try(address)
        async with self._relay.db.write() as c:
            step = await self._steps.use(c, "oidc-done", ticket)
            row = step and await signin.active(c, accounts.c.id == step.account)
            if step is not None and row:
                challenge = create_s256_code_challenge(verifier[:200])
                if hmac.compare_digest(challenge.encode(), step.state["challenge"].encode()):
                    settings = await oidc_settings(c, self._relay.tenant)
                    return await signin.admit(
                        c,
                        row,
                        how="oidc",
                        address=address,
                        factor_due=settings.asks_own_factor,
                    )
        raise _over()

    # Who it is.

    async def _account_of(self, c: AsyncConnection, provider: Provider, claims: Claims) -> Account:
        settings = provider.settings
        query = select(accounts.c.name).join_from(
            oidc_identities,
            accounts,
            (oidc_identities.c.tenant == accounts.c.tenant)
            & (oidc_identities.c.account == accounts.c.id),
        )
        name = await c.scalar(
            query.where(
                oidc_identities.c.tenant == self._relay.tenant,
                oidc_identities.c.issuer == settings.issuer,
                oidc_identities.c.subject == claims.subject,
            )
        )
        directory = self._relay.service(make_directory)
        mail = self._allowed_mail(settings.domains, claims)
        account = await directory.find(c, name) if name else await self._by_mail(c, mail)
        if account is None and settings.makes_requesters:
            account = await self._new_requester(c, mail, claims)
        if account is None or account.disabled_at is not None:
            raise _unknown()
        if name is None:
            await self._remember(c, settings.issuer, claims.subject, account)
        return account

    def _allowed_mail(self, domains: list[str], claims: Claims) -> str:
        """Return the verified address in an allowed domain; asked at every sign-in."""
        try:
            mail = normalise_address("mail", claims.mail)
        except UsageError as error:
            raise _unknown() from error
        if not claims.is_verified or mail.rpartition("@")[2] not in domains:
            raise _unknown()
        return mail

    async def _by_mail(self, c: AsyncConnection, mail: str) -> Account | None:
        person = await find_person(c, self._relay.tenant, "mail", mail)
        if person is None or not person.active or person.account is None:
            return None
        known = await addresses_of(c, self._relay.tenant, person.id)
        if not any(one.value == mail and one.verified_at for one in known):
            return None
        return await self._relay.service(make_directory).find(c, person.account)

    async def _new_requester(self, c: AsyncConnection, mail: str, claims: Claims) -> Account | None:
        person = await find_person(c, self._relay.tenant, "mail", mail)
        if person is not None:
            known = await addresses_of(c, self._relay.tenant, person.id)
            # Somebody else's person, to whom this address was merely added.
            is_hers = any(one.value == mail and one.verified_at for one in known)
            if person.account is not None or not (is_hers or len(known) == 1):
                return None
            if not person.active or person.kind not in ("user", "vendor"):
                return None
        directory = self._relay.service(make_directory)
        if is_account_name(mail) and await directory.find(c, mail) is not None:
            return None  # the name is somebody's, whom nobody has said to be her
        if person is None:
            person = await person_of_address(
                c, self._relay, kind="mail", value=mail, name=claims.name
            )
        await verify_address(c, self._relay, kind="mail", value=mail, actor=person.id)
        name = mail if is_account_name(mail) else person.id
        account = await directory.add(c, name=name, role="requester", actor=person.id)
        await join_person(
            c, self._relay, account=account.id, name=name, person=person.id, actor=person.id
        )
        return account

    async def _remember(
        self, c: AsyncConnection, issuer: str, subject: str, account: Account
    ) -> None:
        await self._relay.audit.append(
            c, actor=account.name, action="signin.linked", subject=account.name
        )
        try:
            async with c.begin_nested():
                await c.execute(
                    insert(oidc_identities).values(
                        tenant=self._relay.tenant,
                        issuer=issuer,
                        subject=subject,
                        account=account.id,
                        created_at=self._relay.stamp(),
                    )
                )
        except IntegrityError as error:
            # She came back in two windows at once.
            raise _over() from error

    # The provider, and where a ticket may go.

    async def _known(self) -> Provider:
        async with self._relay.db.read() as c:
            settings = await oidc_settings(c, self._relay.tenant)
        if not settings.issuer:
            raise FarhandError("oidc-off", "nobody signs in with an account elsewhere here")
        if self._provider is None or self._provider.settings != settings:
            redirect = f"{self._relay.settings.url}{OIDC_PATH}/callback"
            self._provider = Provider(self._relay, settings, redirect)
        return self._provider

    def _check_redirect(self, redirect: str) -> None:
        """Let a ticket go to this relay's own pages, or to a program on the caller's machine.

        On that machine by the address alone (RFC 8252 s8.3): a name such as `localhost` may be
        somebody else's.
        """
        if not redirect:
            return
        try:
            parts = urlsplit(redirect)
            _ = parts.port
        except ValueError as error:
            raise _bad_redirect() from error
        try:
            is_here = ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            is_here = False
        own = urlsplit(self._relay.settings.url)
        is_ours = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
        plain = not (parts.query or parts.fragment or parts.username)
        fits = redirect.isascii() and redirect.isprintable() and "\\" not in redirect
        if len(redirect) > _MAX_REDIRECT_CHARS or not (plain and fits):
            raise _bad_redirect()
        if not (is_ours or (is_here and parts.scheme == "http")):
            raise _bad_redirect()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _bad_redirect() -> UsageError:
    return UsageError(
        "oidc-redirect", "a sign-in comes back to this relay, or to http://127.0.0.1:PORT"
    )


def _over() -> FarhandError:
    return FarhandError(
        "oidc-over",
        "this sign-in is over, or was begun in another browser",
        hint="begin to sign in anew",
    )


def _unknown() -> RefusedError:
    return RefusedError(
        "oidc-unknown",
        "the provider knows you, but nobody here does",
        hint="an admin makes you an account and notes your verified address",
    )
