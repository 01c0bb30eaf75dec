"""Signing in: with a one-use token, with name and password, and with a second factor after either.

    token | password | link ------> no factor needed: signed in
                              `---> pending ---right factor---> signed in
                                      `---five wrong ones, or 5 minutes---> over

Every try costs one of the address's tries and one of the name's, before anything is looked up.  A
name that is unknown, disabled, without a password or given a wrong one gets the same answer after
the same work.  Only a finished sign-in forgives the name's tries; a lock-out is audited once.

Where a role must have a second factor (setting `second-factor-roles`) and the account has none, the
sign-in allows nothing but to get one.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.audit import AuditHead
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_server.accounts.authorisation import Actor, Role
from farhand_server.accounts.directory import is_account_name
from farhand_server.accounts.factors import make_factors, wrong_factor
from farhand_server.accounts.passwords import make_passwords
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.security_keys import Challenge, make_security_keys
from farhand_server.accounts.steps import Step, make_steps
from farhand_server.accounts.tokens import make_tokens
from farhand_server.clock import stamp
from farhand_server.people.settings import get_setting
from farhand_server.people.warnings import warn_account
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, people

__all__ = [
    "FACTOR_ROLES",
    "MAX_FACTOR_TRIES",
    "How",
    "Organisation",
    "PendingSignIn",
    "SignIn",
    "SignedIn",
    "Who",
    "make_signin",
    "sign_in_failed",
]

How = Literal["token", "password", "link", "oidc"]

# The setting that names the roles which must have a second factor.
FACTOR_ROLES: Final = "second-factor-roles"
MAX_FACTOR_TRIES: Final = 5
_PENDING: Final = timedelta(minutes=5)
# What a sign-in without the factor that its role must have may do: get one, and sign out.
_ENROL_ONLY: Final = "me.*"
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
    """The answer to a sign-in; `relay_key` is raw, `audit_head` to be kept by the console.

    `needs_factor` says that this sign-in can only add the second factor that the role must have.
    """

    token: str
    expires_at: str
    account: Who
    organisation: Organisation
    relay_key: bytes
    audit_head: AuditHead
    needs_factor: bool = False

    def __repr__(self) -> str:
        return f"SignedIn(account={self.account!r})"


class PendingSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A second factor is due: `pending` goes back with it. `factors` are the kinds she has."""

    pending: str
    factors: list[str]
    expires_at: str

    def __repr__(self) -> str:
        return f"PendingSignIn(factors={self.factors!r})"


def make_signin(relay: Relay) -> SignIn:
    """Return the relay's sign-in service."""
    return SignIn(relay)


