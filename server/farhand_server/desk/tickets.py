"""Tickets: made, found, talked on, resolved, and the time spent on them.

Every function works inside the caller's transaction, so that a session can make its walk-in ticket
or its time entry together with its own rows.  Messages and events are only ever added; the state of
a ticket moves by the one table in `desk.ticket_states`.  Who may do what was decided before
(`accounts.authorisation`); what a requester may *see* is decided here, by `own_only`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_server.desk.references import format_number, parse_reference
from farhand_server.desk.ticket_states import STATES, TicketEvent, next_state
from farhand_server.desk.timeline import Message, add_event, insert_message
from farhand_server.desk.unused import came_to_nothing
from farhand_server.desk.wording import check_body, check_line
from farhand_server.errors import not_found, not_permitted
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    tenants,
    tickets,
    time_entries,
)

__all__ = [
    "Ticket",
    "TimeEntry",
    "active_seconds",
    "add_message",
    "assign",
    "create_ticket",
    "find_ticket",
    "get_ticket",
    "list_tickets",
    "list_time_entries",
    "record_time",
    "reopen",
    "resolve",
]

MAX_ACTIVE_S = 7 * 86_400
_NORMAL_PRIORITY = 3
_FIRST_TIER = 1


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket; `number` reads `FH-1`, `id` is the same in plain digits."""

    id: str
    number: str
    title: str
    state: str
    kind: str
    priority: int
    tier: int
    requester: str | None
    owner: str | None
    device: str | None
    external_key: str | None
    created_by: str
    created_at: str
    updated_at: str
    resolved_at: str | None
    revision: int

    @property
    def row(self) -> int:
        """Return the number as the database keeps it."""
        return int(self.id)


class TimeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Work done; `active_s` counts what a person was really at it for."""

    id: str
    ticket: str
    account: str
    session: str | None
    started_at: str
    ended_at: str
    active_s: int
    note: str


def _ticket(row: RowMapping) -> Ticket:
    values = {name: row[name] for name in Ticket.__struct_fields__ if name not in ("id", "number")}
    number: int = row["number"]
    return Ticket(id=str(number), number=format_number(number), **values)


# Making tickets.


async def create_ticket(
    c: AsyncConnection,
    relay: Relay,
    *,
    title: str,
    actor: str,
    requester: str | None = None,
    device: str | None = None,
    external_key: str | None = None,
    body: str | None = None,
    kind: Literal["incident", "walk-in"] = "incident",
) -> Ticket:
    """Make a ticket inside the caller's write transaction.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        title: one line.
        actor: name of the account that makes it.
        requester: who needs help; an account name, or any name.
        device: id of the device in question, not looked up here.
        external_key: its key in someone else's desk.
        body: first message, by `actor`.
        kind: `walk-in` when a session made it by itself.

    Raises:
        FarhandError: `invalid`.
    """
    tenant, at = relay.tenant, relay.stamp()
    # One ticket at a time takes a number: PostgreSQL waits here, SQLite has one writer anyway.
    await c.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())
    highest = await c.scalar(select(func.max(tickets.c.number)).where(tickets.c.tenant == tenant))
    number = (highest or 0) + 1
    await relay.audit.append(c, actor=actor, action="ticket.create", subject=format_number(number))
    await c.execute(
        insert(tickets).values(
            tenant=tenant,
            number=number,
            title=check_line(title, "title"),
            state="new",
            kind=kind,
            priority=_NORMAL_PRIORITY,
            requester=check_line(requester, "requester") if requester else None,
            owner=None,
            tier=_FIRST_TIER,
            device=check_line(device, "device") if device else None,
            external_key=check_line(external_key, "external key") if external_key else None,
            created_by=actor,
            created_at=at,
            updated_at=at,
            revision=1,
        )
    )
    await add_event(c, tenant, number, "created", actor, {"kind": kind}, at)
    if body and body.strip():
        await insert_message(c, tenant, number, "reply", actor, body, at)
    return await _by_number(c, tenant, number)


# Finding tickets.


async def find_ticket(c: AsyncConnection, tenant: str, ref: str) -> Ticket | None:
    """Return the ticket that `FH-12`, `12` or an external key names; the newest of several.

    A number goes first, so that nobody's external key can stand in front of a ticket.
    """
    number = parse_reference(ref)
    if number is not None:
        row = await _select_one(c, tenant, tickets.c.number == number)
        if row is not None:
            return _ticket(row)
    row = await _select_one(c, tenant, tickets.c.external_key == ref.strip().replace("\0", ""))
    return None if row is None else _ticket(row)


async def get_ticket(
    c: AsyncConnection, tenant: str, ref: str, *, own_only: str | None = None
) -> Ticket:
    """Return the ticket that `ref` names.

    Args:
        c: any connection.
        tenant: organisation.
        ref: as `find_ticket` takes it.
        own_only: name of a requester, who sees her own tickets only.

    Raises:
        FarhandError: `not-found`, also for a ticket that this requester may not see.
    """
    ticket = await find_ticket(c, tenant, ref)
    if ticket is None or (own_only is not None and own_only not in _people(ticket)):
        raise not_found("ticket", ref)
    return ticket


def _people(ticket: Ticket) -> set[str | None]:
    return {ticket.requester, ticket.created_by}


async def _select_one(
    c: AsyncConnection, tenant: str, where: ColumnElement[bool]
) -> RowMapping | None:
    query = select(tickets).where(tickets.c.tenant == tenant, where)
    result = await c.execute(query.order_by(tickets.c.number.desc()).limit(1))
    return result.mappings().first()


async def _by_number(c: AsyncConnection, tenant: str, number: int) -> Ticket:
    row = await _select_one(c, tenant, tickets.c.number == number)
    if row is None:
        raise not_found("ticket", format_number(number))
    return _ticket(row)


async def list_tickets(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None = None,
    owner: str | None = None,
    q: str | None = None,
    own_only: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Ticket]:
    """Return tickets, newest first.

    Args:
        c: any connection.
        tenant: organisation.
        state: of `ticket_states.STATES`; without one, those are left out that the relay made and
            resolved for sessions that never began.
        owner: account name, or `none` for tickets without one.
        q: words, each of which must be in title, requester or external key.
        own_only: name of a requester, who sees her own tickets only.
        before: only numbers below this one (the cursor).
        limit: at most so many.

    Raises:
        FarhandError: `invalid` for a state that does not exist.
    """
    where: list[ColumnElement[bool]] = [tickets.c.tenant == tenant]
    if state is not None:
        if state not in STATES:
            raise FarhandError("invalid", f"a ticket is one of {', '.join(STATES)}")
        where.append(tickets.c.state == state)
    else:
        where.append(~came_to_nothing())
    if owner is not None:
        where.append(tickets.c.owner.is_(None) if owner == "none" else tickets.c.owner == owner)
    for word in (q or "").replace("\0", "").split()[:10]:
        where.append(
            or_(
                tickets.c.title.icontains(word, autoescape=True),
                tickets.c.requester.icontains(word, autoescape=True),
                tickets.c.external_key.icontains(word, autoescape=True),
            )
        )
    if own_only is not None:
        where.append(or_(tickets.c.requester == own_only, tickets.c.created_by == own_only))
    if before is not None:
        where.append(tickets.c.number < before)
    query = select(tickets).where(and_(*where)).order_by(tickets.c.number.desc()).limit(limit)
    return [_ticket(row) for row in (await c.execute(query)).mappings()]


# Moving tickets.


async def _move(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    event: TicketEvent,
    revision: int | None,
    own_only: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Ticket:
    """Take one step of the table and return the ticket as it was before it."""
    ticket = await get_ticket(c, relay.tenant, ref, own_only=own_only)
    if revision is not None and revision != ticket.revision:
        raise _stale(ticket)
    done = await c.execute(
        update(tickets)
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.number == ticket.row,
            # Two people at once: the second finds another revision and changes nothing.
            tickets.c.revision == ticket.revision,
        )
        .values(
            state=next_state(ticket.state, event),
            updated_at=relay.stamp(),
            revision=ticket.revision + 1,
            **(changes or {}),
        )
    )
    if done.rowcount != 1:
        raise _stale(ticket)
    return ticket


def _stale(ticket: Ticket) -> FarhandError:
    return FarhandError(
        "revision-mismatch",
        f"{ticket.number} was changed by somebody else meanwhile",
        hint="look at it again, then repeat your change",
    )


async def add_message(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    kind: Literal["reply", "note", "session"],
    body: str,
    actor: str,
    own_only: str | None = None,
    revision: int | None = None,
) -> Message:
    """Say something on a ticket: a reply for everybody on it, or a note for the desk.

    `session` is a note as well: what a session came to, as its operator's console tells it.

    Raises:
        FarhandError: `invalid`, `not-found`, `revision-mismatch`; `not-permitted` for a
            requester's note.
    """
    if own_only is not None and kind != "reply":
        raise not_permitted("notes are for the desk")
    of_desk: TicketEvent = "reply" if kind == "reply" else "note"
    event: TicketEvent = of_desk if own_only is None else "requester-reply"
    ticket = await _move(c, relay, ref=ref, event=event, revision=revision, own_only=own_only)
    at = relay.stamp()
    message = await insert_message(c, relay.tenant, ticket.row, kind, actor, body, at)
    await add_event(c, relay.tenant, ticket.row, of_desk, actor, {"message": message.seq}, at)
    return message


async def assign(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    owner: str,
    actor: str,
    revision: int | None = None,
) -> Ticket:
    """Give a ticket to an account, whose existence the caller checked.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`.
    """
    changes = {"owner": check_line(owner, "owner")}
    ticket = await _move(c, relay, ref=ref, event="assign", revision=revision, changes=changes)
    detail = {"from": ticket.owner, "to": owner}
    await add_event(c, relay.tenant, ticket.row, "assigned", actor, detail, relay.stamp())
    return await _by_number(c, relay.tenant, ticket.row)


async def resolve(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    note: str,
    actor: str,
    revision: int | None = None,
) -> Ticket:
    """Resolve a ticket with a closing note, which stays in the desk.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`.
    """
    tenant, at = relay.tenant, relay.stamp()
    found = await get_ticket(c, tenant, ref)
    await relay.audit.append(c, actor=actor, action="ticket.resolve", subject=found.number)
    ticket = await _move(
        c,
        relay,
        ref=ref,
        event="resolve",
        revision=revision,
        changes={"resolved_at": at},
    )
    message = await insert_message(c, tenant, ticket.row, "note", actor, note, at)
    await add_event(c, tenant, ticket.row, "resolved", actor, {"message": message.seq}, at)
    return await _by_number(c, tenant, ticket.row)


async def reopen(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    reason: str,
    actor: str,
    own_only: str | None = None,
    revision: int | None = None,
) -> Ticket:
    """Open a resolved ticket again; the reason is a requester's reply or the desk's note.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`.
    """
    ticket = await _move(
        c,
        relay,
        ref=ref,
        event="reopen",
        revision=revision,
        own_only=own_only,
        changes={"resolved_at": None},
    )
    tenant, at = relay.tenant, relay.stamp()
    kind = "note" if own_only is None else "reply"
    message = await insert_message(c, tenant, ticket.row, kind, actor, reason, at)
    await add_event(c, tenant, ticket.row, "reopened", actor, {"message": message.seq}, at)
    return await _by_number(c, tenant, ticket.row)


# What was said, what happened, how long it took.


async def record_time(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: int,
    account: str,
    started_at: str,
    ended_at: str,
    active_s: int,
    note: str,
    session: str | None = None,
) -> TimeEntry:
    """Put a time entry on a ticket; a session makes one for each who had it.

    However often a session is told to have ended, it makes no more.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        ticket: number as the database keeps it.
        account: name of the account that did the work.
        started_at: RFC 3339, UTC.
        ended_at: RFC 3339, UTC.
        active_s: 0 to 604800; cut to that, since a device or a console says it.
        note: what was done; may be empty.
        session: id, where a session made it.

    Returns:
        The new entry, or the one that this session already has of that account.

    Raises:
        FarhandError: `invalid` for a note that cannot be stored.
    """
    tenant = relay.tenant
    if session is not None:
        # Every ending of a session goes through its ticket's row, so two cannot both find nothing.
        lock = select(tickets.c.number).where(
            tickets.c.tenant == tenant, tickets.c.number == ticket
        )
        await c.execute(lock.with_for_update())
        same = and_(time_entries.c.session == session, time_entries.c.account == account)
        found = await _time_entries(c, tenant, same)
        if found:
            return found[0]
    entry = TimeEntry(
        id=make_id("e", secrets.token_bytes(10)),
        ticket=format_number(ticket),
        account=account,
        session=session,
        started_at=started_at,
        ended_at=ended_at,
        active_s=min(max(active_s, 0), MAX_ACTIVE_S),
        note=check_body(note, "note") if note.strip() else "",
    )
    values = msgspec.structs.asdict(entry) | {"tenant": tenant, "ticket": ticket}
    await c.execute(insert(time_entries).values(**values))
    detail = {"entry": entry.id, "session": session, "active_s": entry.active_s}
    await add_event(c, tenant, ticket, "time", account, detail, ended_at)
    return entry


async def list_time_entries(
    c: AsyncConnection, tenant: str, number: int, *, after: str = "", limit: int = 50
) -> list[TimeEntry]:
    """Return the time entries of a ticket by start; `after` is `STARTED_AT ID` of the last one."""
    where: ColumnElement[bool] = time_entries.c.ticket == number
    started, _, entry = after.partition(" ")
    if started:
        where = and_(
            where,
            or_(
                time_entries.c.started_at > started,
                and_(time_entries.c.started_at == started, time_entries.c.id > entry),
            ),
        )
    return await _time_entries(c, tenant, where, limit=limit)


async def active_seconds(c: AsyncConnection, tenant: str, number: int) -> int:
    """Return the active seconds of all time entries of a ticket."""
    total = select(func.coalesce(func.sum(time_entries.c.active_s), 0)).where(
        time_entries.c.tenant == tenant, time_entries.c.ticket == number
    )
    return int(await c.scalar(total) or 0)


async def _time_entries(
    c: AsyncConnection, tenant: str, where: ColumnElement[bool], *, limit: int = 50
) -> list[TimeEntry]:
    query = (
        select(time_entries)
        .where(time_entries.c.tenant == tenant, where)
        .order_by(time_entries.c.started_at, time_entries.c.id)
        .limit(limit)
    )
    return [
        TimeEntry(
            **{n: row[n] for n in TimeEntry.__struct_fields__ if n != "ticket"},
            ticket=format_number(row["ticket"]),
        )
        for row in (await c.execute(query)).mappings()
    ]
