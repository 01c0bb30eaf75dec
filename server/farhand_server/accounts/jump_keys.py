"""Jump keys: what a console's stock ssh signs in with at the jump port.

An Ed25519 public key that a technician's console registers for her account.  It is no roster key
and opens nothing on a device: it lets her reach, through the relay, sessions that she opened with a
signed grant.  It expires, ends with its account and whenever all sign-ins of that end (a new
password, `sign-out --all`), and tiers hold it.  An account has at most `MAX_JUMP_KEYS`; a further
one takes the oldest one's place.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy import delete, insert, select

from farhand_protocol.errors import UsageError
from farhand_protocol.identity import PUBLIC_KEY_BYTES
from farhand_server.accounts.authorisation import Actor, authorise
from farhand_server.accounts.tiers import barred_for
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, jump_keys

__all__ = ["JUMP_KEY_TTL", "MAX_JUMP_KEYS", "JumpKey", "JumpKeys", "make_jump_keys"]

MAX_JUMP_KEYS: Final = 8
JUMP_KEY_TTL: Final = timedelta(days=30)


class JumpKey(msgspec.Struct, frozen=True, kw_only=True):
    """A registered key; `key` is raw."""

    key: bytes
    expires_at: str


def make_jump_keys(relay: Relay) -> JumpKeys:
    """Return the relay's jump keys."""
    return JumpKeys(relay)


class JumpKeys:
    """The jump keys of one tenant."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def register(self, actor: Actor, key: bytes) -> JumpKey:
        """Register a key for the actor's account, or renew it.

        Args:
            actor: whose it will be.
            key: raw Ed25519 public key.

        Raises:
            UsageError: `invalid` for another length; `jump-key-taken` where another account
                registered it.
        """
        if len(key) != PUBLIC_KEY_BYTES:
            raise UsageError("invalid", "a jump key has 32 bytes")
        relay = self._relay
        text = key.hex()
        expires_at = stamp(relay.now() + JUMP_KEY_TTL)
        mine = (jump_keys.c.tenant == relay.tenant) & (jump_keys.c.account == actor.account)
        async with relay.db.write() as c:
            await relay.audit.append(
                c, actor=actor.name, action="jump-key.register", subject=actor.name,
                detail={"key": text},
            )  # fmt: skip
            this = (jump_keys.c.tenant == relay.tenant) & (jump_keys.c.key == text)
            holder = (await c.execute(select(jump_keys.c.account).where(this))).scalar()
            if holder is not None and holder != actor.account:
                raise UsageError("jump-key-taken", "this key is registered already")
            await c.execute(delete(jump_keys).where(this))
            kept = (
                select(jump_keys.c.key)
                .where(mine)
                .order_by(jump_keys.c.created_at.desc(), jump_keys.c.key)
                .limit(MAX_JUMP_KEYS - 1)
            )
            await c.execute(delete(jump_keys).where(mine, jump_keys.c.key.not_in(kept)))
            await c.execute(
                insert(jump_keys).values(
                    tenant=relay.tenant,
                    key=text,
                    account=actor.account,
                    created_at=relay.stamp(),
                    expires_at=expires_at,
                )
            )
        return JumpKey(key=key, expires_at=expires_at)

    async def actor_of(self, key: bytes) -> Actor | None:
        """Return whose key this is, with the one right to attach; None for nobody's.

        Raises:
            FarhandError: `not-permitted` where role or tier do not allow to attach.
        """
        relay = self._relay
        query = (
            select(accounts.c.id, accounts.c.name, accounts.c.role, accounts.c.tier)
            .join_from(
                jump_keys,
                accounts,
                (jump_keys.c.tenant == accounts.c.tenant) & (jump_keys.c.account == accounts.c.id),
            )
            .where(
                jump_keys.c.tenant == relay.tenant,
                jump_keys.c.key == key.hex(),
                jump_keys.c.expires_at > relay.stamp(),
                accounts.c.disabled_at.is_(None),
            )
        )
        async with relay.db.read() as c:
            row = (await c.execute(query)).first()
            if row is None:
                return None
            barred = await barred_for(c, relay.tenant, row.role, row.tier)
        actor = Actor(
            tenant=relay.tenant,
            account=row.id,
            name=row.name,
            role=row.role,
            scopes=frozenset({"session.attach"}),
            tier=row.tier,
            barred=barred,
        )
        authorise(actor, "session.attach")
        return actor