class SignIn:
    """Checks who somebody is; one per relay, because it counts tries."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._tokens = relay.service(make_tokens)
        self._passwords = relay.service(make_passwords)
        self._factors = relay.service(make_factors)
        self._keys = relay.service(make_security_keys)
        self._steps = relay.service(make_steps)
        message = "too many tries to sign in"
        self._addresses = RateLimit(
            relay.clock, limit=_ADDRESS_TRIES, window_s=_ADDRESS_WINDOW_S, message=message
        )
        self._names = RateLimit(
            relay.clock, limit=_NAME_TRIES, window_s=_NAME_WINDOW_S, message=message
        )

    def count_try(self, address: str) -> None:
        """Count a try of an address, before anything is looked at.

        Raises:
            RateLimited: too many within the minute.
        """
        self._addresses.take(address)

    async def with_token(self, text: str, *, address: str) -> SignedIn | PendingSignIn:
        """Sign in with a one-use token.

        Raises:
            FarhandError: `sign-in-failed`, `rate-limited`.
        """
        self._addresses.take(address)
        async with self._relay.db.write() as c:
            account = await self._tokens.use_signin(c, text)
            row = await self.active(c, accounts.c.id == account) if account else None
            if row is not None:
                return await self.admit(c, row, how="token", address=address)
            await self._audit_failure(c, "token", address)
        raise sign_in_failed()

    async def with_password(
        self, name: str, password: str, *, address: str
    ) -> SignedIn | PendingSignIn:
        """Sign in with name and password.

        Raises:
            FarhandError: `sign-in-failed`, `rate-limited`.
        """
        self._addresses.take(address)
        key = _name_key(name)
        last = self._names.take(key)
        row = await self._named(name)
        right = await self._passwords.check(row.password_hash if row else None, password)
        async with self._relay.db.write() as c:
            # Looked up again: it may have been disabled while the password was checked.
            row = await self.active(c, accounts.c.name == name) if right else None
            if row is not None:
                return await self.admit(c, row, how="password", address=address)
            shown = "".join(one if one.isprintable() else "?" for one in name[:64])
            await self._audit_failure(c, shown, address)
            if last:
                await self._audit_lock(c, shown)
        raise sign_in_failed()

    async def _named(self, name: str) -> Any:
        if not is_account_name(name):
            return None  # nor may the database have to read what it cannot keep, such as NUL
        async with self._relay.db.read() as c:
            return await self.active(c, accounts.c.name == name)

    # The second factor.

    async def admit(
        self, c: AsyncConnection, row: Any, *, how: How, address: str, factor_due: bool = True
    ) -> SignedIn | PendingSignIn:
        """Let somebody on who showed the first factor.

        Args:
            c: connection of a write transaction.
            row: of `accounts`, as `active` returned it.
            how: what she showed.
            address: where from.
            factor_due: False where somebody else vouched for her second factor.
        """
        found = await self._factors.of(c, row.id)
        kinds: list[str] = sorted({factor.kind for factor in found})
        if not (kinds and factor_due):
            return await self._welcome(c, row, how=how, address=address, vouched=not factor_due)
        await self._relay.audit.append(
            c, actor=row.name, action="signin.pending", subject=row.name, detail={"with": how}
        )
        if await self._factors.recovery_left(c, row.id):
            kinds.append("recovery")
        pending = await self._steps.make(
            c, "second", ttl=_PENDING, account=row.id, state={"how": how}
        )
        until = stamp(self._relay.now() + _PENDING)
        return PendingSignIn(pending=pending, factors=kinds, expires_at=until)

    async def ask_key(self, pending: str, *, address: str) -> Challenge:
        """Return what a security key is asked, to finish a pending sign-in.

        Raises:
            FarhandError: `sign-in-failed` when it is over; `rate-limited`.
        """
        self._addresses.take(address)
        async with self._relay.db.write() as c:
            step, row = await self._pending(c, pending)
            if step is None or row is None:
                raise sign_in_failed()
            return await self._keys.ask(c, account=row.id)

    async def finish(
        self,
        pending: str,
        *,
        address: str,
        code: str | None = None,
        key: tuple[str, dict[str, Any]] | None = None,
    ) -> SignedIn:
        """Finish a pending sign-in.

        Args:
            pending: as `admit` made it.
            address: of the caller.
            code: of an authenticator app, or a recovery code.
            key: the step and answer of a security key.

        Raises:
            FarhandError: `sign-in-failed` when it is over, `factor-wrong`, `rate-limited`.
        """
        self._addresses.take(address)
        async with self._relay.db.write() as c:
            step, row = await self._pending(c, pending)
            if step is None or row is None:
                raise sign_in_failed()
            self._factors.count_try(row.id)
            kind = await self._prove(c, row.id, code, key)
            if kind is not None and await self._steps.use(c, "second", pending) is not None:
                self._factors.forgive(row.id)
                return await self._welcome(
                    c, row, how=step.state["how"], address=address, factor=kind
                )
            over = await self._steps.count_try(c, step.id, limit=MAX_FACTOR_TRIES)
            await self._audit_failure(c, row.name, address)
            if over:
                await self._audit_lock(c, row.name)
        raise wrong_factor()

    async def _prove(
        self,
        c: AsyncConnection,
        account: str,
        code: str | None,
        key: tuple[str, dict[str, Any]] | None,
    ) -> str | None:
        if code is not None:
            return await self._factors.check(c, account, code)
        if key is not None and await self._keys.check(
            c, account=account, step=key[0], credential=key[1]
        ):
            return "webauthn"
        return None

    async def _pending(self, c: AsyncConnection, pending: str) -> tuple[Step | None, Any]:
        step = await self._steps.look(c, "second", pending)
        if step is None:
            return None, None
        return step, await self.active(c, accounts.c.id == step.account)

    # One's own password, and the end of a sign-in.

    async def set_password(self, actor: Actor, password: str, current: str | None) -> None:
        """Set the actor's password; other sign-ins of the account and its jump keys end.

        Raises:
            FarhandError: `password-wrong`, `password-length`, `rate-limited`.
        """
        self._names.take(f"password {actor.account}")
        async with self._relay.db.read() as c:
            row = await self.active(c, accounts.c.id == actor.account)
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
            await warn_account(c, self._relay, account=actor.account, change="password")
            await self._tokens.revoke_all(c, actor.account, but=actor.token)
            await self._steps.end_all(c, actor.account)
        self._names.forgive(f"password {actor.account}")

    async def sign_out(self, actor: Actor) -> None:
        """End the token that the actor used."""
        async with self._relay.db.write() as c:
            await self._relay.audit.append(
                c, actor=actor.name, action="signin.ended", subject=actor.name
            )
            await self._tokens.revoke(c, actor.token)

    async def active(self, c: AsyncConnection, which: Any) -> Any:
        """Return the row of an account that may sign in; None where there is none.

        It is not disabled, and whoever asks for help with it may still do so.
        """
        kept_out = exists().where(
            people.c.tenant == accounts.c.tenant,
            or_(people.c.id == accounts.c.person, people.c.account == accounts.c.name),
            people.c.active.is_(False),
        )
        query = select(accounts).where(
            accounts.c.tenant == self._relay.tenant,
            accounts.c.disabled_at.is_(None),
            or_(accounts.c.role != "requester", ~kept_out),
            which,
        )
        return (await c.execute(query)).first()

    async def _welcome(
        self,
        c: AsyncConnection,
        row: Any,
        *,
        how: How,
        address: str,
        factor: str = "",
        vouched: bool = False,
    ) -> SignedIn:
        detail = {"with": how} | ({"factor": factor} if factor else {})
        await self._relay.audit.append(
            c, actor=row.name, action="signin.done", subject=row.name, detail=detail
        )
        needed = not (factor or vouched) and row.role in await get_setting(
            c, self._relay.tenant, FACTOR_ROLES, list[str], default=[]
        )
        token = await self._tokens.issue(
            c, row.id, scopes=_ENROL_ONLY if needed else "*", how=how, address=address
        )
        self._names.forgive(_name_key(row.name))
        return SignedIn(
            token=token.text,
            expires_at=token.expires_at,
            account=Who(id=row.id, name=row.name, role=row.role),
            organisation=Organisation(tenant=self._relay.tenant, name=self._relay.settings.org),
            relay_key=self._relay.signer.public_key,
            audit_head=await self._relay.audit.head(c),
            needs_factor=needed,
        )

    async def _audit_failure(self, c: AsyncConnection, subject: str, address: str) -> None:
        await self._relay.audit.append(
            c,
            actor="nobody",
            action="signin.failed",
            subject=subject,
            detail={"address": address},
        )

    async def _audit_lock(self, c: AsyncConnection, subject: str) -> None:
        await self._relay.audit.append(
            c,
            actor="relay",
            action="signin.locked",
            subject=subject,
            detail={"seconds": _NAME_WINDOW_S},
        )


def _name_key(name: str) -> str:
    # A name is the caller's word and may be anything; its hash has a bounded size.
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def sign_in_failed() -> FarhandError:
    """Return `sign-in-failed`: one answer for everything that is wrong."""
    return FarhandError(
        "sign-in-failed",
        "the token or password is wrong, used up or expired",
        hint="on the relay's host, farhand-server signin NAME makes a new sign-in token",
    )
