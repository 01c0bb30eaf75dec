"""The relay's audit: an append-only chain of records, each covering the one before.

A record is written in the same transaction as the act it tells of, before the act.  Its hash is

    SHA-256( canonical JSON of {"action", "actor", "at", "detail", "previous", "seq", "subject",
             "tenant"} )                                                   as 64 lower-case hex

where canonical JSON has the keys in this (alphabetical) order, no spaces, UTF-8 without escapes
but the ones JSON requires (msgspec's encoding); `detail` is the *text* kept in the row (itself
JSON), `seq` counts from 1 without gaps, `previous` is the hash before, 64 zeros for the first.
The head (protocol/audit.py) is the newest record's place and hash, signed by the relay key.
Replies to sign-ins and the devices' handshakes carry it, and it is sent out
(audit_heads.py); whoever kept one can demand that the chain still passes through it.  By itself
the chain cannot stop the relay's owner from writing another history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import structs
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.audit import LAST_SEQ, AuditHead, head_message
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import Signer, verify
from farhand_server.clock import Clock, stamp
from farhand_server.store.schema import audit as audit_table
from farhand_server.store.schema import tenants

__all__ = [
    "FIRST",
    "Act",
    "Audit",
    "AuditRecord",
    "check_chain",
    "check_head",
    "record_hash",
]

FIRST = "0" * 64


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record as the API shows it; `detail` is JSON text, exactly as it was hashed."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    detail: str
    previous: str
    hash: str


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be done, for a record; see `Audit.append`."""

    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any] = {}


def record_hash(tenant: str, record: AuditRecord) -> str:
    """Return the hash that a record must carry; see the module's words for the rule."""
    covered = {
        "action": record.action,
        "actor": record.actor,
        "at": record.at,
        "detail": record.detail,
        "previous": record.previous,
        "seq": record.seq,
        "subject": record.subject,
        "tenant": tenant,
    }
    return hashlib.sha256(msgspec.json.encode(covered, order="sorted")).hexdigest()


def check_chain(tenant: str, records: Iterable[AuditRecord], *, previous: str = FIRST) -> str:
    """Check consecutive records and return the last hash.

    Args:
        tenant: the organisation's id.
        records: in order, the first one following `previous`.
        previous: the hash before the first record.

    Raises:
        FarhandError: `audit-broken`, naming the first record that does not fit.
    """
    seq: int | None = None
    for record in records:
        fits = record.previous == previous and (seq is None or record.seq == seq + 1)
        if not fits or record_hash(tenant, record) != record.hash:
            raise FarhandError("audit-broken", f"the audit does not add up at {record.seq}")
        previous, seq = record.hash, record.seq
    return previous


def check_head(head: AuditHead, relay_key: bytes) -> bool:
    """Tell whether the relay key signed this head."""
    return verify(relay_key, head.signature, head_message(head))


class Audit:
    """Writes and reads the chain of one tenant.

    Args:
        tenant: whose chain.
        clock: for `at`.
        signer: the relay key, for heads.
    """

    def __init__(self, tenant: str, clock: Clock, signer: Signer) -> None:
        self._tenant = tenant
        self._clock = clock
        self._signer = signer

    async def append(
        self,
        c: AsyncConnection,
        *,
        actor: str,
        action: str,
        subject: str,
        detail: Mapping[str, Any] | None = None,
    ) -> AuditRecord:
        """Add a record inside the caller's write transaction; call it before other writes.

        Args:
            c: from `Database.write()`.
            actor: account name, `device:ID`, `relay` or `cli`.
            action: what was done, `noun.verb` (`account.disable`).
            subject: the id it was done to.
            detail: more, as JSON; never a secret.

        Returns: the record.
        """
        act = Act(actor=actor, action=action, subject=subject, detail=detail or {})
        return (await self.append_all(c, [act]))[0]

    async def append_all(self, c: AsyncConnection, acts: Sequence[Act]) -> list[AuditRecord]:
        """Add a record for each act, in this order; as `append`, in no more statements than one."""
        if not acts:
            return []
        await self.take_turn(c)
        seq, previous = await self._last(c)
        at = stamp(self._clock.now())
        records: list[AuditRecord] = []
        for act in acts:
            seq += 1
            unhashed = AuditRecord(
                seq=seq,
                at=at,
                actor=act.actor,
                action=act.action,
                subject=act.subject,
                detail=msgspec.json.encode(dict(act.detail), order="sorted").decode(),
                previous=previous,
                hash="",
            )
            previous = record_hash(self._tenant, unhashed)
            records.append(structs.replace(unhashed, hash=previous))
        rows = [{"tenant": self._tenant, **structs.asdict(record)} for record in records]
        await c.execute(insert(audit_table), rows)
        return records

    async def take_turn(self, c: AsyncConnection) -> None:
        """Wait for the chain, so that it never forks; PostgreSQL waits, SQLite has one writer.

        `append` does so itself.  Whoever locks something else and appends after it, and is not the
        only one who locks that, takes the turn first: then nobody waits for one that waits for her.
        """
        await c.execute(select(tenants.c.id).where(tenants.c.id == self._tenant).with_for_update())

    async def _last(self, c: AsyncConnection) -> tuple[int, str]:
        row = (
            await c.execute(
                select(audit_table.c.seq, audit_table.c.hash)
                .where(audit_table.c.tenant == self._tenant)
                .order_by(audit_table.c.seq.desc())
                .limit(1)
            )
        ).first()
        return (row.seq, row.hash) if row is not None else (0, FIRST)

    async def head(self, c: AsyncConnection) -> AuditHead:
        """Return the signed head as of this transaction."""
        seq, digest = await self._last(c)
        at = stamp(self._clock.now())
        head = AuditHead(owner=self._tenant, seq=seq, hash=digest, at=at)
        return structs.replace(head, signature=self._signer.sign(head_message(head)))

    async def record(self, c: AsyncConnection, seq: int) -> AuditRecord | None:
        """Return one record; None where there is none of that number."""
        found = await self.records(c, after=seq - 1, until=seq, limit=1)
        return found[0] if found else None

    async def records(
        self,
        c: AsyncConnection,
        *,
        after: int = 0,
        until: int = LAST_SEQ,
        limit: int = 50,
        newest: bool = False,
    ) -> list[AuditRecord]:
        """Return up to `limit` records with a seq above `after` up to `until`.

        The oldest first, or with `newest` the newest; then `limit` leaves out the older ones.
        """
        columns = [audit_table.c[name] for name in AuditRecord.__struct_fields__]
        rows = await c.execute(
            select(*columns)
            .where(
                audit_table.c.tenant == self._tenant, audit_table.c.seq.between(after + 1, until)
            )
            .order_by(audit_table.c.seq.desc() if newest else audit_table.c.seq)
            .limit(limit)
        )
        return [AuditRecord(**row._mapping) for row in rows]
