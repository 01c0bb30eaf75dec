"""Grants that wait until other operators have signed them too.

Some devices open nothing by one person's grant.  The console that knows it (from verified policy)
posts the grant with the number of approvals it needs; it waits here, in state `waiting`, until
that many others have signed, and then goes to the device with their signatures.  The relay counts
only to know when to offer: the device counts again, by its own roster.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import msgspec
from sqlalchemy import and_, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol import messages
from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import GrantApproval
from farhand_server.accounts.authorisation import Actor
from farhand_server.errors import not_permitted
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.sessions.rows import Session
from farhand_server.sessions.service import make_sessions
from farhand_server.store.schema import grant_approvals, sessions, waiting_grants

__all__ = ["MAX_APPROVALS", "Approvals", "WaitingGrant", "make_approvals"]

MAX_APPROVALS: Final = 8
# A console that waits asks again after this long; nothing is held open for hours.
_PATIENCE_S: Final = 20.0
_LOOK_AGAIN_S: Final = 2.0


class WaitingGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that waits, as approvers' consoles get it; `envelope` is what they check and sign."""

    session: str
    device: str
    operator: str
    ticket: str | None
    created_at: str
    expires_at: str | None
    needed: int
    approvers: list[str]
    envelope: bytes


def make_approvals(relay: Relay) -> Approvals:
    """Return the relay's approvals."""
    return Approvals(relay)


class Approvals:
    """Grants that wait, and who approved them."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def waiting(self, *, before: tuple[str, str] | None, limit: int) -> list[WaitingGrant]:
        """Return the grants that wait, newest first; `before` is (created_at, session)."""
        where = [sessions.c.tenant == self._relay.tenant, sessions.c.state == "waiting"]
        where.append(sessions.c.expires_at > self._relay.stamp())
        if before is not None:
            at, session = before
            same = and_(sessions.c.created_at == at, sessions.c.id < session)
            where.append(or_(sessions.c.created_at < at, same))
        query = (
            select(sessions.c.id)
            .where(*where)
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
            .limit(limit)
        )
        async with self._relay.db.read() as c:
            found = (await c.execute(query)).scalars().all()
            return [await self._shown(c, session) for session in found]

    async def get(self, session: str) -> WaitingGrant:
        """Return one grant that waits.

        Raises:
            FarhandError: `not-found`, `session-state` when it waits no more.
        """
        async with self._relay.db.read() as c:
            return await self._shown(c, session)

    async def _shown(self, c: AsyncConnection, session: str) -> WaitingGrant:
        found = await rows.get(c, self._relay.tenant, session)
        row = (
            await c.execute(
                select(waiting_grants.c.envelope, waiting_grants.c.needed).where(
                    waiting_grants.c.tenant == self._relay.tenant,
                    waiting_grants.c.session == session,
                )
            )
        ).first()
        if row is None or found.state != "waiting":
            raise FarhandError("session-state", "this session waits for no approval")
        return WaitingGrant(
            session=session,
            device=found.device,
            operator=found.operator,
            ticket=found.ticket,
            created_at=found.created_at,
            expires_at=found.expires_at,
            needed=row.needed,
            approvers=[name for name, _ in await self._given(c, session)],
            envelope=row.envelope,
        )

    async def _given(self, c: AsyncConnection, session: str) -> list[tuple[str, bytes]]:
        query = (
            select(grant_approvals.c.approver, grant_approvals.c.envelope)
            .where(
                grant_approvals.c.tenant == self._relay.tenant,
                grant_approvals.c.session == session,
            )
            .order_by(grant_approvals.c.at, grant_approvals.c.approver)
            .limit(MAX_APPROVALS)
        )
        return [(row.approver, row.envelope) for row in await c.execute(query)]

    async def approve(self, actor: Actor, session: str, data: bytes) -> WaitingGrant:
        """Store an operator's sealed approval of a grant that waits.

        Raises:
            FarhandError: `not-found`, `session-state`, `approval-mismatch`, `approval-twice`,
                `not-permitted` for one's own grant.
        """
        relay = self._relay
        envelope = decode_envelope(data)
        approval = open_payload(envelope, GrantApproval)
        try:
            async with relay.db.write() as c:
                found = await self._shown(c, session)
                if found.operator == actor.name:
                    raise not_permitted("somebody else approves a session")
                said = (approval.tenant, approval.id, approval.approver, approval.grant_sha256)
                digest = hashlib.sha256(found.envelope).hexdigest()
                if said != (relay.tenant, session, actor.name, digest):
                    raise FarhandError(
                        "approval-mismatch", "the approval is of another grant, or by somebody else"
                    )
                if not signers(envelope, [approval.approver_key]):
                    raise FarhandError(
                        "approval-mismatch", "the approval is not signed by the key it names"
                    )
                if len(found.approvers) >= MAX_APPROVALS:
                    raise FarhandError("approval-twice", "this session has approvals enough")
                await relay.audit.append(
                    c, actor=actor.name, action="session.approve", subject=session,
                    detail={"grant_sha256": digest},
                )  # fmt: skip
                await c.execute(
                    insert(grant_approvals).values(
                        tenant=relay.tenant,
                        session=session,
                        approver=actor.name,
                        envelope=data,
                        at=relay.stamp(),
                    )
                )
                await rows.add_event(c, relay, session, "approved", {"by": actor.name})
                shown = await self._shown(c, session)
        except IntegrityError as error:
            raise FarhandError("approval-twice", "you have approved this session") from error
        await relay.service(make_sessions).changed(session)
        return shown

    async def offer(self, actor: Actor, session: str) -> Session:
        """Offer a grant to its device once it has its approvals, and wait for the decision.

        Raises:
            FarhandError: `session-waiting` when approvals are still missing after a while;
                `not-found`, `not-permitted`, `session-state`, `device-offline`.
        """
        relay = self._relay
        service = relay.service(make_sessions)
        await service.require_own(actor, session)
        envelope = await self._enough(session)
        async with relay.db.write() as c:
            given = [sealed for _, sealed in await self._given(c, session)]
            await relay.audit.append(
                c, actor=actor.name, action="session.offer", subject=session,
                detail={"approvals": len(given)},
            )  # fmt: skip
            await rows.move(c, relay, session, "offered")
            found = await rows.get(c, relay.tenant, session)
        offer = messages.OfferGrant(session=session, envelope=envelope, approvals=given)
        return await service.offer(session, found.device, messages.encode_message(offer))

    async def _enough(self, session: str) -> bytes:
        """Return the grant once it has its approvals."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            found = await self.get(session)
            if len(found.approvers) >= found.needed:
                return found.envelope
            if asyncio.get_running_loop().time() >= deadline:
                missing = found.needed - len(found.approvers)
                raise FarhandError("session-waiting", f"{missing} more must approve it")
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def store(
        self, c: AsyncConnection, session: str, *, envelope: bytes, needed: int
    ) -> None:
        """Keep a grant that waits, in the transaction that makes its session."""
        await c.execute(
            insert(waiting_grants).values(
                tenant=self._relay.tenant, session=session, envelope=envelope, needed=needed
            )
        )
