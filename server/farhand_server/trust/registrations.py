"""Enrolment tokens as the relay knows them: registered, counted down by enrolments, listed.

The relay stores the public half of a token's key and the signed statement; the seed never comes
here.  A token signed by a roster admin gives devices that consoles can confirm by themselves; one
signed by the relay's own key (`farhand-server token`) leaves them unconfirmed.
"""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal, signers
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.tokens import EnrolmentToken, Token, format_enrolment_token
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import enrolment_tokens
from farhand_server.trust.service import make_trust

__all__ = ["MadeToken", "Registration", "Registrations", "make_registrations"]

_ID = re.compile(r"t-[a-z2-7]{16,26}\Z")
_GROUP = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_MAX_USES = 10_000
_MAX_TTL = timedelta(days=90)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A token as the API shows it: no secret in it."""

    id: str
    group: str
    uses: int
    uses_left: int
    signed_by: str
    created_by: str
    created_at: str
    expires_at: str


class MadeToken(msgspec.Struct, frozen=True, kw_only=True):
    """What `farhand-server token` prints."""

    token: str
    group: str
    uses: int
    expires_at: str

    def __repr__(self) -> str:
        return f"MadeToken(group={self.group!r})"


def make_registrations(relay: Relay) -> Registrations:
    """Return the relay's token registrations."""
    return Registrations(relay)


class Registrations:
    """Registers enrolment tokens of one tenant."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._trust = relay.service(make_trust)

    async def register(self, envelope: bytes, *, actor: str) -> Registration:
        """Store a `tokens.Token` that a roster admin sealed.

        Raises:
            FarhandError: `no-trust-root`, `envelope-malformed`, `token-invalid`, `token-expired`,
                `token-not-signed`, `token-exists`.
        """
        sealed = decode_envelope(envelope)
        token = open_payload(sealed, Token)
        self._check(token)
        async with self._relay.db.write() as c:
            roster = await self._trust.roster(c)
            admins = [
                key
                for operator in roster.operators
                if "admin" in operator.permissions
                for key in operator.keys
            ]
            if not signers(sealed, admins):
                raise RefusedError("token-not-signed", "no admin of the roster signed this token")
            return await self._insert(c, token, envelope, signed_by="admin", actor=actor)

    async def make(self, *, group: str, uses: int, ttl: timedelta, actor: str) -> MadeToken:
        """Make and register a token with the relay's own key.

        Raises:
            FarhandError: `no-trust-root`; UsageError: `token-invalid`.
        """
        now = self._relay.now().replace(microsecond=0)
        seed = self._relay.random(32)
        try:
            expires = now + ttl
        except OverflowError as error:
            raise UsageError("token-invalid", "the token would live too long") from error
        token = Token(
            tenant=self._relay.tenant,
            id=make_id("t", self._relay.random(10)),
            key=SeedSigner(seed).public_key,
            group=group,
            uses=uses,
            created_at=format_instant(now),
            expires=format_instant(expires),
        )
        self._check(token)
        async with self._relay.db.write() as c:
            pinned = await self._trust.pinned(c)
            envelope = encode_envelope(seal(token, self._relay.signer))
            await self._insert(c, token, envelope, signed_by="relay", actor=actor)
        text = format_enrolment_token(
            EnrolmentToken(
                url=self._relay.settings.url,
                relay_key=self._relay.signer.public_key,
                tls_sha256=self._relay.tls_sha256,
                tenant=self._relay.tenant,
                token=token.id,
                group=group,
                root_version=pinned.root_version,
                root_sha256=pinned.root_sha256,
                targets_version=pinned.targets_version,
                seed=seed,
            )
        )
        return MadeToken(token=text, group=group, uses=uses, expires_at=token.expires)

    def _check(self, token: Token) -> None:
        now = self._relay.now()
        expires = parse_instant(token.expires)
        right = (
            token.tenant == self._relay.tenant
            and _ID.match(token.id)
            and _GROUP.match(token.group)
            and len(token.key) == 32
            and 1 <= token.uses <= _MAX_USES
            and expires <= now + _MAX_TTL
        )
        if not right:
            raise UsageError(
                "token-invalid",
                "the token's organisation, group, uses or lifetime is not allowed here",
                hint=f"1 to {_MAX_USES} uses, {_MAX_TTL.days} days at most, group of a-z 0-9 . _ -",
            )
        if expires <= now:
            raise UsageError("token-expired", "the token has expired already")

    async def _insert(
        self, c: AsyncConnection, token: Token, envelope: bytes, *, signed_by: str, actor: str
    ) -> Registration:
        shown = Registration(
            id=token.id,
            group=token.group,
            uses=token.uses,
            uses_left=token.uses,
            signed_by=signed_by,
            created_by=actor,
            created_at=self._relay.stamp(),
            expires_at=stamp(parse_instant(token.expires)),
        )
        await self._relay.audit.append(
            c,
            actor=actor,
            action="token.create",
            subject=token.id,
            detail={"group": token.group, "uses": token.uses, "signed_by": signed_by},
        )
        values = msgspec.structs.asdict(shown)
        values["device_group"] = values.pop("group")
        try:
            await c.execute(
                insert(enrolment_tokens).values(
                    tenant=self._relay.tenant, key=token.key, envelope=envelope, **values
                )
            )
        except IntegrityError as error:
            raise FarhandError("token-exists", "this token is registered already") from error
        return shown

    async def page(
        self, c: AsyncConnection, *, after: tuple[str, str] | None, limit: int
    ) -> list[Registration]:
        """Return up to `limit` registrations, oldest first, after (created_at, id)."""
        table = enrolment_tokens
        query = (
            select(table)
            .where(table.c.tenant == self._relay.tenant)
            .order_by(table.c.created_at, table.c.id)
            .limit(limit)
        )
        if after is not None:
            created_at, token = after
            query = query.where(
                (table.c.created_at > created_at)
                | ((table.c.created_at == created_at) & (table.c.id > token))
            )
        return [
            Registration(
                id=row.id,
                group=row.device_group,
                uses=row.uses,
                uses_left=row.uses_left,
                signed_by=row.signed_by,
                created_by=row.created_by,
                created_at=row.created_at,
                expires_at=row.expires_at,
            )
            for row in await c.execute(query)
        ]
