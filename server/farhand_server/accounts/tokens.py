"""API tokens and one-use sign-in tokens: made, looked up, ended.

A token is 32 random bytes; the database keeps its SHA-256 only (there is nothing to guess, so no
slow hash is needed).  An API token expires, may be narrowed to scopes within its account's role,
and ends at once when it is revoked or its account disabled: nothing is cached.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_protocol.tokens import SigninToken, format_signin_token, parse_signin_token
from farhand_server.accounts.authorisation import Actor
from farhand_server.accounts.tiers import barred_for
from farhand_server.clock import stamp
from farhand_server.errors import not_signed_in
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, api_tokens, jump_keys, people

__all__ = ["API_TTL", "SIGNIN_TTL", "IssuedToken", "Tokens", "make_tokens"]

API_TTL = timedelta(hours=12)
SIGNIN_TTL = timedelta(hours=72)
_PREFIX = "fhs_"
_SECRET_BYTES = 32


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh API token; `text` is shown once and never kept."""

    id: str
    text: str
    expires_at: str

    def __repr__(self) -> str:
        return f"IssuedToken(id={self.id!r})"


def make_tokens(relay: Relay) -> Tokens:
    """Return the relay's tokens service."""
    return Tokens(relay)


class Tokens:
    """Issues and checks tokens of one tenant."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._used: dict[str, str] = {}

    async def issue(
        self,
        c: AsyncConnection,
        account: str,
        *,
        scopes: str = "*",
        ttl: timedelta = API_TTL,
        how: str = "",
        address: str = "",
    ) -> IssuedToken:
        """Make an API token for an account id, inside the caller's write transaction.

        `how` and `address` say how somebody signed in and from where; her list of sign-ins shows
        them.
        """
        secret = self._relay.random(_SECRET_BYTES)
        text = _PREFIX + base64.urlsafe_b64encode(secret).decode("ascii").rstrip("=")
        digest = hashlib.sha256(text.encode()).hexdigest()
        token, expires_at = await self._store(
            c, account, "api", digest, scopes, ttl, how=how, address=address
        )
        return IssuedToken(id=token, text=text, expires_at=expires_at)

    async def issue_signin(self, c: AsyncConnection, account: str) -> str:
        """Make a one-use sign-in token (`fhl1:...`); earlier unused ones of the account end."""
        secret = self._relay.random(_SECRET_BYTES)
        await c.execute(
            update(api_tokens)
            .where(
                api_tokens.c.tenant == self._relay.tenant,
                api_tokens.c.account == account,
                api_tokens.c.kind == "signin",
                api_tokens.c.used_at.is_(None),
                api_tokens.c.revoked_at.is_(None),
            )
            .values(revoked_at=self._relay.stamp())
        )
        digest = hashlib.sha256(secret).hexdigest()
        await self._store(c, account, "signin", digest, "*", SIGNIN_TTL)
        return format_signin_token(
            SigninToken(
                relay_key=self._relay.signer.public_key,
                tls_sha256=self._relay.tls_sha256,
                tenant=self._relay.tenant,
                secret=secret,
            )
        )

    async def _store(
        self,
        c: AsyncConnection,
        account: str,
        kind: str,
        digest: str,
        scopes: str,
        ttl: timedelta,
        *,
        how: str = "",
        address: str = "",
    ) -> tuple[str, str]:
        token = make_id("t", self._relay.random(16))
        now = self._relay.now()
        expires_at = stamp(now + ttl)
        await c.execute(
            insert(api_tokens).values(
                tenant=self._relay.tenant,
                id=token,
                account=account,
                kind=kind,
                secret_sha256=digest,
                scopes=scopes,
                created_at=stamp(now),
                expires_at=expires_at,
                how=how,
                address=address[:64],
            )
        )
        return token, expires_at

    async def use_signin(self, c: AsyncConnection, text: str) -> str | None:
        """Use up a sign-in token inside a write transaction.

        Returns: the account id, or None when it is unknown, used, expired or of another relay.
        """
        try:
            token = parse_signin_token(text)
        except FarhandError:
            return None
        row = (
            await c.execute(
                update(api_tokens)
                .where(
                    api_tokens.c.tenant == self._relay.tenant,
                    api_tokens.c.kind == "signin",
                    api_tokens.c.secret_sha256 == hashlib.sha256(token.secret).hexdigest(),
                    api_tokens.c.used_at.is_(None),
                    api_tokens.c.revoked_at.is_(None),
                    api_tokens.c.expires_at > self._relay.stamp(),
                )
                .values(used_at=self._relay.stamp())
                .returning(api_tokens.c.account)
            )
        ).first()
        return str(row.account) if row is not None else None

    async def actor_of(self, text: bytes) -> Actor:
        """Return who holds this API token.

        Raises:
            FarhandError: `not-signed-in` when it is unknown, expired, revoked or disabled.
        """
        digest = hashlib.sha256(text).hexdigest()
        async with self._relay.db.read() as c:
            row = (
                await c.execute(
                    select(
                        api_tokens.c.id.label("token"),
                        api_tokens.c.scopes,
                        accounts.c.id,
                        accounts.c.name,
                        accounts.c.role,
                        accounts.c.tier,
                        func.coalesce(accounts.c.person, people.c.id).label("person"),
                    )
                    .join_from(
                        api_tokens,
                        accounts,
                        (api_tokens.c.tenant == accounts.c.tenant)
                        & (api_tokens.c.account == accounts.c.id),
                    )
                    .outerjoin(
                        people,
                        (people.c.tenant == accounts.c.tenant)
                        & (people.c.account == accounts.c.name),
                    )
                    .where(
                        api_tokens.c.secret_sha256 == digest,
                        api_tokens.c.tenant == self._relay.tenant,
                        api_tokens.c.kind == "api",
                        api_tokens.c.revoked_at.is_(None),
                        api_tokens.c.expires_at > self._relay.stamp(),
                        accounts.c.disabled_at.is_(None),
                    )
                )
            ).first()
            if row is None:
                raise not_signed_in("this sign-in has ended")
            barred = await barred_for(c, self._relay.tenant, row.role, row.tier)
        self._used[row.token] = self._relay.stamp()
        return Actor(
            tenant=self._relay.tenant,
            account=row.id,
            name=row.name,
            role=row.role,
            scopes=frozenset(row.scopes.split()),
            token=row.token,
            person=row.person or "",
            tier=row.tier,
            barred=barred,
        )

    def last_used(self, token: str) -> str | None:
        """Return when this node last saw a token, where that is not yet in the database."""
        return self._used.get(token)

    async def note_uses(self) -> None:
        """Write when tokens were last used; a request must not wait for a write of its own."""
        used, self._used = self._used, {}
        if not used:
            return
        async with self._relay.db.write() as c:
            for token, at in sorted(used.items()):
                await c.execute(
                    update(api_tokens)
                    .where(api_tokens.c.tenant == self._relay.tenant, api_tokens.c.id == token)
                    .values(last_used_at=at)
                )

    async def revoke(self, c: AsyncConnection, token: str) -> None:
        """End one token."""
        await self._end(c, api_tokens.c.id == token)

    async def revoke_all(self, c: AsyncConnection, account: str, *, but: str = "") -> None:
        """End every token of an account, but one where it is named, and all its jump keys."""
        mine = api_tokens.c.account == account
        await self._end(c, mine & (api_tokens.c.id != but) if but else mine)
        await c.execute(
            delete(jump_keys).where(
                jump_keys.c.tenant == self._relay.tenant, jump_keys.c.account == account
            )
        )

    async def _end(self, c: AsyncConnection, which: object) -> None:
        await c.execute(
            update(api_tokens)
            .where(
                api_tokens.c.tenant == self._relay.tenant,
                api_tokens.c.revoked_at.is_(None),
                which,  # type: ignore[arg-type]
            )
            .values(revoked_at=self._relay.stamp())
        )
