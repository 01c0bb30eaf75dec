"""Session rows and events, inside the caller's transaction.

Every change of a row's state goes through `move`, which reads the row under a lock, asks the table
in `sessions.states`, writes the row and appends an event.  Events are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.identity import is_session_id
from farhand_server.contracts.cover import check_may_begin
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import find_ticket, get_ticket
from farhand_server.desk.walk_ins import create_walk_in
from farhand_server.errors import not_found
from farhand_server.fleet.aliases import same_device
from farhand_server.relay import Relay
from farhand_server.sessions.states import (
    FINAL,
    STATES,
    SessionEvent,
    SessionState,
    first_state,
    next_state,
)
from farhand_server.store.schema import (
    devices,
    session_events,
    session_members,
    time_entries,
    waiting_grants,
)
from farhand_server.store.schema import sessions as table

__all__ = [
    "Session",
    "add_event",
    "create",
    "find",
    "get",
    "is_inside",
    "leader",
    "list_sessions",
    "move",
    "open_of_device",
    "reachable",
    "resolve_ticket",
    "stale",
    "ticket_number",
]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the API shows it; `ticket` reads `FH-1` or is an external key.

    `purpose` is what the technician gave as the reason when it was opened, `reason` a stable code
    for how it ended.  `operator` opened it; `holder` has it, another one after a handover.
    """

    session: str
    device: str
    guest: bool
    ticket: str | None
    operator: str
    holder: str
    state: SessionState
    purpose: str
    reason: str
    scopes: list[str]
    created_at: str
    started_at: str | None
    ended_at: str | None
    expires_at: str | None
    active_s: int
    receipt_sha256: str | None
    time_entry: str | None
    note: str


def _shown(row: RowMapping) -> Session:
    number = row["ticket"]
    same = {
        name: row[name]
        for name in Session.__struct_fields__
        if name not in ("session", "ticket", "holder", "purpose", "scopes", "time_entry")
    }
    return Session(
        session=row["id"],
        ticket=row["external_key"] if number is None else format_number(number),
        holder=row["heir"] or row["operator"],
        purpose=_purpose(row["opening"]),
        scopes=row["scopes"].split(),
        time_entry=row["time_entry"],
        **same,
    )


def _purpose(opening: str | None) -> str:
    """Return the reason that a session's first event names."""
    return str(msgspec.json.decode(opening or "{}").get("reason") or "")


def _query(tenant: str) -> Any:
    events = session_events.c
    opening = (
        select(events.detail)
        .where(events.tenant == table.c.tenant, events.session == table.c.id)
        .order_by(events.seq)
        .limit(1)
        .correlate(table)
        .scalar_subquery()
    )
    # Of a session that was handed over it is the last one's.
    entry = (
        select(time_entries.c.id)
        .where(time_entries.c.tenant == table.c.tenant, time_entries.c.session == table.c.id)
        .order_by(time_entries.c.ended_at.desc(), time_entries.c.started_at.desc())
        .limit(1)
        .correlate(table)
        .scalar_subquery()
    )
    return select(
        table,
        entry.label("time_entry"),
        opening.label("opening"),
        _heir().label("heir"),
    ).where(table.c.tenant == tenant)


def _heir() -> Any:
    """Return to whom the session of the row was handed over; null where it was not."""
    return (
        select(session_members.c.operator)
        .where(
            session_members.c.tenant == table.c.tenant,
            session_members.c.session == table.c.id,
            session_members.c.leads_at.is_not(None),
        )
        .limit(1)
        .correlate(table)
        .scalar_subquery()
    )


async def find(c: AsyncConnection, tenant: str, session: str) -> Session | None:
    """Return a session, or None."""
    if not is_session_id(session):
        return None
    row = (await c.execute(_query(tenant).where(table.c.id == session))).mappings().first()
    return None if row is None else _shown(row)


async def get(c: AsyncConnection, tenant: str, session: str) -> Session:
    """Return a session; raises `not-found`."""
    found = await find(c, tenant, session)
    if found is None:
        raise not_found("session", session)
    return found


async def list_sessions(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None,
    device: str | None,
    ticket: int | None,
    operator: str | None,
    before: tuple[str, str] | None,
    limit: int,
) -> list[Session]:
    """Return sessions, newest first; `before` is (created_at, id) of the last one seen.

    An operator's are those that she has, and those of others that she is in.
    """
    where: list[ColumnElement[bool]] = []
    if state is not None:
        where.append(table.c.state == state)
    if device is not None:
        where.append(same_device(table.c.device, tenant, device))
    if ticket is not None:
        where.append(table.c.ticket == ticket)
    if operator is not None:
        joined = select(session_members.c.session).where(
            session_members.c.tenant == tenant,
            session_members.c.operator == operator,
            session_members.c.state == "in",
        )
        mine = func.coalesce(_heir(), table.c.operator) == operator
        where.append(or_(mine, table.c.id.in_(joined)))
    if before is not None:
        at, session = before
        where.append(
            or_(table.c.created_at < at, and_(table.c.created_at == at, table.c.id < session))
        )
    query = _query(tenant).where(*where).order_by(table.c.created_at.desc(), table.c.id.desc())
    return [_shown(row) for row in (await c.execute(query.limit(limit))).mappings()]


async def open_of_device(c: AsyncConnection, tenant: str, device: str) -> list[Session]:
    """Return the device's sessions that are not over."""
    query = _query(tenant).where(
        table.c.device == device, table.c.state.in_([s for s in STATES if s not in FINAL])
    )
    return [_shown(row) for row in (await c.execute(query.order_by(table.c.id))).mappings()]


