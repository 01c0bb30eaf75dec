"""Where somebody is signed in: each sign-in of an account, listed and ended.

A sign-in is an API token; its text is never shown again.  Ending it takes effect with the next
request, because nothing about tokens is cached.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.accounts.tokens import make_tokens
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import api_tokens

__all__ = ["MAX_LISTED", "SignInLine", "SignIns", "make_sign_ins"]

MAX_LISTED = 200


class SignInLine(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in.

    Attributes:
        id: names it; not the token.
        how: token, password, link, oidc; empty for one made before this was kept.
        address: from where it was made.
        last_used_at: within a minute; None for never.
        is_this: whether it is the one that asks.
        is_enrolling: whether it allows nothing but to add a second factor.
    """

    id: str
    how: str
    address: str
    created_at: str
    expires_at: str
    last_used_at: str | None
    is_this: bool
    is_enrolling: bool


def make_sign_ins(relay: Relay) -> SignIns:
    """Return the relay's sign-ins."""
    return SignIns(relay)


class SignIns:
    """Lists and ends the sign-ins of accounts, inside the caller's transactions."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._tokens = relay.service(make_tokens)

    async def of(self, c: AsyncConnection, account: str, *, mine: str = "") -> list[SignInLine]:
        """Return the standing sign-ins of an account (an id), newest first.

        `mine` is the token of whoever asks.
        """
        query = (
            select(api_tokens)
            .where(
                api_tokens.c.tenant == self._relay.tenant,
                api_tokens.c.account == account,
                api_tokens.c.kind == "api",
                api_tokens.c.revoked_at.is_(None),
                api_tokens.c.expires_at > self._relay.stamp(),
            )
            .order_by(api_tokens.c.created_at.desc(), api_tokens.c.id)
            .limit(MAX_LISTED)
        )
        return [
            SignInLine(
                id=row["id"],
                how=row["how"],
                address=row["address"],
                created_at=row["created_at"],
                expires_at=row["expires_at"],
                last_used_at=self._tokens.last_used(row["id"]) or row["last_used_at"],
                is_this=row["id"] == mine,
                is_enrolling=row["scopes"] == "me.*",
            )
            for row in (await c.execute(query)).mappings()
        ]

    async def end(
        self, c: AsyncConnection, *, account: str, name: str, which: str, actor: str
    ) -> None:
        """End one sign-in of an account, or with `all` each of them.

        Raises:
            FarhandError: `not-found`.
        """
        detail = {"which": which}
        if which != "all" and which not in {one.id for one in await self.of(c, account)}:
            raise not_found("sign-in", which)
        await self._relay.audit.append(
            c, actor=actor, action="signin.ended", subject=name, detail=detail
        )
        if which == "all":
            await self._tokens.revoke_all(c, account)
        else:
            await self._tokens.revoke(c, which)
