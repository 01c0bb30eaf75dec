"""A new password for somebody who lost hers: a link that opens once, mailed or printed.

She asks by name and is always answered the same, at once; whether there is such an account, and
a verified address to write to, is looked up afterwards.  An admin may make the same token and hand
it over.  It sets a password and ends every sign-in, and nothing else: a second factor stays.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.directory import is_account_name, make_directory
from farhand_server.accounts.mails import SIGN_IN_KEY, mail_about
from farhand_server.accounts.passwords import make_passwords
from farhand_server.accounts.persons import person_of_account, verified_mail
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.signin import make_signin
from farhand_server.accounts.steps import make_steps
from farhand_server.accounts.tokens import make_tokens
from farhand_server.errors import RateLimited, not_found
from farhand_server.outbox.items import put
from farhand_server.people.people import get_person
from farhand_server.people.warnings import warn_account
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts

__all__ = ["RESET_TTL", "ResetToken", "Resets", "make_resets"]

RESET_TTL: Final = timedelta(hours=1)
_MAILS, _MAILS_WINDOW_S = 3, 900.0


class ResetToken(msgspec.Struct, frozen=True, kw_only=True):
    """What an admin hands over; `url` is the page that takes it."""

    name: str
    token: str
    url: str

    def __repr__(self) -> str:
        return f"ResetToken(name={self.name!r})"


def make_resets(relay: Relay) -> Resets:
    """Return the relay's resets."""
    return Resets(relay)


class Resets:
    """Makes and takes reset tokens; one per relay, because it counts mails."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._steps = relay.service(make_steps)
        self._mails = RateLimit(
            relay.clock, limit=_MAILS, window_s=_MAILS_WINDOW_S, message="too many mails"
        )

    def ask(self, name: str, *, address: str) -> None:
        """Mail a link to the owner of an account, if there is one; nobody is told which.

        Raises:
            FarhandError: `rate-limited`, for the caller's address.
        """
        self._relay.service(make_signin).count_try(address)
        if is_account_name(name):
            self._relay.tasks.spawn(self._mail(name), name="mail a reset link")

    async def _mail(self, name: str) -> None:
        signin = self._relay.service(make_signin)
        async with self._relay.db.write() as c:
            row = await signin.active(c, accounts.c.name == name)
            person = row and await person_of_account(c, self._relay.tenant, row)
            to = person and await verified_mail(c, self._relay.tenant, person)
            if not (row and person and to):
                return
            try:
                self._mails.take(row.id)
            except RateLimited:
                return  # she has three of them in her mail already
            token = await self._make(c, row.id, row.name, actor=row.name)
            payload = mail_about(
                "reset",
                to=to,
                org=self._relay.settings.org,
                link=self._link(token),
                language=(await get_person(c, self._relay.tenant, person)).locale,
            )
            key = SIGN_IN_KEY + self._relay.random(8).hex()
            await put(c, self._relay, kind="mail", payload=payload, key=key)

    async def make(self, name: str, *, actor: str) -> ResetToken:
        """Make a token that an admin hands over.

        Raises:
            FarhandError: `not-found`, `account-disabled`.
        """
        async with self._relay.db.write() as c:
            account = await self._relay.service(make_directory).find(c, name)
            if account is None:
                raise not_found("account", name)
            if account.disabled_at is not None:
                raise FarhandError("account-disabled", f"the account {name!r} is disabled")
            token = await self._make(c, account.id, name, actor=actor)
        return ResetToken(name=name, token=token, url=self._link(token))

    async def use(self, token: str, password: str, *, address: str) -> None:
        """Set a new password; every sign-in of the account ends.

        Raises:
            FarhandError: `reset-over`, `password-length`, `rate-limited`.
        """
        signin = self._relay.service(make_signin)
        signin.count_try(address)
        async with self._relay.db.read() as c:
            if await self._steps.look(c, "reset", token) is None:
                raise _over()
        hashed = await self._relay.service(make_passwords).hash(password)
        async with self._relay.db.write() as c:
            step = await self._steps.use(c, "reset", token)
            row = step and await signin.active(c, accounts.c.id == step.account)
            if not row:
                raise _over()
            await self._relay.audit.append(
                c,
                actor=row.name,
                action="account.password",
                subject=row.name,
                detail={"with": "reset", "address": address},
            )
            await c.execute(
                update(accounts)
                .where(accounts.c.tenant == self._relay.tenant, accounts.c.id == row.id)
                .values(password_hash=hashed)
            )
            await warn_account(c, self._relay, account=row.id, change="password")
            await self._relay.service(make_tokens).revoke_all(c, row.id)
            await self._steps.end_all(c, row.id)

    async def _make(self, c: AsyncConnection, account: str, name: str, *, actor: str) -> str:
        await self._relay.audit.append(c, actor=actor, action="account.reset", subject=name)
        return await self._steps.make(c, "reset", ttl=RESET_TTL, account=account)

    def _link(self, token: str) -> str:
        return f"{self._relay.settings.url}/reset/{token}"


def _over() -> FarhandError:
    return FarhandError(
        "reset-over",
        "this link was used, or is too old",
        hint="ask for another one",
    )