async def reachable(c: AsyncConnection, tenant: str, *, operator: str, name: str) -> Session | None:
    """Return an operator's newest active session on a device of that id or unique name.

    Args:
        c: a connection.
        tenant: the organisation.
        operator: whose session it must be.
        name: a session id, a device id or a device's name; case does not matter.
    """
    wanted = name.lower()
    named = select(devices.c.id).where(
        devices.c.tenant == tenant, func.lower(devices.c.name) == wanted
    )
    query = (
        _query(tenant)
        .where(
            table.c.operator == operator,
            table.c.state == "active",
            or_(table.c.id == wanted, table.c.device == wanted, table.c.device.in_(named)),
        )
        .order_by(table.c.created_at.desc())
        .limit(20)
    )
    found = [_shown(row) for row in (await c.execute(query)).mappings()]
    # A name that two devices bear stands for neither.
    return found[0] if len({one.device for one in found}) == 1 else None


async def is_inside(c: AsyncConnection, tenant: str, session: str, operator: str) -> bool:
    """Tell whether an operator has joined somebody else's session and not left it."""
    query = select(session_members.c.id).where(
        session_members.c.tenant == tenant,
        session_members.c.session == session,
        session_members.c.operator == operator,
        session_members.c.state == "in",
    )
    return await c.scalar(query.limit(1)) is not None


async def leader(c: AsyncConnection, tenant: str, session: str) -> tuple[str, str] | None:
    """Return to whom a session was handed over and when; she may have left since."""
    query = select(session_members.c.operator, session_members.c.leads_at).where(
        session_members.c.tenant == tenant,
        session_members.c.session == session,
        session_members.c.leads_at.is_not(None),
    )
    row = (await c.execute(query.limit(1))).first()
    return None if row is None else (row.operator, row.leads_at)


async def stale(
    c: AsyncConnection, tenant: str, *, expired_before: str, waiting_before: str, limit: int = 100
) -> list[Session]:
    """Return active sessions that expired, and waiting ones on which nobody will decide."""
    approved = select(waiting_grants.c.session).where(waiting_grants.c.tenant == tenant)
    query = _query(tenant).where(
        or_(
            and_(
                table.c.state.in_(("active", "waiting", "asked")),
                table.c.expires_at < expired_before,
            ),
            and_(
                table.c.state.in_(("pairing", "asked")),
                table.c.created_at < waiting_before,
                # One that waited for approvals was asked later than it was made.
                table.c.id.not_in(approved),
            ),
        )
    )
    return [_shown(row) for row in (await c.execute(query.limit(limit))).mappings()]


async def resolve_ticket(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: str | None,
    external_key: str | None,
    device: str,
    actor: str,
    reason: str,
) -> tuple[int | None, str | None]:
    """Return the ticket number and external key of a new session.

    A named ticket must exist; an external key may be unknown here; with neither, a walk-in ticket
    is made in this transaction (or shared, desk/walk_ins.py).

    Raises:
        FarhandError: `not-found`, `invalid`; `contract-used-up` where its contract allows no more.
    """
    if ticket is not None:
        number: int | None = (await get_ticket(c, relay.tenant, ticket)).row
    elif external_key is not None:
        known = await find_ticket(c, relay.tenant, external_key)
        number = None if known is None else known.row
    else:
        made = await create_walk_in(c, relay, actor=actor, device=device, reason=reason)
        number = made.row
    await check_may_begin(c, relay, ticket=number, device=device)
    return number, external_key


async def create(
    c: AsyncConnection,
    relay: Relay,
    *,
    event: SessionEvent,
    session: str,
    device: str,
    guest: bool,
    ticket: int | None,
    external_key: str | None,
    operator: str,
    reason: str,
    scopes: list[str],
    expires_at: str | None = None,
) -> None:
    """Insert a session in its first state, with its first event.

    Raises:
        sqlalchemy.exc.IntegrityError: there is a session with this id.
    """
    await c.execute(
        insert(table).values(
            tenant=relay.tenant,
            id=session,
            device=device,
            guest=guest,
            ticket=ticket,
            external_key=external_key,
            operator=operator,
            state=first_state(event),
            reason="",
            note="",
            scopes=" ".join(scopes),
            created_at=relay.stamp(),
            expires_at=expires_at,
            active_s=0,
        )
    )
    await add_event(c, relay, session, event, {"operator": operator, "reason": reason})


async def move(
    c: AsyncConnection,
    relay: Relay,
    session: str,
    event: SessionEvent,
    *,
    detail: Mapping[str, Any] | None = None,
    **values: Any,
) -> tuple[Session, Session]:
    """Move a session by one event and set columns; return it as it was and as it is.

    Raises:
        FarhandError: `not-found`, `session-state`.
    """
    where = and_(table.c.tenant == relay.tenant, table.c.id == session)
    await c.execute(select(table.c.id).where(where).with_for_update())
    before = await get(c, relay.tenant, session)
    after = next_state(before.state, event)
    changed = {k: v for k, v in values.items() if v is not None}
    await c.execute(update(table).where(where).values(state=after, **changed))
    if after != before.state or changed:
        await add_event(c, relay, session, event, detail or {})
    return before, await get(c, relay.tenant, session)


async def add_event(
    c: AsyncConnection, relay: Relay, session: str, kind: str, detail: Mapping[str, Any]
) -> None:
    """Append an event to a session."""
    await c.execute(
        insert(session_events).values(
            tenant=relay.tenant,
            session=session,
            kind=kind,
            detail=msgspec.json.encode(dict(detail), order="sorted").decode(),
            at=relay.stamp(),
        )
    )


async def ticket_number(c: AsyncConnection, tenant: str, session: str) -> int | None:
    """Return the ticket of a session as the database keeps it."""
    number: int | None = await c.scalar(
        select(table.c.ticket).where(table.c.tenant == tenant, table.c.id == session)
    )
    return number
