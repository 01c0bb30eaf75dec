"""Time entries: what was worked on a ticket, by whom, from when to when.

A session makes one for each who had it, in the transaction that ends it; people make others by
hand, and a call's timer too.  What an entry comes to (its charge, contracts.charging) is written
with it.  An entry is never changed: a wrong one is taken back by another one that says why.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, func, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_server.contracts.charging import (
    Charge,
    Origin,
    charge_entry,
    charges_of,
    reverse_charge,
)
from farhand_server.desk.references import format_number
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets, time_entries
from farhand_server.wording import check_body, check_line

__all__ = [
    "MAX_ACTIVE_S",
    "TimeEntry",
    "active_seconds",
    "get_time_entry",
    "list_time_entries",
    "record_time",
    "reverse_time",
]

MAX_ACTIVE_S = 7 * 86_400
_MAX_ACTIVITY_CHARS: Final = 40


class TimeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Work done; `active_s` counts what a person was really at it for.

    It is below nothing in an entry that takes another one back.  `charge` is what it comes to; an
    entry that is older than contracts has none.
    """

    id: str
    ticket: str
    account: str
    session: str | None
    started_at: str
    ended_at: str
    active_s: int
    note: str
    charge: Charge | None = None


_COMPUTED: Final = ("ticket", "charge")


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
    origin: Origin = "session",
    activity: str = "",
    billable: bool = True,
    customer_visible: bool | None = None,
    corrects: Charge | None = None,
) -> TimeEntry:
    """Put a time entry on a ticket, and take it from the contract; a session makes one for each.

    However often a session is told to have ended, it makes no more.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        ticket: number as the database keeps it.
        account: name of the account that did the work.
        started_at: as the tables keep it.
        ended_at: as the tables keep it.
        active_s: 0 to 604800; cut to that, since a device or a console says it.
        note: what was done; may be empty.
        session: id, where a session made it.
        origin: where its time comes from.
        activity: a word for what kind of work it was; may be empty.
        billable: whether it is to come to anything.
        customer_visible: whether the customer is shown it; None does as the contract says.
        corrects: the charge of the wrong entry that this one stands for.

    Returns:
        The new entry, or the one that this session already has of that account.

    Raises:
        FarhandError: `invalid` for a note or an activity that cannot be stored.
    """
    tenant = relay.tenant
    if session is None:
        # A visit and a call write the audit after this; see `lock_contract`.
        await relay.audit.take_turn(c)
    else:
        # Every ending of a session goes through its ticket's row, so two cannot both find nothing.
        lock = select(tickets.c.number).where(
            tickets.c.tenant == tenant, tickets.c.number == ticket
        )
        await c.execute(lock.with_for_update())
        same = and_(time_entries.c.session == session, time_entries.c.account == account)
        found = await _time_entries(c, tenant, same)
        if found:
            return found[0]
    kind = (
        check_line(activity, "activity", max_chars=_MAX_ACTIVITY_CHARS) if activity.strip() else ""
    )
    entry = await _insert(
        c, relay, ticket=ticket, account=account, session=session, started_at=started_at,
        ended_at=ended_at, active_s=min(max(active_s, 0), MAX_ACTIVE_S), note=note,
    )  # fmt: skip
    await charge_entry(
        c, relay, entry=entry, ticket=ticket, account=account, ended_at=ended_at,
        active_s=min(max(active_s, 0), MAX_ACTIVE_S), origin=origin, activity=kind,
        billable=billable, customer_visible=customer_visible, corrects=corrects,
    )  # fmt: skip
    return await get_time_entry(c, tenant, entry)


async def _insert(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: int,
    account: str,
    session: str | None,
    started_at: str,
    ended_at: str,
    active_s: int,
    note: str,
) -> str:
    entry = make_id("e", secrets.token_bytes(10))
    await c.execute(
        insert(time_entries).values(
            tenant=relay.tenant,
            id=entry,
            ticket=ticket,
            account=account,
            session=session,
            started_at=started_at,
            ended_at=ended_at,
            active_s=active_s,
            note=check_body(note, "note") if note.strip() else "",
        )
    )
    detail = {"entry": entry, "session": session, "active_s": active_s}
    await add_event(c, relay.tenant, ticket, "time", account, detail, ended_at)
    return entry


async def reverse_time(
    c: AsyncConnection, relay: Relay, *, entry: str, reason: str, actor: str
) -> TimeEntry:
    """Take an entry back by its opposite; what it took from a contract is there again.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        entry: id of what was wrong.
        reason: why; stands on the new entry and on the statement.
        actor: who says so.

    Returns:
        The entry that takes it back.

    Raises:
        FarhandError: `invalid`, `not-found`; `time-reversed` for one that was taken back, or that
            takes another one back.
    """
    why = check_line(reason, "reason")
    wrong = await get_time_entry(c, relay.tenant, entry)
    if wrong.charge is None:
        raise FarhandError("time-reversed", f"{entry[:40]} is older than contracts, and comes to 0")
    if wrong.charge.reverses is not None:
        raise FarhandError("time-reversed", f"{entry[:40]} takes another entry back itself")
    number = await c.scalar(
        select(time_entries.c.ticket).where(
            time_entries.c.tenant == relay.tenant, time_entries.c.id == entry
        )
    )
    await relay.audit.append(
        c, actor=actor, action="time.reverse", subject=entry, detail={"reason": why}
    )
    try:
        async with c.begin_nested():
            opposite = await _insert(
                c, relay, ticket=int(number or 0), account=wrong.account, session=None,
                started_at=wrong.started_at, ended_at=wrong.ended_at, active_s=-wrong.active_s,
                note=why,
            )  # fmt: skip
            await reverse_charge(
                c, relay, charge=wrong.charge, ticket=int(number or 0), entry=opposite, reason=why,
                account=actor, ended_at=wrong.ended_at,
            )  # fmt: skip
    except IntegrityError as error:
        raise FarhandError("time-reversed", f"{entry[:40]} was taken back already") from error
    return await get_time_entry(c, relay.tenant, opposite)


async def get_time_entry(c: AsyncConnection, tenant: str, entry: str) -> TimeEntry:
    """Return one entry.

    Raises:
        FarhandError: `not-found`.
    """
    found = await _time_entries(c, tenant, time_entries.c.id == entry)
    if not found:
        raise not_found("time entry", entry)
    return found[0]


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
    rows = (await c.execute(query)).mappings().all()
    charges = await charges_of(c, tenant, [row["id"] for row in rows])
    return [
        TimeEntry(
            **{n: row[n] for n in TimeEntry.__struct_fields__ if n not in _COMPUTED},
            ticket=format_number(row["ticket"]),
            charge=charges.get(row["id"]),
        )
        for row in rows
    ]
