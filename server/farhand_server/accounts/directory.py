"""Accounts of people on the relay: added, listed, disabled; never deleted, so names stay taken.

An account is the first lock only: it signs nothing and no device knows it.  The same name in the
roster (kept by admins' keys, not here) is what a device believes.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_server.accounts.authorisation import ROLES, Role
from farhand_server.accounts.steps import make_steps
from farhand_server.accounts.tiers import HIGHEST_TIER
from farhand_server.accounts.tokens import make_tokens
from farhand_server.actors import NOT_PEOPLE
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts

__all__ = ["Account", "Directory", "is_account_name", "make_directory"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?\Z")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account as the API shows it."""

    id: str
    name: str
    role: Role
    created_at: str
    disabled_at: str | None
    tier: int = 1
    person: str | None = None


def is_account_name(text: str) -> bool:
    """Tell whether an account could have this name."""
    return _NAME.match(text) is not None and text not in NOT_PEOPLE


def make_directory(relay: Relay) -> Directory:
    """Return the relay's account directory."""
    return Directory(relay)


def _account(row: Any) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        role=row.role,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        tier=row.tier,
        person=row.person,
    )


class Directory:
    """The accounts of one tenant; every method works inside the caller's transaction."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def add(self, c: AsyncConnection, *, name: str, role: Role, actor: str) -> Account:
        """Add an account.

        Args:
            c: a write transaction.
            name: 1 to 64 of `a-z 0-9 . _ @ + -`, beginning and ending with a letter or digit.
            role: one of `ROLES`.
            actor: who does it, for the audit.

        Raises:
            UsageError: `account-name`, `account-role`.
            FarhandError: `account-exists`.
        """
        if not is_account_name(name):
            words = "an account name has 1 to 64 characters of a-z 0-9 . _ @ + -"
            raise UsageError(
                "account-name",
                f"{name} is no person" if name in NOT_PEOPLE else words,
                hint="begin and end with a letter or digit",
            )
        if role not in ROLES:
            raise UsageError("account-role", f"the roles are {', '.join(ROLES)}")
        if await self.find(c, name) is not None:
            raise FarhandError("account-exists", f"there is an account {name!r} already")
        account = Account(
            id=make_id("a", self._relay.random(10)),
            name=name,
            role=role,
            created_at=self._relay.stamp(),
            disabled_at=None,
        )
        await self._relay.audit.append(
            c, actor=actor, action="account.add", subject=name, detail={"role": role}
        )
        await c.execute(
            insert(accounts).values(tenant=self._relay.tenant, **msgspec.structs.asdict(account))
        )
        return account

    async def find(self, c: AsyncConnection, name: str) -> Account | None:
        """Return the account of that name, disabled or not."""
        row = (await c.execute(self._select().where(accounts.c.name == name))).first()
        return _account(row) if row is not None else None

    async def page(self, c: AsyncConnection, *, after: str | None, limit: int) -> list[Account]:
        """Return up to `limit` accounts by name, after the given name."""
        query = self._select().order_by(accounts.c.name).limit(limit)
        if after is not None:
            query = query.where(accounts.c.name > after)
        return [_account(row) for row in await c.execute(query)]

    async def disable(self, c: AsyncConnection, name: str, *, actor: str) -> Account:
        """Disable an account and end all its tokens, at once; doing it again changes nothing.

        Raises:
            FarhandError: `not-found`, `last-admin` when nobody could administer the relay then.
        """
        account = await self.find(c, name)
        if account is None:
            raise not_found("account", name)
        if account.disabled_at is not None:
            return account
        if account.role == "admin" and await self._active_admins(c) == 1:
            raise FarhandError(
                "last-admin", "the only admin left cannot be disabled", hint="add another first"
            )
        await self._relay.audit.append(c, actor=actor, action="account.disable", subject=name)
        now = self._relay.stamp()
        await c.execute(
            update(accounts)
            .where(accounts.c.tenant == self._relay.tenant, accounts.c.id == account.id)
            .values(disabled_at=now)
        )
        await self._relay.service(make_tokens).revoke_all(c, account.id)
        await self._relay.service(make_steps).end_all(c, account.id)
        return msgspec.structs.replace(account, disabled_at=now)

    async def set_tier(self, c: AsyncConnection, name: str, tier: int, *, actor: str) -> Account:
        """Set the tier of a technician.

        Raises:
            UsageError: `account-tier` outside 1 to 3.
            FarhandError: `not-found`.
        """
        if not 1 <= tier <= HIGHEST_TIER:
            raise UsageError("account-tier", f"tiers are 1 to {HIGHEST_TIER}")
        account = await self.find(c, name)
        if account is None:
            raise not_found("account", name)
        await self._relay.audit.append(
            c, actor=actor, action="account.tier", subject=name, detail={"tier": tier}
        )
        await c.execute(
            update(accounts)
            .where(accounts.c.tenant == self._relay.tenant, accounts.c.id == account.id)
            .values(tier=tier)
        )
        return msgspec.structs.replace(account, tier=tier)

    async def new_signin(self, c: AsyncConnection, name: str, *, actor: str) -> Account:
        """Check and audit that an account gets a new one-use sign-in token.

        The caller then issues it with `Tokens.issue_signin`, in the same transaction.

        Raises:
            FarhandError: `not-found`, `account-disabled`.
        """
        account = await self.find(c, name)
        if account is None:
            raise not_found("account", name)
        if account.disabled_at is not None:
            raise FarhandError("account-disabled", f"the account {name!r} is disabled")
        await self._relay.audit.append(c, actor=actor, action="account.signin", subject=name)
        return account

    async def _active_admins(self, c: AsyncConnection) -> int:
        count = await c.scalar(
            select(func.count())
            .select_from(accounts)
            .where(
                accounts.c.tenant == self._relay.tenant,
                accounts.c.role == "admin",
                accounts.c.disabled_at.is_(None),
            )
        )
        return int(count or 0)

    def _select(self) -> Any:
        return select(accounts).where(accounts.c.tenant == self._relay.tenant)
