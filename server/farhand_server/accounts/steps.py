"""Half-way places of signing in: a link that was mailed, a challenge, a factor that is due.

Each is named by a secret of 32 random bytes of which the database keeps the SHA-256, works once,
and only for a while.  `use` takes it in one statement, so that of two who come at once one is
refused; `look` leaves it.

    made --look--> made --use--> used        and from made: too many wrong tries, or too late: gone
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.identity import make_id
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import signin_steps

__all__ = ["MAX_STEP_CHARS", "Step", "StepKind", "Steps", "make_steps"]

StepKind = Literal[
    "reset", "link", "second", "webauthn-new", "webauthn", "oidc-begin", "oidc", "oidc-done"
]

# A longer word was never one of ours, and is not hashed.
MAX_STEP_CHARS: Final = 128
_SECRET_BYTES: Final = 32
_KEPT: Final = timedelta(days=1)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One half-way place; `state` is what the next step needs to know."""

    id: str
    account: str | None
    state: dict[str, Any]
    created_at: str


def make_steps(relay: Relay) -> Steps:
    """Return the relay's half-way places."""
    return Steps(relay)


class Steps:
    """Makes, finds and uses them up, inside the caller's transactions."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def make(
        self,
        c: AsyncConnection,
        kind: StepKind,
        *,
        ttl: timedelta,
        account: str | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> str:
        """Make one and return its secret, which is shown once and never kept."""
        secret = base64.urlsafe_b64encode(self._relay.random(_SECRET_BYTES)).decode().rstrip("=")
        if secret.startswith("-"):  # given to a command, it would be taken for an option
            secret = f"A{secret[1:]}"
        now = self._relay.now()
        await c.execute(
            insert(signin_steps).values(
                tenant=self._relay.tenant,
                id=make_id("p", self._relay.random(10)),
                kind=kind,
                secret_sha256=_digest(secret),
                account=account,
                state=msgspec.json.encode(state or {}).decode(),
                tries=0,
                created_at=stamp(now),
                expires_at=stamp(now + ttl),
            )
        )
        return secret

    async def look(self, c: AsyncConnection, kind: StepKind, secret: str) -> Step | None:
        """Return the one that `secret` names, None where it is over."""
        query = select(signin_steps).where(*self._standing(kind, secret))
        return _step((await c.execute(query)).first())

    async def use(self, c: AsyncConnection, kind: StepKind, secret: str) -> Step | None:
        """Use it up; None where it is over, or somebody else was first."""
        query = (
            update(signin_steps)
            .where(*self._standing(kind, secret))
            .values(used_at=self._relay.stamp())
            .returning(signin_steps)
        )
        return _step((await c.execute(query)).first())

    async def count_try(self, c: AsyncConnection, step: str, *, limit: int) -> bool:
        """Count a wrong try; at the limit it is over.

        Returns: True when it is over now.
        """
        mine = (signin_steps.c.tenant == self._relay.tenant, signin_steps.c.id == step)
        query = (
            update(signin_steps)
            .where(*mine)
            .values(tries=signin_steps.c.tries + 1)
            .returning(signin_steps.c.tries)
        )
        tries = (await c.execute(query)).scalar_one()
        if tries < limit:
            return False
        await c.execute(update(signin_steps).where(*mine).values(used_at=self._relay.stamp()))
        return True

    async def end_all(self, c: AsyncConnection, account: str) -> None:
        """End every one that leads to an account."""
        await c.execute(
            update(signin_steps)
            .where(
                signin_steps.c.tenant == self._relay.tenant,
                signin_steps.c.account == account,
                signin_steps.c.used_at.is_(None),
            )
            .values(used_at=self._relay.stamp())
        )

    async def sweep(self, c: AsyncConnection) -> None:
        """Forget those that were over a day ago."""
        before = stamp(self._relay.now() - _KEPT)
        await c.execute(
            delete(signin_steps).where(
                signin_steps.c.tenant == self._relay.tenant, signin_steps.c.expires_at < before
            )
        )

    def _standing(self, kind: StepKind, secret: str) -> tuple[Any, ...]:
        return (
            signin_steps.c.tenant == self._relay.tenant,
            signin_steps.c.kind == kind,
            signin_steps.c.secret_sha256 == _digest(secret[: MAX_STEP_CHARS + 1]),
            signin_steps.c.used_at.is_(None),
            signin_steps.c.expires_at > self._relay.stamp(),
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _step(row: Any) -> Step | None:
    if row is None:
        return None
    return Step(
        id=row.id,
        account=row.account,
        state=msgspec.json.decode(row.state),
        created_at=row.created_at,
    )
