"""Sealed recordings: taken in from devices, countersigned, kept for as long as policy says, erased.

The relay holds no key that opens a chunk.  It checks each as anybody could (the device's signature,
the ciphertext's hash, the place in the chain), stores it, and countersigns its head with its own
time, so that the device cannot rewrite later what it sent.  The same chunk again is answered with
the same countersignature; another one in its place is refused.

Whoever lists or fetches sees ciphertext, heads, sizes and times.  Fetching is audited.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id
from farhand_protocol.recording import FIRST, OpenedHead, open_chunk, sign_witness
from farhand_server.accounts.authorisation import Actor, Resource, authorise
from farhand_server.clock import stamp
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.store.schema import recording_chunks as chunk_table
from farhand_server.store.schema import recordings as table

__all__ = ["MAX_RECORDING_BYTES", "Recording", "Recordings", "StoredChunk", "make_recordings"]

logger = logging.getLogger(__name__)

# Eight hours of a terminal that never rests, many times over.
MAX_RECORDING_BYTES: Final = 1024 * 1024 * 1024
# Ciphertext of one page is at most 56 KiB times this.
PAGE_CHUNKS: Final = 32
_ERASE_CHUNKS: Final = 500
_ERASE_RECORDINGS: Final = 20


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A recording as the API shows it; `session` is its id.

    `size_bytes` of ciphertext are stored; `dropped_bytes` of plaintext the device says it lost;
    `complete`: the last chunk is marked as the end; `erased_at`: retention has taken the chunks.
    """

    session: str
    device: str
    operator: str
    started_at: str
    last_at: str
    expires_at: str
    erased_at: str | None
    chunks: int
    size_bytes: int
    dropped_bytes: int
    complete: bool
    head_sha256: str


class StoredChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One sealed chunk with the relay's countersignature."""

    number: int
    head: bytes
    ciphertext: bytes
    witnessed_at: str
    witness: bytes


class ChunkLink(Protocol):
    """What this service needs of a device's link."""

    device: str


