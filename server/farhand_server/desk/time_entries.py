"""Time entries: what was worked on a ticket, by whom, from when to when.

A session makes one for each who had it, in the transaction that ends it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, and_, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.identity import make_id
from farhand_server.desk.references import format_number
from farhand_server.desk.timeline import add_event
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets, time_entries
from farhand_server.wording import check_body

__all__ = ["MAX_ACTIVE_S", "TimeEntry", "active_seconds", "list_time_entries", "record_time"]

MAX_ACTIVE_S = 7 * 86_400


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
    c: AsyncConnection, tenant: str, numbers: Sequence[int], *, after: str = "", limit: int = 50
) -> list[TimeEntry]:
    """Return the time entries of tickets by start; `after` is `STARTED_AT ID` of the last one."""
    where: ColumnElement[bool] = time_entries.c.ticket.in_(numbers)
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


async def active_seconds(c: AsyncConnection, tenant: str, numbers: Sequence[int]) -> int:
    """Return the active seconds of all time entries of tickets."""
    total = select(func.coalesce(func.sum(time_entries.c.active_s), 0)).where(
        time_entries.c.tenant == tenant, time_entries.c.ticket.in_(numbers)
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
