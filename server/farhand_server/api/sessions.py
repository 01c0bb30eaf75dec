"""Routes of sessions: pairings, mailbox, grants, pipes, and how a session ended."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from farhand_protocol.errors import UsageError
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.desk.references import parse_reference
from farhand_server.desk.tickets import find_ticket
from farhand_server.gateway.node import make_gateway
from farhand_server.gateway.rendezvous import Pairing, Phase
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.sessions.approvals import MAX_APPROVALS, WaitingGrant, make_approvals
from farhand_server.sessions.control import Attached
from farhand_server.sessions.members import Member, make_members
from farhand_server.sessions.rows import Session
from farhand_server.sessions.service import make_sessions
from farhand_server.sessions.states import STATES
from farhand_server.wording import check_line

__all__ = ["AREA"]

_MAX_BODY = 48 * 1024
_MAX_ENVELOPE = 256 * 1024
_MAX_APPROVAL = 8 * 1024
# Litestar keeps the plain name `state` for itself.
_State = Annotated[str | None, QueryParameter(name="state", required=False)]
_Line = Annotated[str, msgspec.Meta(max_length=200)]
# As long as a device takes it in a grant.
_MAX_REASON_CHARS = 500
_Reason = Annotated[str, msgspec.Meta(max_length=_MAX_REASON_CHARS)]
_Id = Annotated[str, msgspec.Meta(max_length=64)]


# Python's `$` also matches before a last newline; the lookahead says the same in every dialect.
class NewPairing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A technician typed a code; only its nameplate comes here."""

    nameplate: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4,6}$(?!\n)")]
    ticket: _Line | None = None
    external_key: _Line | None = None
    reason: _Reason = ""


class MailboxBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pairing blob; opaque to the relay."""

    phase: Phase
    body: Annotated[bytes, msgspec.Meta(max_length=_MAX_BODY)]


class MailboxAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The device's blob."""

    body: bytes


class NewSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed grant for a session without a code."""

    session: _Id
    device: _Id
    envelope: Annotated[bytes, msgspec.Meta(max_length=_MAX_ENVELOPE)]
    ticket: _Line | None = None
    external_key: _Line | None = None
    reason: _Reason = ""
    approvals_needed: Annotated[int, msgspec.Meta(ge=0, le=MAX_APPROVALS)] = 0


class SealedApproval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sealed GrantApproval."""

    envelope: Annotated[bytes, msgspec.Meta(max_length=_MAX_APPROVAL)]


class SealedJoin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sealed grant that joins a session."""

    envelope: Annotated[bytes, msgspec.Meta(max_length=_MAX_APPROVAL)]


class Ending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a session ended, by its operator."""

    note: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    active_s: Annotated[int, msgspec.Meta(ge=0, le=7 * 86_400)] | None = None
    receipt_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")] | None = None


def _optional_line(text: str | None, field: str) -> str | None:
    return check_line(text, field) if text is not None else None


def _reason(text: str) -> str:
    if not text.strip():
        return ""
    return check_line(" ".join(text.split()), "reason", max_chars=_MAX_REASON_CHARS)


class PairingController(Controller):
    """Sessions by code."""

    path = "/pairings"

    @post("/", action="session.pair", status_code=201)
    async def claim(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: Request[Any, Any, Any],
        data: JSONBody[NewPairing],
    ) -> Pairing:
        """Claim a nameplate."""
        return await relay.service(make_gateway).rendezvous.claim(
            actor,
            nameplate=data.nameplate,
            ticket=_optional_line(data.ticket, "ticket"),
            external_key=_optional_line(data.external_key, "external key"),
            reason=_reason(data.reason),
            address=caller_address(request, relay),
        )


