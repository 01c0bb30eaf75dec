"""Operators who join somebody else's session.

    (none)   a console brings a grant   -> asked     taken to the session's control link
    asked    the device's report        -> in, refused
    asked    nobody decides in time     -> refused   `device-timeout`
    in       the device's report, she
             leaves, the session ends   -> left
    in       the device's report        -> in         and the session is hers (`leads_at`)

As with sessions, the relay carries the grant and writes down what the device says; it decides only
whose pipes it makes.  Of what the device reports the last word counts: it says everything again on
each new link.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol import messages
from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant
from farhand_server.accounts.authorisation import Actor
from farhand_server.errors import not_permitted
from farhand_server.relay import Relay
from farhand_server.sessions import control, rows
from farhand_server.sessions.reports import ControlLink
from farhand_server.sessions.rows import Session
from farhand_server.sessions.service import DECISION_S, make_sessions
from farhand_server.store.schema import session_members as table

__all__ = ["MAX_ASKED", "Member", "Members", "make_members"]

logger = logging.getLogger(__name__)

MAX_ASKED: Final = 32
_REQUEST_S: Final = 10.0
_LOOK_AGAIN_S: Final = 5.0

State = Literal["asked", "in", "refused", "left"]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One operator who asked to join a session; `join` is the id of her grant."""

    join: str
    session: str
    operator: str
    mode: str
    state: State
    reason: str
    asked_at: str
    joined_at: str | None
    left_at: str | None
    leads_at: str | None


def make_members(relay: Relay) -> Members:
    """Return the relay's members of sessions."""
    return Members(relay)


