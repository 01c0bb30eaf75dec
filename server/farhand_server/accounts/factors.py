"""Second factors of accounts: authenticator apps (TOTP, RFC 6238), security keys, recovery codes.

A factor counts once its owner has proved it.  Who has one shows a code of it before another is
added or one is changed, and what was begun before the last one was added is begun again.

A TOTP code is looked for in the present step of 30 s and one to either side, and a step at or
before the last one used is never taken again, whoever comes first.  Ten recovery codes come with
the first factor, each for one time; they are 80 random bits, so their SHA-256 is all the database
needs.  Security keys are in `security_keys`.

Guessing: six digits and three steps make 3 in a million for each try; an account has
`_TRIES` of them an hour on each node, besides what the way there costs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final, Literal

import msgspec
import pyotp
from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.identity import make_id
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.sealing import make_sealing
from farhand_server.errors import not_found
from farhand_server.people.warnings import warn_account
from farhand_server.relay import Relay
from farhand_server.store.schema import recovery_codes, second_factors
from farhand_server.wording import check_line

__all__ = [
    "MAX_FACTORS",
    "RECOVERY_CODES",
    "Factor",
    "FactorKind",
    "Factors",
    "NewTotp",
    "make_factors",
    "wrong_factor",
]

FactorKind = Literal["totp", "webauthn"]

MAX_FACTORS: Final = 10
RECOVERY_CODES: Final = 10
_STEP_S: Final = 30
_WINDOW: Final = 1
_DIGITS: Final = 6
_TOTP_BYTES: Final = 20
_RECOVERY_BYTES: Final = 10
_TRIES, _TRIES_WINDOW_S = 10, 3600.0


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """A factor as its owner sees it."""

    id: str
    kind: FactorKind
    label: str
    created_at: str
    used_at: str | None


class NewTotp(msgspec.Struct, frozen=True, kw_only=True):
    """What an authenticator app is given, once; `uri` is what a QR code holds."""

    id: str
    secret: str
    uri: str

    def __repr__(self) -> str:
        return f"NewTotp(id={self.id!r})"


def make_factors(relay: Relay) -> Factors:
    """Return the relay's second factors."""
    return Factors(relay)