class Recordings:
    """The recordings of one relay; made once by `make_recordings`."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    # From devices.

    async def on_recording_chunk(
        self, link: ChunkLink, message: messages.RecordingChunk
    ) -> messages.RelayMessage | None:
        """Store a chunk and countersign its head.

        Raises:
            FarhandError: `session-unknown`, `recording-full`, `recording-forked`, and what the
                chunk itself is refused for (farhand_protocol.recording).
        """
        opened = open_chunk(message.head, message.ciphertext)
        head = opened.head
        if head.session != message.session or head.device != link.device:
            raise FarhandError("recording-foreign", "the chunk is of another session or device")
        try:
            at, signature = await self._store(opened, message)
        except IntegrityError as error:
            # Two links of one device brought it in the same moment; it will be sent again.
            raise FarhandError("recording-gap", "the chunk is being stored already") from error
        return messages.Witnessed(seq=message.seq, at=at, signature=signature)

    async def _store(
        self, opened: OpenedHead, message: messages.RecordingChunk
    ) -> tuple[str, bytes]:
        head = opened.head
        async with self._relay.db.write() as c:
            if (stored := await self._stored(c, opened)) is not None:
                return stored.witnessed_at, stored.witness
            await self._take_place(c, opened)
            witness = sign_witness(opened, self._relay.stamp(), self._relay.signer)
            await c.execute(
                insert(chunk_table).values(
                    tenant=self._relay.tenant,
                    session=head.session,
                    number=head.index,
                    head=message.head,
                    head_sha256=opened.digest,
                    ciphertext=message.ciphertext,
                    witnessed_at=witness.at,
                    witness=witness.signature,
                )
            )
        return witness.at, witness.signature

    async def _stored(self, c: AsyncConnection, opened: OpenedHead) -> Any:
        """Return the row of this very chunk, None where its place is free."""
        row = (
            await c.execute(
                select(
                    chunk_table.c.head_sha256, chunk_table.c.witnessed_at, chunk_table.c.witness
                ).where(
                    chunk_table.c.tenant == self._relay.tenant,
                    chunk_table.c.session == opened.head.session,
                    chunk_table.c.number == opened.head.index,
                )
            )
        ).first()
        if row is not None and row.head_sha256 != opened.digest:
            raise FarhandError("recording-forked", "there is another chunk in this place")
        return row

    async def _take_place(self, c: AsyncConnection, opened: OpenedHead) -> None:
        """Check the chunk's place in the chain and move the recording's row on."""
        relay, head = self._relay, opened.head
        where = and_(table.c.tenant == relay.tenant, table.c.session == head.session)
        row = (await c.execute(select(table).where(where).with_for_update())).mappings().first()
        if row is None:
            await self._begin(c, opened)
            return
        if row["erased_at"] is not None or row["complete"]:
            raise FarhandError("recording-ended", "the recording is over")
        if head.index != row["chunks"]:
            raise FarhandError("recording-gap", "an earlier chunk is missing")
        if head.previous != row["head_sha256"] or head.keep_days != row["keep_days"]:
            raise FarhandError("recording-order", "the chunk does not follow from the last one")
        if row["size_bytes"] + head.size_bytes > MAX_RECORDING_BYTES:
            raise FarhandError("recording-full", "the recording is too large")
        await c.execute(
            update(table)
            .where(where)
            .values(
                last_at=relay.stamp(),
                expires_at=self._until(head.keep_days),
                chunks=head.index + 1,
                size_bytes=row["size_bytes"] + head.size_bytes,
                dropped_bytes=row["dropped_bytes"] + head.dropped_bytes,
                head_sha256=opened.digest,
                complete=head.final,
            )
        )

    async def _begin(self, c: AsyncConnection, opened: OpenedHead) -> None:
        relay, head = self._relay, opened.head
        found = await rows.find(c, relay.tenant, head.session)
        if found is None or found.device != head.device or found.state in ("pairing", "refused"):
            raise FarhandError("session-unknown", "this device has no such session")
        if head.tenant != ("" if found.guest else relay.tenant):
            raise FarhandError("recording-foreign", "the recording is of another organisation")
        if head.index != 0:
            raise FarhandError("recording-gap", "an earlier chunk is missing")
        if head.previous != FIRST:
            raise FarhandError("recording-order", "a recording begins with its first chunk")
        await relay.audit.append(
            c, actor=f"device:{head.device}", action="recording.start", subject=head.session,
            detail={"keep_days": head.keep_days},
        )  # fmt: skip
        now = relay.stamp()
        await c.execute(
            insert(table).values(
                tenant=relay.tenant,
                session=head.session,
                device=head.device,
                operator=found.operator,
                started_at=now,
                last_at=now,
                expires_at=self._until(head.keep_days),
                chunks=1,
                size_bytes=head.size_bytes,
                dropped_bytes=head.dropped_bytes,
                keep_days=head.keep_days,
                head_sha256=opened.digest,
                complete=head.final,
            )
        )

    def _until(self, days: int) -> str:
        return stamp(self._relay.now() + timedelta(days=days))

    # For the API.

    async def list_recordings(
        self,
        actor: Actor,
        *,
        device: str | None,
        before: tuple[str, str] | None,
        limit: int,
    ) -> list[Recording]:
        """Return recordings, newest first; a technician sees those of her own sessions."""
        where: list[ColumnElement[bool]] = [table.c.tenant == self._relay.tenant]
        if authorise(actor, "recording.read") == "own":
            where.append(table.c.operator == actor.name)
        if device is not None:
            where.append(table.c.device == device)
        if before is not None:
            at, session = before
            where.append(
                or_(
                    table.c.started_at < at,
                    and_(table.c.started_at == at, table.c.session < session),
                )
            )
        query = (
            select(table)
            .where(*where)
            .order_by(table.c.started_at.desc(), table.c.session.desc())
            .limit(limit)
        )
        async with self._relay.db.read() as c:
            return [_shown(row) for row in (await c.execute(query)).mappings()]

    async def get(self, actor: Actor, session: str) -> Recording:
        """Return one recording; raises `not-found`, `not-permitted`."""
        async with self._relay.db.read() as c:
            return await self._get(c, actor, session)

    async def _get(self, c: AsyncConnection, actor: Actor, session: str) -> Recording:
        if not is_session_id(session):
            raise not_found("recording", session)
        where = and_(table.c.tenant == self._relay.tenant, table.c.session == session)
        row = (await c.execute(select(table).where(where))).mappings().first()
        if row is None:
            raise not_found("recording", session)
        authorise(actor, "recording.read", Resource(owner=row["operator"]))
        return _shown(row)

    async def chunks(self, actor: Actor, session: str, *, after: int) -> list[StoredChunk]:
        """Return up to `PAGE_CHUNKS + 1` chunks behind number `after`; the first page is audited.

        Raises:
            FarhandError: `not-found`, `not-permitted`, `recording-erased`.
        """
        if after < 0:
            async with self._relay.db.write() as c:
                found = await self._get(c, actor, session)
                await self._relay.audit.append(
                    c, actor=actor.name, action="recording.read", subject=session
                )
        else:
            found = await self.get(actor, session)
        if found.erased_at is not None:
            raise FarhandError(
                "recording-erased", "the recording was erased when its time was over"
            )
        query = (
            select(
                chunk_table.c.number,
                chunk_table.c.head,
                chunk_table.c.ciphertext,
                chunk_table.c.witnessed_at,
                chunk_table.c.witness,
            )
            .where(
                chunk_table.c.tenant == self._relay.tenant,
                chunk_table.c.session == session,
                chunk_table.c.number > after,
            )
            .order_by(chunk_table.c.number)
            .limit(PAGE_CHUNKS + 1)
        )
        async with self._relay.db.read() as c:
            return [StoredChunk(**row) for row in (await c.execute(query)).mappings()]

    # Now and then.

    async def sweep(self) -> int:
        """Erase recordings whose time is over; return how many."""
        query = (
            select(table.c.session)
            .where(
                table.c.tenant == self._relay.tenant,
                table.c.expires_at < self._relay.stamp(),
                # One that a stopped relay had begun to erase is gone on with.
                or_(table.c.erased_at.is_(None), table.c.size_bytes > 0),
            )
            .limit(_ERASE_RECORDINGS)
        )
        async with self._relay.db.read() as c:
            due = list((await c.execute(query)).scalars())
        for session in due:
            await self._erase(session)
        return len(due)

    async def _erase(self, session: str) -> None:
        relay = self._relay
        mine = and_(chunk_table.c.tenant == relay.tenant, chunk_table.c.session == session)
        where = and_(table.c.tenant == relay.tenant, table.c.session == session)
        async with relay.db.write() as c:
            # The mark comes first: nothing is added, and nobody reads half of it.
            changed = await c.execute(
                update(table)
                .where(where, table.c.erased_at.is_(None), table.c.expires_at < relay.stamp())
                .values(erased_at=relay.stamp())
            )
            if changed.rowcount:
                await relay.audit.append(
                    c, actor="relay", action="recording.erase", subject=session
                )
        while True:
            oldest = select(chunk_table.c.number).where(mine).order_by(chunk_table.c.number)
            async with relay.db.write() as c:
                numbers = list((await c.execute(oldest.limit(_ERASE_CHUNKS))).scalars())
                if not numbers:
                    await c.execute(update(table).where(where).values(size_bytes=0))
                    break
                await c.execute(
                    delete(chunk_table).where(mine, chunk_table.c.number <= numbers[-1])
                )
        logger.info("the recording of %s was erased", session)


def _shown(row: Any) -> Recording:
    return Recording(**{name: row[name] for name in Recording.__struct_fields__})


def make_recordings(relay: Relay) -> Recordings:
    """Make the service; reached as `relay.service(make_recordings)`."""
    return Recordings(relay)