class SessionController(Controller):
    """Sessions."""

    path = "/sessions"

    @get("/", action="session.read")
    async def list_sessions(
        self,
        relay: FromRelay,
        in_state: _State = None,
        device: FromQuery[str | None] = None,
        ticket: FromQuery[str | None] = None,
        operator: FromQuery[str | None] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Page[Session]:
        """Return sessions, newest first; an operator's are those that she has, or joined."""
        if in_state is not None and in_state not in STATES:
            raise UsageError("invalid", f"a session's state is one of {', '.join(STATES)}")
        before: Any = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            number = None
            if ticket is not None:
                found = await find_ticket(c, relay.tenant, ticket)
                number = found.row if found is not None else parse_reference(ticket)
                if number is None:
                    return Page(items=[])
            listed = await rows.list_sessions(
                c,
                relay.tenant,
                state=in_state,
                device=device,
                ticket=number,
                operator=operator,
                before=before,
                limit=limit + 1,
            )
        return page_of(listed, limit, lambda row: row, lambda row: (row.created_at, row.session))

    @post("/", action="session.open", status_code=201)
    async def open_session(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewSession]
    ) -> Session:
        """Offer a grant to a device and wait for its decision; or for others to approve it."""
        needed = data.approvals_needed
        keep = partial(
            relay.service(make_approvals).store,
            session=data.session,
            envelope=data.envelope,
            needed=needed,
        )
        return await relay.service(make_sessions).open(
            actor,
            session=data.session,
            device=data.device,
            ticket=_optional_line(data.ticket, "ticket"),
            external_key=_optional_line(data.external_key, "external key"),
            reason=_reason(data.reason),
            envelope=data.envelope,
            keep=keep if needed else None,
        )

    @get("/waiting", action="session.read")
    async def waiting(
        self, relay: FromRelay, cursor: Cursor = None, limit: Limit = 50
    ) -> Page[WaitingGrant]:
        """Return grants that wait for approvals, newest first."""
        before: Any = decode_cursor(cursor, str, str)
        listed = await relay.service(make_approvals).waiting(before=before, limit=limit + 1)
        return page_of(listed, limit, lambda row: row, lambda row: (row.created_at, row.session))

    @get("/{session:str}/approvals", action="session.read")
    async def approvals(self, relay: FromRelay, session: FromPath[str]) -> WaitingGrant:
        """Return one grant that waits."""
        return await relay.service(make_approvals).get(session)

    @post("/{session:str}/approvals", action="session.approve", status_code=201)
    async def approve(
        self,
        relay: FromRelay,
        actor: FromActor,
        session: FromPath[str],
        data: JSONBody[SealedApproval],
    ) -> WaitingGrant:
        """Approve a grant that waits, as an operator who signed that."""
        return await relay.service(make_approvals).approve(actor, session, data.envelope)

    @post("/{session:str}/offer", action="session.open", status_code=200)
    async def offer(self, relay: FromRelay, actor: FromActor, session: FromPath[str]) -> Session:
        """Offer a grant that has its approvals, and wait for the device's decision."""
        return await relay.service(make_approvals).offer(actor, session)

    @get("/{session:str}", action="session.read")
    async def show(self, relay: FromRelay, session: FromPath[str]) -> Session:
        """Return one session."""
        return await relay.service(make_sessions).get(session)

    @post("/{session:str}/mailbox", action="session.pair", status_code=200)
    async def mailbox(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: Request[Any, Any, Any],
        session: FromPath[str],
        data: JSONBody[MailboxBody],
    ) -> MailboxAnswer:
        """Exchange one pairing blob with the device."""
        body = await relay.service(make_gateway).rendezvous.mailbox(
            actor, session, phase=data.phase, body=data.body, address=caller_address(request, relay)
        )
        return MailboxAnswer(body=body)

    @post("/{session:str}/pipes/{number:int}", action="session.attach", status_code=201)
    async def attach(
        self, relay: FromRelay, actor: FromActor, session: FromPath[str], number: FromPath[int]
    ) -> Attached:
        """Attach or re-attach a pipe."""
        return await relay.service(make_sessions).attach(actor, session, number)

    @post("/{session:str}/pipes", action="session.attach", status_code=201)
    async def attach_any(
        self, relay: FromRelay, actor: FromActor, session: FromPath[str]
    ) -> Attached:
        """Attach a pipe that nobody holds, where two consoles are in one session."""
        return await relay.service(make_sessions).attach(actor, session, None)

    @post("/{session:str}/join", action="session.join", status_code=201)
    async def join(
        self,
        relay: FromRelay,
        actor: FromActor,
        session: FromPath[str],
        data: JSONBody[SealedJoin],
    ) -> Member:
        """Ask to join somebody else's session, and wait for the device's decision."""
        return await relay.service(make_members).join(actor, session, data.envelope)

    @get("/{session:str}/members", action="session.read")
    async def members(self, relay: FromRelay, session: FromPath[str]) -> list[Member]:
        """Return who asked to join a session, in that order."""
        return await relay.service(make_members).members(session)

    @post("/{session:str}/leave", action="session.join", status_code=200)
    async def leave(self, relay: FromRelay, actor: FromActor, session: FromPath[str]) -> Member:
        """Leave a session that one joined."""
        return await relay.service(make_members).leave(actor, session)

    @post("/{session:str}/end", action="session.end", status_code=200)
    async def end(
        self, relay: FromRelay, actor: FromActor, session: FromPath[str], data: JSONBody[Ending]
    ) -> Session:
        """End a session with a note."""
        return await relay.service(make_sessions).end(
            actor,
            session,
            note=data.note,
            active_s=data.active_s,
            receipt_sha256=data.receipt_sha256,
        )


async def _start(relay: Relay) -> None:
    await relay.service(make_gateway).start()


async def _drain(relay: Relay) -> None:
    await relay.service(make_gateway).drain()


AREA = Area(
    name="sessions",
    controllers=[PairingController, SessionController],
    statuses={
        "code-unknown": 404,
        "code-claimed": 409,
        "code-expired": 410,
        "code-wrong": 409,
        "code-burned": 409,
        "pairing-malformed": 409,
        "device-offline": 409,
        "device-timeout": 409,
        "device-retired": 409,
        "device-error": 409,
        "session-exists": 409,
        "session-state": 409,
        "session-waiting": 409,
        "approval-mismatch": 422,
        "approval-twice": 409,
        "join-own": 409,
        "join-full": 409,
        "join-none": 409,
        "session-busy": 409,
        "session-not-connected": 409,
        "session-ended": 410,
        "grant-mismatch": 422,
        "pipe-number": 422,
        "relay-full": 503,
        "nameplates-full": 503,
        "bus-malformed": 502,
    },
    start=_start,
    drain=_drain,
)
