"""Signing in: with a one-use token, or with name and password.

Every try costs one of the address's tries and one of the name's, before anything is looked up.  A
name that is unknown, disabled, without a password or given a wrong one gets the same answer after
the same work.  A success forgives the name's tries; a lock-out is audited once.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.audit import AuditHead
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_server.accounts.authorisation import Actor, Role
from farhand_server.accounts.passwords import make_passwords
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.tokens import make_tokens
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, api_tokens

__all__ = ["Organisation", "SignIn", "SignedIn", "Who", "make_signin"]

_ADDRESS_TRIES, _ADDRESS_WINDOW_S = 30, 60.0
_NAME_TRIES, _NAME_WINDOW_S = 10, 900.0


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """The account that signed in."""

    id: str
    name: str
    role: Role


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant."""

    tenant: str
    name: str


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a sign-in; `relay_key` is raw, `audit_head` to be kept by the console."""

    token: str
    expires_at: str
    account: Who
    organisation: Organisation
    relay_key: bytes
    audit_head: AuditHead


def make_signin(relay: Relay) -> SignIn:
    """Return the relay's sign-in service."""
    return SignIn(relay)


class SignIn:
    """Checks who somebody is; one per relay, because it counts tries."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._tokens = relay.service(make_tokens)
        self._passwords = relay.service(make_passwords)
        message = "too many tries to sign in"
        self._addresses = RateLimit(
            relay.clock, limit=_ADDRESS_TRIES, window_s=_ADDRESS_WINDOW_S, message=message
        )
        self._names = RateLimit(
            relay.clock, limit=_NAME_TRIES, window_s=_NAME_WINDOW_S, message=message
        )

    async def with_token(self, text: str, *, address: str) -> SignedIn:
        """Sign in with a one-use token.

        Raises:
            FarhandError: `sign-in-failed`, `rate-limited`.
        """
        self._addresses.take(address)
        async with self._relay.db.write() as c:
            account = await self._tokens.use_signin(c, text)
            row = await self._active(c, accounts.c.id == account) if account else None
            if row is not None:
                return await self._welcome(c, row, how="token")
            await self._audit_failure(c, "token", address)
        raise _failed()

    async def with_password(self, name: str, password: str, *, address: str) -> SignedIn:
        """Sign in with name and password.

        Raises:
            FarhandError: `sign-in-failed`, `rate-limited`.
        """
        self._addresses.take(address)
        # A name is the caller's word and may be anything; its hash has a bounded size.
        key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        last = self._names.take(key)
        async with self._relay.db.read() as c:
            row = await self._active(c, accounts.c.name == name)
        right = await self._passwords.check(row.password_hash if row else None, password)
        async with self._relay.db.write() as c:
            # Looked up again: it may have been disabled while the password was checked.
            row = await self._active(c, accounts.c.name == name) if right else None
            if row is not None:
                self._names.forgive(key)
                return await self._welcome(c, row, how="password")
            await self._audit_failure(c, name[:64], address)
            if last:
                await self._relay.audit.append(
                    c,
                    actor="relay",
                    action="signin.locked",
                    subject=name[:64],
                    detail={"seconds": _NAME_WINDOW_S},
                )
        raise _failed()

    async def set_password(self, actor: Actor, password: str, current: str | None) -> None:
        """Set the actor's password; other sign-ins of the account end.

        Raises:
            FarhandError: `password-wrong`, `password-length`, `rate-limited`.
        """
        self._names.take(f"password {actor.account}")
        async with self._relay.db.read() as c:
            row = await self._active(c, accounts.c.id == actor.account)
        stored = row.password_hash if row else None
        if stored is not None and not await self._passwords.check(stored, current or ""):
            raise RefusedError("password-wrong", "the current password is wrong or missing")
        hashed = await self._passwords.hash(password)
        async with self._relay.db.write() as c:
            await self._relay.audit.append(
                c, actor=actor.name, action="account.password", subject=actor.name
            )
            await c.execute(
                update(accounts)
                .where(accounts.c.tenant == self._relay.tenant, accounts.c.id == actor.account)
                .values(password_hash=hashed)
            )
            await c.execute(
                update(api_tokens)
                .where(
                    api_tokens.c.tenant == self._relay.tenant,
                    api_tokens.c.account == actor.account,
                    api_tokens.c.id != actor.token,
                    api_tokens.c.revoked_at.is_(None),
                )
                .values(revoked_at=self._relay.stamp())
            )
        self._names.forgive(f"password {actor.account}")

    async def sign_out(self, actor: Actor) -> None:
        """End the token that the actor used."""
        async with self._relay.db.write() as c:
            await self._relay.audit.append(
                c, actor=actor.name, action="signin.ended", subject=actor.name
            )
            await self._tokens.revoke(c, actor.token)

    async def _active(self, c: AsyncConnection, which: Any) -> Any:
        query = select(accounts).where(
            accounts.c.tenant == self._relay.tenant, accounts.c.disabled_at.is_(None), which
        )
        return (await c.execute(query)).first()

    async def _welcome(self, c: AsyncConnection, row: Any, *, how: str) -> SignedIn:
        await self._relay.audit.append(
            c, actor=row.name, action="signin.done", subject=row.name, detail={"with": how}
        )
        token = await self._tokens.issue(c, row.id)
        return SignedIn(
            token=token.text,
            expires_at=token.expires_at,
            account=Who(id=row.id, name=row.name, role=row.role),
            organisation=Organisation(tenant=self._relay.tenant, name=self._relay.settings.org),
            relay_key=self._relay.signer.public_key,
            audit_head=await self._relay.audit.head(c),
        )

    async def _audit_failure(self, c: AsyncConnection, subject: str, address: str) -> None:
        await self._relay.audit.append(
            c,
            actor="nobody",
            action="signin.failed",
            subject=subject,
            detail={"address": address},
        )


def _failed() -> FarhandError:
    return FarhandError(
        "sign-in-failed",
        "the token or password is wrong, used up or expired",
        hint="on the relay's host, farhand-server signin NAME makes a new sign-in token",
    )