class Members:
    """Who joined which session."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._sessions = relay.service(make_sessions)

    async def members(self, session: str) -> list[Member]:
        """Return who asked to join a session; raises `not-found`."""
        await self._sessions.get(session)
        async with self._relay.db.read() as c:
            return await self._of(c, session)

    async def _of(self, c: AsyncConnection, session: str, **values: str) -> list[Member]:
        where = [table.c.tenant == self._relay.tenant, table.c.session == session]
        where += [table.c[name] == value for name, value in values.items()]
        query = select(table).where(*where).order_by(table.c.asked_at, table.c.id)
        found = (await c.execute(query.limit(MAX_ASKED))).mappings()
        return [Member(join=row["id"], **_same(row)) for row in found]

    async def join(self, actor: Actor, session: str, data: bytes) -> Member:
        """Bring a sealed grant to the session's own link, and wait until the device decides.

        Raises:
            FarhandError: `not-found`, `not-permitted`, `session-state`, `grant-mismatch`,
                `join-own`, `join-full`, `session-exists`, `session-not-connected`.
        """
        found = await self._sessions.get(session)
        grant = self._checked_grant(actor, found, data)
        if found.operator == actor.name:
            raise FarhandError("join-own", "this is your own session")
        if found.state != "active":
            raise FarhandError("session-state", f"the session is {found.state}")
        await self._store(actor, session, grant)
        offer = messages.encode_message(messages.OfferGrant(session=session, envelope=data))
        async with self._woken(session) as woken:
            await self._bring(session, grant.id, offer)
            return await self._decided(session, grant.id, woken)

    def _checked_grant(self, actor: Actor, session: Session, data: bytes) -> Grant:
        """Check what the relay can see: early words, not the device's own check."""
        envelope = decode_envelope(data)
        grant = open_payload(envelope, Grant)
        said = (grant.tenant, grant.joins, grant.device)
        if said != (self._relay.tenant, session.session, session.device):
            raise FarhandError("grant-mismatch", "the grant is for another session or device")
        if grant.mode not in ("observer", "peer") or not 1 <= len(grant.id) <= 64:
            raise FarhandError("grant-mismatch", "with this grant one joins nothing")
        if grant.operator != actor.name:
            raise not_permitted("the grant names another operator")
        if not signers(envelope, [grant.operator_key]):
            raise FarhandError("grant-mismatch", "the grant is not signed by its operator")
        return grant

    async def _store(self, actor: Actor, session: str, grant: Grant) -> None:
        relay = self._relay
        counted = (
            select(func.count())
            .select_from(table)
            .where(table.c.tenant == relay.tenant, table.c.session == session)
        )
        try:
            async with relay.db.write() as c:
                if (await c.scalar(counted) or 0) >= MAX_ASKED:
                    raise FarhandError("join-full", "too many have asked to join this session")
                if await rows.is_inside(c, relay.tenant, session, actor.name):
                    raise FarhandError("join-own", "you are in this session already")
                await relay.audit.append(
                    c, actor=actor.name, action="session.join", subject=session,
                    detail={"join": grant.id, "mode": grant.mode},
                )  # fmt: skip
                await c.execute(
                    insert(table).values(
                        tenant=relay.tenant,
                        session=session,
                        id=grant.id,
                        operator=actor.name,
                        mode=grant.mode,
                        state="asked",
                        reason="",
                        asked_at=relay.stamp(),
                    )
                )
        except IntegrityError as error:
            raise FarhandError("session-exists", "there is a grant with this id") from error

    @asynccontextmanager
    async def _woken(self, session: str) -> AsyncIterator[asyncio.Event]:
        """Hold an event that is set when the session or somebody in it changes."""
        changed = asyncio.Event()

        async def hear(_data: bytes) -> None:
            changed.set()

        subject = control.state_subject(self._relay.tenant, session)
        subscription = await self._relay.bus.subscribe(subject, hear)
        try:
            yield changed
        finally:
            await subscription.close()

    async def _bring(self, session: str, join: str, message: bytes) -> None:
        try:
            await self._relay.bus.request(
                control.session_subject(self._relay.tenant, session),
                control.encode(control.Deliver(message=message)),
                timeout_s=_REQUEST_S,
            )
        except FarhandError as error:
            await self._move(session, join, "refused", "device-offline")
            if error.code in ("no-responders", "bus-timeout"):
                raise FarhandError(
                    "session-not-connected",
                    "the session's process is not connected just now",
                    hint="the device may be reconnecting; try again in a few seconds",
                ) from error
            raise

    async def _decided(self, session: str, join: str, woken: asyncio.Event) -> Member:
        """Wait until the device has decided, looking at the row now and then."""
        try:
            async with asyncio.timeout(DECISION_S):
                while True:
                    found = await self._get(session, join)
                    if found.state != "asked":
                        return found
                    try:
                        async with asyncio.timeout(_LOOK_AGAIN_S):
                            await woken.wait()
                        woken.clear()
                    except TimeoutError:
                        # A lost wake-up; the row is read again.
                        continue
        except TimeoutError:
            await self._move(session, join, "refused", "device-timeout")
            await self._tell_to_go(session, join)
            return await self._get(session, join)

    async def _get(self, session: str, join: str) -> Member:
        async with self._relay.db.read() as c:
            return (await self._of(c, session, id=join))[0]

    async def leave(self, actor: Actor, session: str) -> Member:
        """Put the actor out of a session that she joined.

        Raises:
            FarhandError: `not-found`, `join-none` when she is not in it.
        """
        await self._sessions.get(session)
        async with self._relay.db.read() as c:
            inside = await self._of(c, session, operator=actor.name, state="in")
        if not inside:
            raise FarhandError("join-none", "you have not joined this session")
        if inside[-1].leads_at is not None:
            raise FarhandError(
                "session-state",
                "this session was handed over to you",
                hint="end it with a note: farhand session end S --note TEXT",
            )
        join = inside[-1].join
        await self._move(session, join, "left", "left", by=actor.name)
        await self._tell_to_go(session, join)
        return await self._get(session, join)

    async def _tell_to_go(self, session: str, join: str) -> None:
        message = messages.encode_message(messages.EndSession(session=join, reason="left"))
        try:
            await self._relay.bus.request(
                control.session_subject(self._relay.tenant, session),
                control.encode(control.Deliver(message=message)),
                timeout_s=_REQUEST_S,
            )
        except FarhandError as error:
            # It makes no pipe for her any more; the device keeps her until it hears, or to the end.
            logger.info("the end of %s was not delivered: %s", join, error)

    async def _move(
        self, session: str, join: str, state: State, reason: str, *, by: str = "relay"
    ) -> bool:
        """Write what became of a grant that joins; False where that changes nothing.

        A word that comes late changes nothing that is over: `refused` and `left` stay.
        """
        relay = self._relay
        before = {"in": ["asked"], "refused": ["asked"], "left": ["asked", "in"]}[state]
        times = {"in": {"joined_at": relay.stamp()}, "left": {"left_at": relay.stamp()}}
        where = and_(
            table.c.tenant == relay.tenant,
            table.c.session == session,
            table.c.id == join,
            table.c.state.in_(before),
        )
        async with relay.db.write() as c:
            changed = await c.execute(
                update(table)
                .where(where)
                .values(state=state, reason=reason, **times.get(state, {}))
            )
            if changed.rowcount:
                await relay.audit.append(
                    c, actor=by, action=f"session.join.{state}", subject=session,
                    detail={"join": join, "reason": reason},
                )  # fmt: skip
                await rows.add_event(
                    c, relay, session, f"join-{state}", {"join": join, "reason": reason}
                )
        if changed.rowcount:
            await self._sessions.changed(session)
        return bool(changed.rowcount)

    # From devices.

    async def on_join_report(
        self, link: ControlLink, message: messages.JoinReport
    ) -> messages.RelayMessage | None:
        """Write down what became of a grant that joins; repeated reports change nothing.

        Raises:
            FarhandError: `session-unknown`.
        """
        async with self._relay.db.read() as c:
            found = await rows.find(c, self._relay.tenant, message.session)
            known = await self._of(c, message.session, id=message.join)
        if found is None or found.device != link.device or not known:
            raise FarhandError("session-unknown", "nobody asked this device for that")
        by = f"device:{link.device}"
        state: State = "in" if message.state == "leads" else message.state
        await self._move(message.session, message.join, state, message.reason, by=by)
        if message.state == "leads":
            await self._lead(message.session, message.join, by=by)
        if state == "in" and (await self._get(message.session, message.join)).state != "in":
            # It was decided here first, and that stands: the device hears it again.
            return await self._answer_and_go(link, message)
        return messages.Ack(seq=message.seq)

    async def _lead(self, session: str, join: str, *, by: str) -> None:
        """Write down that a session was handed over to a peer who is in it; once."""
        relay = self._relay
        where = and_(
            table.c.tenant == relay.tenant,
            table.c.session == session,
            table.c.id == join,
            table.c.state == "in",
            table.c.mode == "peer",
        )
        async with relay.db.write() as c:
            if await rows.leader(c, relay.tenant, session) is not None:
                return
            changed = await c.execute(update(table).where(where).values(leads_at=relay.stamp()))
            if not changed.rowcount:
                return
            await relay.audit.append(
                c, actor=by, action="session.handed-over", subject=session, detail={"join": join}
            )
            await rows.add_event(c, relay, session, "handed-over", {"join": join})
        await self._sessions.changed(session)

    async def _answer_and_go(
        self, link: ControlLink, message: messages.JoinReport
    ) -> messages.RelayMessage:
        link.send(messages.Ack(seq=message.seq))
        return messages.EndSession(session=message.join, reason="left")

    async def on_session_report(
        self, link: ControlLink, message: messages.SessionReport
    ) -> messages.RelayMessage | None:
        """Let everybody leave a session whose device says that it has ended."""
        if message.state != "ended":
            return None
        async with self._relay.db.read() as c:
            found = await rows.find(c, self._relay.tenant, message.session)
            inside = await self._of(c, message.session, state="in")
        if found is not None and found.device == link.device:
            for one in inside:
                await self._move(message.session, one.join, "left", "ended")
        return None


def _same(row: Any) -> dict[str, Any]:
    """Return a row's values as the API names them."""
    return {name: row[name] for name in Member.__struct_fields__ if name != "join"}