class Factors:
    """The factors of one tenant; one per relay, because it counts tries."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._sealing = relay.service(make_sealing)
        self._tries = RateLimit(
            relay.clock,
            limit=_TRIES,
            window_s=_TRIES_WINDOW_S,
            message="too many tries of a second factor",
        )

    async def of(self, c: AsyncConnection, account: str) -> list[Factor]:
        """Return an account's proved factors, oldest first."""
        query = (
            select(second_factors)
            .where(*self._of(account), second_factors.c.confirmed_at.is_not(None))
            .order_by(second_factors.c.created_at, second_factors.c.id)
        )
        return [
            Factor(**{name: row[name] for name in Factor.__struct_fields__})
            for row in (await c.execute(query)).mappings()
        ]

    async def recovery_left(self, c: AsyncConnection, account: str) -> int:
        """Return how many recovery codes an account has left."""
        query = select(func.count()).select_from(recovery_codes).where(*self._unused(account))
        return int(await c.scalar(query) or 0)

    # Authenticator apps.

    async def begin_totp(
        self, c: AsyncConnection, *, account: str, name: str, label: str
    ) -> NewTotp:
        """Make a secret for an authenticator app; it counts once a code of it is shown.

        Raises:
            FarhandError: `factors-full`, `invalid` for the label.
        """
        label = await self.check_room(c, account, label)
        secret = self._relay.random(_TOTP_BYTES)
        factor = make_id("f", self._relay.random(10))
        await c.execute(
            insert(second_factors).values(
                tenant=self._relay.tenant,
                id=factor,
                account=account,
                kind="totp",
                label=label,
                secret=self._sealing.seal(secret, factor),
                counter=0,
                created_at=self._relay.stamp(),
            )
        )
        text = base64.b32encode(secret).decode()
        uri = pyotp.TOTP(text, name=name, issuer=self._relay.settings.org).provisioning_uri()
        return NewTotp(id=factor, secret=text, uri=uri)

    async def confirm_totp(
        self, c: AsyncConnection, *, account: str, name: str, factor: str, code: str
    ) -> list[str]:
        """Take a new app's first code.

        Returns: recovery codes, where the account had none yet; they are never shown again.

        Raises:
            FarhandError: `not-found`, `factor-wrong`, `rate-limited`.
        """
        query = select(second_factors.c.id).where(
            *self._of(account),
            second_factors.c.id == factor,
            second_factors.c.kind == "totp",
            second_factors.c.confirmed_at.is_(None),
        )
        if await c.scalar(query) is None:
            raise not_found("second factor", factor)
        if not await self._is_totp(c, account, code, second_factors.c.id == factor):
            raise wrong_factor()
        return await self.proved(c, account=account, name=name, factor=factor)

    async def proved(
        self, c: AsyncConnection, *, account: str, name: str, factor: str
    ) -> list[str]:
        """Let a factor count from now on; returns recovery codes if it is the first.

        What else was begun is over: it may have been begun before there was anything to prove.
        """
        await self._relay.audit.append(
            c, actor=name, action="factor.add", subject=name, detail={"factor": factor}
        )
        await c.execute(
            update(second_factors)
            .where(*self._of(account), second_factors.c.id == factor)
            .values(confirmed_at=self._relay.stamp())
        )
        await self._forget_begun(c, account)
        await warn_account(c, self._relay, account=account, change="factor-added")
        if await self.recovery_left(c, account):
            return []
        return await self._new_recovery(c, account)

    # Proving oneself.

    def count_try(self, account: str) -> None:
        """Count a try of an account's second factor, before anything is looked at.

        Raises:
            RateLimited: too many within the hour.
        """
        self._tries.take(account)

    def forgive(self, account: str) -> None:
        """Forget the tries of an account that proved itself."""
        self._tries.forgive(account)

    async def check(self, c: AsyncConnection, account: str, code: str) -> str | None:
        """Use up a code of an authenticator app, or a recovery code.

        Returns: `totp` or `recovery`; None when it is neither, or was used before.
        """
        plain = "".join(code[:64].split()).replace("-", "").upper()
        if plain.isascii() and plain.isdigit():
            counts = second_factors.c.confirmed_at.is_not(None)
            return "totp" if await self._is_totp(c, account, plain, counts) else None
        used = await c.execute(
            update(recovery_codes)
            .where(*self._unused(account), recovery_codes.c.secret_sha256 == _digest(plain))
            .values(used_at=self._relay.stamp())
        )
        return "recovery" if used.rowcount == 1 else None

    async def require(self, c: AsyncConnection, account: str, code: str | None) -> None:
        """Ask the owner for a code before her factors are changed; without factors for none.

        Raises:
            FarhandError: `factor-wrong`.
        """
        if await self.of(c, account) and not (code and await self.check(c, account, code)):
            raise wrong_factor()

    async def _is_totp(
        self, c: AsyncConnection, account: str, code: str, which: ColumnElement[bool]
    ) -> bool:
        query = (
            select(second_factors.c.id, second_factors.c.secret)
            .where(*self._of(account), second_factors.c.kind == "totp", which)
            .limit(MAX_FACTORS)
        )
        step = int(self._relay.now().timestamp()) // _STEP_S
        for row in (await c.execute(query)).all():
            app = pyotp.HOTP(base64.b32encode(self._sealing.open(row.secret, row.id)).decode())
            for near in range(step - _WINDOW, step + _WINDOW + 1):
                if hmac.compare_digest(app.at(near).encode(), code.encode()):
                    return await self._take_step(c, row.id, near)
        return False

    async def _take_step(self, c: AsyncConnection, factor: str, step: int) -> bool:
        """Use up a step of an app; False when it, or a later one, was used before."""
        used = await c.execute(
            update(second_factors)
            .where(
                second_factors.c.tenant == self._relay.tenant,
                second_factors.c.id == factor,
                second_factors.c.counter < step,
            )
            .values(counter=step, used_at=self._relay.stamp())
        )
        return used.rowcount == 1

    # Changing them.

    async def check_room(self, c: AsyncConnection, account: str, label: str) -> str:
        """Return the label of a factor that may be added; unproved ones give way.

        Raises:
            FarhandError: `factors-full`, `invalid` for the label.
        """
        label = check_line(label, "label", max_chars=60)
        if len(await self.of(c, account)) >= MAX_FACTORS:
            raise FarhandError("factors-full", f"an account has at most {MAX_FACTORS} factors")
        await self._forget_begun(c, account)
        return label

    async def _forget_begun(self, c: AsyncConnection, account: str) -> None:
        await c.execute(
            delete(second_factors).where(
                *self._of(account), second_factors.c.confirmed_at.is_(None)
            )
        )

    async def remove(self, c: AsyncConnection, *, account: str, name: str, factor: str) -> None:
        """Remove one factor; with the last one the recovery codes go, too.

        Raises:
            FarhandError: `not-found`.
        """
        if factor not in {one.id for one in await self.of(c, account)}:
            raise not_found("second factor", factor)
        await self._relay.audit.append(
            c, actor=name, action="factor.remove", subject=name, detail={"factor": factor}
        )
        await c.execute(
            delete(second_factors).where(*self._of(account), second_factors.c.id == factor)
        )
        if not await self.of(c, account):
            await self._forget_recovery(c, account)
        await warn_account(c, self._relay, account=account, change="factor-removed")

    async def reset(self, c: AsyncConnection, *, account: str, name: str, actor: str) -> None:
        """Take all factors and recovery codes from an account whose owner lost hers."""
        await self._relay.audit.append(c, actor=actor, action="factor.reset", subject=name)
        gone = await c.execute(delete(second_factors).where(*self._of(account)))
        await self._forget_recovery(c, account)
        if gone.rowcount:
            await warn_account(c, self._relay, account=account, change="factor-removed")

    async def renew_recovery(self, c: AsyncConnection, *, account: str, name: str) -> list[str]:
        """Make new recovery codes; the old ones end.

        Raises:
            FarhandError: `factor-none` where there is nothing to recover.
        """
        if not await self.of(c, account):
            raise FarhandError("factor-none", "there is no second factor yet")
        await self._relay.audit.append(c, actor=name, action="factor.recovery", subject=name)
        await warn_account(c, self._relay, account=account, change="recovery")
        return await self._new_recovery(c, account)

    async def _new_recovery(self, c: AsyncConnection, account: str) -> list[str]:
        await self._forget_recovery(c, account)
        plain = [
            base64.b32encode(self._relay.random(_RECOVERY_BYTES)).decode()
            for _ in range(RECOVERY_CODES)
        ]
        rows = [
            {
                "tenant": self._relay.tenant,
                "account": account,
                "secret_sha256": _digest(code),
                "created_at": self._relay.stamp(),
            }
            for code in plain
        ]
        await c.execute(insert(recovery_codes), rows)
        return ["-".join(code[i : i + 4] for i in range(0, len(code), 4)) for code in plain]

    async def _forget_recovery(self, c: AsyncConnection, account: str) -> None:
        await c.execute(
            delete(recovery_codes).where(
                recovery_codes.c.tenant == self._relay.tenant, recovery_codes.c.account == account
            )
        )

    def _of(self, account: str) -> tuple[ColumnElement[bool], ...]:
        return (
            second_factors.c.tenant == self._relay.tenant,
            second_factors.c.account == account,
        )

    def _unused(self, account: str) -> tuple[ColumnElement[bool], ...]:
        return (
            recovery_codes.c.tenant == self._relay.tenant,
            recovery_codes.c.account == account,
            recovery_codes.c.used_at.is_(None),
        )


def wrong_factor() -> RefusedError:
    """Return `factor-wrong`: a code that is wrong, too old, or was used before."""
    return RefusedError(
        "factor-wrong",
        "the code is wrong, too old, or was used before",
        hint="wait for the next code, or take a recovery code",
    )


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
