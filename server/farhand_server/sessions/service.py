"""Sessions over their life: opened with a grant, ended, swept; what devices report: `reports`.

The relay carries a grant to the device and writes down what became of it; it decides nothing.  Rows
are the truth; a change is told on `session-state.{tenant}.{session}`, and whoever waits reads the
row again, so a lost message costs seconds and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol import messages
from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant
from farhand_protocol.identity import is_session_id
from farhand_protocol.instants import parse_instant
from farhand_server.accounts.authorisation import Actor, authorise
from farhand_server.clock import stamp
from farhand_server.desk.time_entries import record_time
from farhand_server.errors import not_found, not_permitted
from farhand_server.fleet.devices import agentless
from farhand_server.fleet.query_sql import AGENT
from farhand_server.relay import Relay
from farhand_server.sessions import control, rows
from farhand_server.sessions.bounds import LONGEST_S, NOTE_CHARS, SCOPES, SHA256
from farhand_server.sessions.rows import Session
from farhand_server.sessions.states import FINAL
from farhand_server.sessions.walk_ins import resolve_unused, resolve_walk_in
from farhand_server.store.schema import devices, time_entries
from farhand_server.wording import check_body

__all__ = ["DECISION_S", "Sessions", "make_sessions"]

logger = logging.getLogger(__name__)

# Consent is asked for 60 s by the device; the rest is for the wire and a slow start.
DECISION_S = 100.0
_REQUEST_S = 10.0
_LOOK_AGAIN_S = 5.0
_GRACE = timedelta(minutes=10)
_WAITING = timedelta(minutes=15)


class Sessions:
    """The sessions of one relay; made once by `make_sessions`."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    # For the API.

    async def get(self, session: str) -> Session:
        """Return a session; raises `not-found`."""
        async with self._relay.db.read() as c:
            return await rows.get(c, self._relay.tenant, session)

    async def open(
        self,
        actor: Actor,
        *,
        session: str,
        device: str,
        ticket: str | None,
        external_key: str | None,
        reason: str,
        envelope: bytes,
        keep: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> Session:
        """Offer a grant to a device and wait until it decides.

        With `keep` it is not offered yet: that stores it, in the same transaction, until others
        have signed it too (approvals.py).

        Raises:
            FarhandError: `grant-mismatch`, `envelope-malformed`, `not-permitted`, `not-found`,
                `session-exists`, `device-offline`.
        """
        relay = self._relay
        grant = self._checked_grant(actor, session, device, envelope)
        authorise(actor, "session.open", parts=grant.scopes)
        try:
            async with relay.db.write() as c:
                await self._require_device(c, device)
                number, key = await rows.resolve_ticket(
                    c, relay, ticket=ticket, external_key=external_key, device=device,
                    actor=actor.name, reason=reason,
                )  # fmt: skip
                await relay.audit.append(
                    c, actor=actor.name, action="session.open", subject=session,
                    detail={"device": device, "scopes": grant.scopes, "reason": reason},
                )  # fmt: skip
                await rows.create(
                    c, relay, event="posted" if keep else "offered", session=session,
                    device=device, guest=False, ticket=number, external_key=key,
                    operator=actor.name, reason=reason,
                    scopes=grant.scopes, expires_at=stamp(parse_instant(grant.expires)),
                )  # fmt: skip
                if keep is not None:
                    await keep(c)
        except IntegrityError as error:
            raise FarhandError("session-exists", "there is a session with this id") from error
        if keep is not None:
            return await self.get(session)
        offer = messages.OfferGrant(session=session, envelope=envelope)
        return await self.offer(session, device, messages.encode_message(offer))

    def _checked_grant(self, actor: Actor, session: str, device: str, data: bytes) -> Grant:
        """Check what the relay can see of a grant: early words, not the device's own check."""
        envelope = decode_envelope(data)
        grant = open_payload(envelope, Grant)
        said = (grant.id, grant.device, grant.tenant)
        if not is_session_id(session) or said != (session, device, self._relay.tenant):
            raise FarhandError("grant-mismatch", "the grant is for another session or device")
        if grant.transcript is not None:
            raise FarhandError("grant-mismatch", "a grant over a code goes through the pairing")
        if grant.operator != actor.name:
            raise not_permitted("the grant names another operator")
        if not signers(envelope, [grant.operator_key]):
            raise FarhandError("grant-mismatch", "the grant is not signed by its operator")
        if not grant.scopes or not SCOPES.issuperset(grant.scopes):
            raise FarhandError("grant-mismatch", "the grant names no scope, or an unknown one")
        return grant

    async def _require_device(self, c: AsyncConnection, device: str) -> None:
        query = select(devices.c.retired_at, devices.c.kind).where(
            devices.c.tenant == self._relay.tenant, devices.c.id == device
        )
        row = (await c.execute(query)).first()
        if row is None:
            raise not_found("device", device)
        if row.kind != AGENT:
            raise agentless(device)
        if row.retired_at is not None:
            raise FarhandError("device-retired", "this device was retired")

    async def offer(self, session: str, device: str, offer: bytes) -> Session:
        """Bring an encoded OfferGrant to a device and wait until it decides.

        Raises:
            FarhandError: `device-offline`.
        """
        relay = self._relay
        changed = asyncio.Event()

        async def hear(_data: bytes) -> None:
            changed.set()

        subject = control.state_subject(relay.tenant, session)
        subscription = await relay.bus.subscribe(subject, hear)
        try:
            await self._deliver_offer(session, device, offer)
            return await self._decided(session, changed)
        finally:
            await subscription.close()

    async def _deliver_offer(self, session: str, device: str, offer: bytes) -> None:
        try:
            subject = control.device_subject(self._relay.tenant, device)
            await self._relay.bus.request(subject, offer, timeout_s=_REQUEST_S)
        except FarhandError as error:
            await self.refuse(session, "device-offline")
            if error.code in ("no-responders", "bus-timeout"):
                raise FarhandError("device-offline", "the device is not connected") from error
            raise

    async def _decided(self, session: str, changed: asyncio.Event) -> Session:
        """Wait until the device has decided, looking at the row now and then."""
        try:
            async with asyncio.timeout(DECISION_S):
                while True:
                    found = await self.get(session)
                    if found.state != "asked":
                        return found
                    try:
                        async with asyncio.timeout(_LOOK_AGAIN_S):
                            await changed.wait()
                        changed.clear()
                    except TimeoutError:
                        # A lost wake-up; the row is read again.
                        continue
        except TimeoutError:
            await self.refuse(session, "device-timeout")
            await self.tell_device(await self.get(session), "device-timeout")
            return await self.get(session)

    async def attach(self, actor: Actor, session: str, number: int | None) -> control.Attached:
        """Have the node of the session's control link make a pipe; any free one for None.

        Raises:
            FarhandError: `not-found`, `not-permitted`, `session-ended`, `session-state`,
                `session-not-connected`, `session-busy`.
        """
        found = await self.get(session)
        if await self._holder(found) != actor.name:
            async with self._relay.db.read() as c:
                if not await rows.is_inside(c, self._relay.tenant, session, actor.name):
                    raise not_permitted("this is somebody else's session")
        if found.state in FINAL or self._is_past(found.expires_at):
            raise FarhandError("session-ended", "the session is over")
        if found.state != "active":
            raise FarhandError("session-state", "the session is not active yet")
        request = control.encode(control.Attach(number=number))
        try:
            answer = await self._relay.bus.request(
                control.session_subject(self._relay.tenant, session),
                request,
                timeout_s=_REQUEST_S,
            )
        except FarhandError as error:
            await self._require_running(session)
            if error.code in ("no-responders", "bus-timeout"):
                raise FarhandError(
                    "session-not-connected",
                    "the session's process is not connected just now",
                    hint="the device may be reconnecting; try again in a few seconds",
                ) from error
            raise
        await self._require_running(session)
        return control.decode_attached(answer)

    async def _holder(self, session: Session) -> str:
        """Return who has a session now: its operator, or to whom it was handed over."""
        async with self._relay.db.read() as c:
            leader = await rows.leader(c, self._relay.tenant, session.session)
        return session.operator if leader is None else leader[0]

    async def _require_running(self, session: str) -> None:
        """Look again: the device may have reported the end while its link was asked."""
        if (await self.get(session)).state in FINAL:
            raise FarhandError("session-ended", "the session is over")

    async def require_own(self, actor: Actor, session: str) -> Session:
        """Return a session that is the actor's own; raises `not-found`, `not-permitted`."""
        found = await self.get(session)
        if found.operator != actor.name:
            raise not_permitted("this is somebody else's session")
        return found

    def _is_past(self, at: str | None) -> bool:
        return at is not None and parse_instant(at) < self._relay.now()

    async def end(
        self,
        actor: Actor,
        session: str,
        *,
        note: str,
        active_s: int | None,
        receipt_sha256: str | None,
    ) -> Session:
        """End a session with a note; told twice, the second fills in what the first left out.

        Raises:
            FarhandError: `not-found`, `not-permitted`, `invalid`, `session-state` for one that was
                refused.
        """
        found = await self.get(session)
        is_holder = await self._holder(found) == actor.name
        if not is_holder and actor.role != "admin":
            raise not_permitted("this is somebody else's session")
        ender = "operator" if is_holder else "admin"
        note = check_body(note, "note", max_chars=NOTE_CHARS) if note.strip() else ""
        if receipt_sha256 is not None and not SHA256.match(receipt_sha256):
            raise FarhandError("invalid", "a receipt's hash has 64 hex digits")
        was_running = found.state not in FINAL
        async with self._relay.db.write() as c:
            await self._relay.audit.append(
                c, actor=actor.name, action="session.end", subject=session,
                detail={"receipt_sha256": receipt_sha256},
            )  # fmt: skip
            ended = await self.close(
                c, session, reason=ender, note=note, active_s=active_s,
                receipt_sha256=receipt_sha256, said_by=actor.name,
            )  # fmt: skip
        if was_running:
            await self.tell_device(ended, f"ended-by-{ender}")
            await self.tell_nodes(session)
        return ended

    async def close(
        self,
        c: AsyncConnection,
        session: str,
        *,
        reason: str,
        note: str,
        active_s: int | None,
        receipt_sha256: str | None,
        said_by: str,
    ) -> Session:
        """End the row and put its time on the ticket, once; in the caller's transaction."""
        before = await rows.get(c, self._relay.tenant, session)
        now = self._relay.stamp()
        is_first = before.state != "ended"
        seconds = None
        if is_first and before.started_at is not None:
            # Both ends may say how long it was, up to how long the relay has known the session: the
            # device began before its report of that came here.  Each rounds to whole seconds.
            since = before.started_at if active_s is None else before.created_at
            known_s = int((self._relay.now() - parse_instant(since)).total_seconds())
            seconds = known_s if active_s is None else min(active_s, known_s + 1)
            seconds = max(0, min(seconds, LONGEST_S))
        if receipt_sha256 and before.receipt_sha256 not in (None, receipt_sha256):
            await rows.add_event(
                c, self._relay, session, "receipt-mismatch",
                {"by": said_by, "receipt_sha256": receipt_sha256},
            )  # fmt: skip
            receipt_sha256 = None
        _, after = await rows.move(
            c, self._relay, session, "ended",
            detail={"by": said_by, "reason": reason if is_first else before.reason},
            reason=reason if is_first else None,
            note=note if note and not before.note else None,
            ended_at=now if is_first else None,
            active_s=seconds,
            receipt_sha256=receipt_sha256 if before.receipt_sha256 is None else None,
        )  # fmt: skip
        if is_first and after.started_at is None and not after.note:
            await resolve_walk_in(c, self._relay, session, reason)
        await self._note_time(c, after)
        return await rows.get(c, self._relay.tenant, session)

    async def _note_time(self, c: AsyncConnection, ended: Session) -> None:
        number = await rows.ticket_number(c, self._relay.tenant, ended.session)
        if number is None or ended.started_at is None or ended.ended_at is None:
            return
        account, started_at, active_s = ended.operator, ended.started_at, ended.active_s
        if (leader := await rows.leader(c, self._relay.tenant, ended.session)) is not None:
            # Two had it, one after the other: each has her part of its time.
            account, at = leader
            part = parse_instant(at) - parse_instant(started_at)
            first_s = max(0, min(active_s, round(part.total_seconds())))
            await record_time(
                c, self._relay, ticket=number, account=ended.operator, session=ended.session,
                started_at=started_at, ended_at=at, active_s=first_s, note="",
            )  # fmt: skip
            started_at, active_s = at, active_s - first_s
        entry = await record_time(
            c, self._relay, ticket=number, account=account, session=ended.session,
            started_at=started_at, ended_at=ended.ended_at, active_s=active_s, note=ended.note,
        )  # fmt: skip
        if ended.note and not entry.note:
            # The device ended it first; the operator's note came later.
            await c.execute(
                update(time_entries)
                .where(time_entries.c.tenant == self._relay.tenant, time_entries.c.id == entry.id)
                .values(note=ended.note)
            )

    async def refuse(self, session: str, reason: str) -> None:
        """Mark a session that came to nothing; safe to repeat, and without effect on a live one."""
        async with self._relay.db.write() as c:
            found = await rows.find(c, self._relay.tenant, session)
            if found is None or found.state not in ("waiting", "pairing", "asked"):
                return
            await self._relay.audit.append(
                c, actor="relay", action="session.refused", subject=session,
                detail={"reason": reason},
            )  # fmt: skip
            await rows.move(
                c, self._relay, session, "refused", detail={"reason": reason}, reason=reason,
                ended_at=self._relay.stamp(),
            )  # fmt: skip
            await resolve_walk_in(c, self._relay, session, reason)
        await self.changed(session)

    async def requested(self, session: str) -> None:
        """Note that the sealed request goes to the device."""
        async with self._relay.db.write() as c:
            await rows.move(c, self._relay, session, "requested")

    # Telling others.

    async def changed(self, session: str) -> None:
        """Wake whoever waits for this session's row."""
        try:
            await self._relay.bus.publish(control.state_subject(self._relay.tenant, session), b"")
        except FarhandError as error:
            # Whoever waits looks at the row by itself every few seconds.
            logger.warning("change of %s was not told: %s", session, error)

    async def tell_device(self, session: Session, reason: str) -> bool:
        """Tell the device to end a session, over its control link or else its resident one."""
        message = messages.encode_message(
            messages.EndSession(session=session.session, reason=reason)
        )
        tenant = self._relay.tenant
        ways = (
            (
                control.session_subject(tenant, session.session),
                control.encode(control.Deliver(message=message)),
            ),
            (control.device_subject(tenant, session.device), message),
        )
        for subject, data in ways:
            try:
                await self._relay.bus.request(subject, data, timeout_s=_REQUEST_S)
            except FarhandError as error:
                logger.info("end of %s not delivered on %s: %s", session.session, subject, error)
            else:
                return True
        return False

    async def tell_nodes(self, session: str) -> None:
        """Tell every node that a session is over, so that its pipes close."""
        await self.changed(session)
        try:
            note = control.encode(control.Ended(session=session))
            await self._relay.bus.publish(control.nodes_subject(self._relay.tenant), note)
        except FarhandError as error:
            # The pipes end with the device's own end of the session, too.
            logger.warning("end of %s was not told to the nodes: %s", session, error)

    # The device's end.

    async def end_of_device(self, device: str, *, reason: str, actor: str) -> int:
        """End every session of a device and close its pipes on all nodes; return how many."""
        async with self._relay.db.read() as c:
            found = await rows.open_of_device(c, self._relay.tenant, device)
        for session in found:
            if session.state == "active":
                async with self._relay.db.write() as c:
                    await self._relay.audit.append(
                        c, actor=actor, action="session.end", subject=session.session,
                        detail={"reason": reason},
                    )  # fmt: skip
                    await self.close(
                        c, session.session, reason=reason, note="", active_s=None,
                        receipt_sha256=None, said_by=actor,
                    )  # fmt: skip
            else:
                await self.refuse(session.session, reason)
            await self.tell_device(session, reason)
            await self.tell_nodes(session.session)
        return len(found)

    # Now and then.

    async def sweep(self) -> int:
        """End sessions whose time is long over and that nobody reported on; return how many.

        Walk-in tickets whose session never came here are resolved.
        """
        now = self._relay.now()
        async with self._relay.db.read() as c:
            found = await rows.stale(
                c,
                self._relay.tenant,
                expired_before=stamp(now - _GRACE),
                waiting_before=stamp(now - _WAITING),
            )
        for session in found:
            if session.state != "active":
                await self.refuse(session.session, "expired")
                continue
            async with self._relay.db.write() as c:
                await self._relay.audit.append(
                    c, actor="relay", action="session.expired", subject=session.session
                )
                await self.close(
                    c, session.session, reason="expired", note="", active_s=None,
                    receipt_sha256=None, said_by="relay",
                )  # fmt: skip
            await self.tell_nodes(session.session)
        async with self._relay.db.write() as c:
            await resolve_unused(c, self._relay, before=stamp(now - _WAITING))
        return len(found)


def make_sessions(relay: Relay) -> Sessions:
    """Make the service; reached as `relay.service(make_sessions)`."""
    return Sessions(relay)
