"""What devices say of their sessions: a process comes back for one, one began, was refused, ended.

The device's word is written down; what was decided here before stands, and is not taken back by a
report that comes late or twice.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.grants import MAX_GRANT_MINUTES
from farhand_protocol.identity import is_session_id
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.desk.moves import assign
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import get_ticket
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.sessions.bounds import LONGEST_S, NOTE_CHARS, SCOPES, SHA256
from farhand_server.sessions.service import make_sessions
from farhand_server.sessions.states import FINAL
from farhand_server.sessions.walk_ins import resolve_walk_in
from farhand_server.wording import check_body

__all__ = ["ControlLink", "SessionReports", "make_reports"]

# A device cannot keep a row alive for longer than any grant runs.
_LONGEST = timedelta(minutes=MAX_GRANT_MINUTES)
_CODE = re.compile(r"[a-z0-9-]{1,64}\Z")


class ControlLink(Protocol):
    """What this service needs of a device's link."""

    device: str
    role: Any
    session: str | None

    def send(self, message: messages.RelayMessage) -> bool:
        """Send a message to the device."""

    async def follow(self, session: str) -> None:
        """Become the session's control link."""


class SessionReports:
    """The handlers of device messages about sessions; made once by `make_reports`."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._sessions = relay.service(make_sessions)

    async def on_present(
        self, link: ControlLink, message: messages.Present
    ) -> messages.RelayMessage | None:
        """Let a session process serve its session again, if it is its own and not over."""
        if link.role != "session" or message.session is None:
            return None
        async with self._relay.db.read() as c:
            found = await rows.find(c, self._relay.tenant, message.session)
        if found is None or found.device != link.device:
            return messages.EndSession(session=message.session, reason="session-unknown")
        if found.state in FINAL:
            return messages.EndSession(session=message.session, reason="session-ended")
        await link.follow(message.session)
        return None

    async def on_session_report(
        self, link: ControlLink, message: messages.SessionReport
    ) -> messages.RelayMessage | None:
        """Write down what became of a session; repeated reports change nothing.

        Raises:
            FarhandError: `session-unknown`, `session-state`.
            RemoteError: `message-malformed`.
        """
        self._check(message)
        actor = f"device:{link.device}"
        async with self._relay.db.write() as c:
            found = await rows.find(c, self._relay.tenant, message.session)
            if found is None or found.device != link.device:
                raise FarhandError("session-unknown", "this device has no such session")
            if found.state == "refused" == message.state:
                return messages.Ack(seq=message.seq)
            if found.state in FINAL and message.state != found.state:
                # It was decided here first (operator, sweep), and that stands.
                await rows.add_event(
                    c, self._relay, found.session, "late-report",
                    {"by": actor, "state": message.state},
                )  # fmt: skip
                return messages.Ack(seq=message.seq)
            if found.state != message.state:
                await self._relay.audit.append(
                    c, actor=actor, action=f"session.{message.state}", subject=message.session,
                    detail={"reason": message.reason, "scopes": message.scopes},
                )  # fmt: skip
            await self._report(c, message, actor)
        if message.state == "active" and link.role == "session" and link.session is None:
            # A session by grant alone: its process greeted before it had read the grant.
            await link.follow(message.session)
        await self._sessions.changed(message.session)
        if message.state == "ended":
            await self._sessions.tell_nodes(message.session)
        return messages.Ack(seq=message.seq)

    async def _report(
        self, c: AsyncConnection, message: messages.SessionReport, actor: str
    ) -> None:
        relay = self._relay
        if message.state == "active":
            before = await rows.get(c, relay.tenant, message.session)
            await rows.move(
                c, relay, message.session, "active",
                detail={"by": actor, "scopes": message.scopes},
                scopes=" ".join(message.scopes),
                started_at=relay.stamp() if before.started_at is None else None,
                expires_at=stamp(min(parse_instant(message.expires), relay.now() + _LONGEST)),
            )  # fmt: skip
            await self._take_ticket(c, before)
        elif message.state == "refused":
            await rows.move(
                c, relay, message.session, "refused",
                detail={"by": actor, "reason": message.reason},
                reason=message.reason or "refused", ended_at=relay.stamp(),
            )  # fmt: skip
            await resolve_walk_in(c, relay, message.session, message.reason or "refused")
        else:
            await self._sessions.close(
                c, message.session, reason=message.reason or "ended", note=message.note,
                active_s=message.active_s, receipt_sha256=message.receipt_sha256 or None,
                said_by=actor,
            )  # fmt: skip

    async def _take_ticket(self, c: AsyncConnection, session: rows.Session) -> None:
        """Give a new ticket that nobody has to whoever begins to work on it."""
        if session.started_at is not None:
            return  # it was taken when the session began
        number = await rows.ticket_number(c, self._relay.tenant, session.session)
        if number is None:
            return
        ticket = await get_ticket(c, self._relay.tenant, format_number(number))
        if ticket.state == "new" and ticket.owner is None:
            await assign(
                c, self._relay, ref=ticket.number, owner=session.operator, actor=session.operator
            )

    def _check(self, message: messages.SessionReport) -> None:
        fits = (
            is_session_id(message.session)
            and (not message.reason or _CODE.match(message.reason))
            and SCOPES.issuperset(message.scopes)
            and len(set(message.scopes)) == len(message.scopes)
            and (not message.receipt_sha256 or SHA256.match(message.receipt_sha256))
            and len(message.note) <= NOTE_CHARS
            and 0 <= message.active_s <= LONGEST_S
        )
        if not fits:
            raise RemoteError("message-malformed", "the report cannot be stored")
        try:
            if message.note.strip():
                check_body(message.note, "note", max_chars=NOTE_CHARS)
            if message.state == "active":
                parse_instant(message.expires)
        except FarhandError as error:
            raise RemoteError("message-malformed", "the report cannot be stored") from error


def make_reports(relay: Relay) -> SessionReports:
    """Make the service; reached as `relay.service(make_reports)`."""
    return SessionReports(relay)
