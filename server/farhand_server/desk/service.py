"""Calendars and service policies as the relay keeps them, and what they make of a ticket.

Both are kept in every version.  A policy names one version of a calendar; a ticket takes the newest
version of its queue's policy when it comes into that queue, and keeps it, so that what was promised
does not change behind anybody's back.  `due_at` and `late` of a ticket are a cache: any step
marks them unknown, and the sweep makes them anew from the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Table, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.instants import parse_instant
from farhand_server.actors import THE_RELAY
from farhand_server.clock import stamp
from farhand_server.desk.absorbed import merges_into
from farhand_server.desk.calendars import ALWAYS, Calendar, check_calendar
from farhand_server.desk.happenings import stories_of
from farhand_server.desk.references import format_number
from farhand_server.desk.service_levels import (
    ServicePolicy,
    ServiceTimer,
    check_policy,
    next_due,
    service_timers,
    tightest,
)
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import calendars, service_policies, tickets
from farhand_server.wording import check_line

__all__ = [
    "ALWAYS_OPEN",
    "KeptCalendar",
    "KeptPolicy",
    "get_calendar",
    "get_policy",
    "list_calendars",
    "list_policies",
    "service_of",
    "set_calendar",
    "set_policy",
    "sweep_due",
]

ALWAYS_OPEN: Final = "always"
_AT_ONCE: Final = 200
_MAX_NAME_CHARS: Final = 40


class KeptCalendar(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a calendar."""

    name: str
    version: int
    calendar: Calendar


class KeptPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a service policy, and the version of the calendar that it counts in."""

    name: str
    version: int
    calendar: str
    calendar_version: int
    policy: ServicePolicy


class _Promise(NamedTuple):
    policy: ServicePolicy
    calendar: Calendar


async def _newest(c: AsyncConnection, table: Table, tenant: str, name: str) -> int:
    query = select(func.max(table.c.version)).where(table.c.tenant == tenant, table.c.name == name)
    return int(await c.scalar(query) or 0)


async def get_calendar(
    c: AsyncConnection, tenant: str, name: str, version: int | None = None
) -> KeptCalendar:
    """Return a version of a calendar, the newest by default; `always` is always there.

    Raises:
        FarhandError: `not-found`.
    """
    wanted = version if version is not None else await _newest(c, calendars, tenant, name)
    query = select(calendars.c.definition).where(
        calendars.c.tenant == tenant, calendars.c.name == name, calendars.c.version == wanted
    )
    text = await c.scalar(query)
    if text is not None:
        kept = msgspec.json.decode(text, type=Calendar)
        return KeptCalendar(name=name, version=wanted, calendar=kept)
    if name == ALWAYS_OPEN:
        return KeptCalendar(name=name, version=0, calendar=ALWAYS)
    raise not_found("calendar", name)


async def get_policy(
    c: AsyncConnection, tenant: str, name: str, version: int | None = None
) -> KeptPolicy:
    """Return a version of a policy, the newest by default.

    Raises:
        FarhandError: `not-found`.
    """
    wanted = version if version is not None else await _newest(c, service_policies, tenant, name)
    query = select(service_policies).where(
        service_policies.c.tenant == tenant,
        service_policies.c.name == name,
        service_policies.c.version == wanted,
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("service policy", name)
    return KeptPolicy(
        name=name,
        version=wanted,
        calendar=row["calendar"],
        calendar_version=row["calendar_version"],
        policy=msgspec.json.decode(row["definition"], type=ServicePolicy),
    )


async def _names(
    c: AsyncConnection, table: Table, tenant: str, after: str, limit: int
) -> Sequence[str]:
    query = (
        select(table.c.name)
        .distinct()
        .where(table.c.tenant == tenant, table.c.name > after)
        .order_by(table.c.name)
        .limit(limit)
    )
    return list(await c.scalars(query))


async def list_calendars(
    c: AsyncConnection, tenant: str, *, after: str = "", limit: int = 50
) -> list[KeptCalendar]:
    """Return the newest version of each calendar, by name."""
    names = await _names(c, calendars, tenant, after, limit)
    return [await get_calendar(c, tenant, name) for name in names]


async def list_policies(
    c: AsyncConnection, tenant: str, *, after: str = "", limit: int = 50
) -> list[KeptPolicy]:
    """Return the newest version of each policy, by name."""
    names = await _names(c, service_policies, tenant, after, limit)
    return [await get_policy(c, tenant, name) for name in names]


async def set_calendar(
    c: AsyncConnection, relay: Relay, *, name: str, calendar: Calendar, actor: str
) -> KeptCalendar:
    """Keep a new version of a calendar; policies that name an older one go on counting in that.

    Raises:
        FarhandError: `invalid`, `calendar-invalid`.
    """
    name = check_line(name, "calendar's name", max_chars=_MAX_NAME_CHARS)
    check_calendar(calendar)
    version = await _newest(c, calendars, relay.tenant, name) + 1
    await relay.audit.append(c, actor=actor, action="calendar.set", subject=f"{name} {version}")
    await c.execute(
        insert(calendars).values(
            tenant=relay.tenant,
            name=name,
            version=version,
            definition=msgspec.json.encode(calendar).decode(),
            created_by=actor,
            created_at=relay.stamp(),
        )
    )
    return KeptCalendar(name=name, version=version, calendar=calendar)


async def set_policy(
    c: AsyncConnection,
    relay: Relay,
    *,
    name: str,
    calendar: str,
    policy: ServicePolicy,
    actor: str,
) -> KeptPolicy:
    """Keep a new version of a policy, in the newest version of its calendar.

    Raises:
        FarhandError: `invalid`, `service-policy-invalid`; `not-found` for the calendar.
    """
    name = check_line(name, "policy's name", max_chars=_MAX_NAME_CHARS)
    check_policy(policy)
    kept = await get_calendar(c, relay.tenant, calendar)
    version = await _newest(c, service_policies, relay.tenant, name) + 1
    await relay.audit.append(c, actor=actor, action="policy.set", subject=f"{name} {version}")
    await c.execute(
        insert(service_policies).values(
            tenant=relay.tenant,
            name=name,
            version=version,
            calendar=kept.name,
            calendar_version=kept.version,
            definition=msgspec.json.encode(policy).decode(),
            created_by=actor,
            created_at=relay.stamp(),
        )
    )
    return KeptPolicy(
        name=name,
        version=version,
        calendar=kept.name,
        calendar_version=kept.version,
        policy=policy,
    )


# What it makes of a ticket.


async def service_of(
    c: AsyncConnection, relay: Relay, number: int, *, earlier_s: float = 0.0
) -> list[ServiceTimer]:
    """Return the clocks of a ticket; none where nothing was promised.

    What was promised on a ticket that was merged into it counts as well: of each clock the one
    that leaves the least time.

    Args:
        c: any connection.
        relay: the wiring; its clock is the present.
        number: of the ticket.
        earlier_s: how long ago it is asked about.
    """
    now = relay.now() - timedelta(seconds=earlier_s)
    merges = await merges_into(c, relay.tenant, number)
    promises = {one: await _promise_of(c, relay.tenant, one) for one in (number, *merges)}
    if not any(promises.values()):
        return []
    owed: list[ServiceTimer] = []
    for one, happened in (await stories_of(c, relay.tenant, number, merges, now=now)).items():
        if (promise := promises[one]) is not None:
            timers = service_timers(happened, promise.policy, promise.calendar, now=now)
            whose = "" if one == number else format_number(one)
            owed += [msgspec.structs.replace(timer, promised_on=whose) for timer in timers]
    return tightest(owed)


async def _promise_of(c: AsyncConnection, tenant: str, number: int) -> _Promise | None:
    """Return what is promised on a ticket; None where that is nothing."""
    query = select(tickets.c.policy, tickets.c.policy_version).where(
        tickets.c.tenant == tenant, tickets.c.number == number
    )
    row = (await c.execute(query)).first()
    if row is None or row.policy is None:
        return None
    kept = await get_policy(c, tenant, row.policy, row.policy_version)
    calendar = await get_calendar(c, tenant, kept.calendar, kept.calendar_version)
    return _Promise(kept.policy, calendar.calendar)


# The cache.


async def sweep_due(relay: Relay) -> None:
    """Make anew what is unknown to be due, and note what has just become late.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    source = tickets.alias("source")
    # What is owed on a ticket may have been promised on one that was merged into it.
    absorbed = select(source.c.merged_into).where(
        source.c.tenant == relay.tenant, source.c.merged_into.is_not(None)
    )
    owes = or_(tickets.c.policy.is_not(None), tickets.c.number.in_(absorbed))
    of_tenant = and_(tickets.c.tenant == relay.tenant, owes)
    for stale in (
        and_(of_tenant, tickets.c.due_known.is_(False)),
        and_(of_tenant, tickets.c.due_known.is_(True), tickets.c.due_at < relay.stamp()),
    ):
        async with relay.db.read() as c:
            query = select(tickets.c.number).where(stale).order_by(tickets.c.number)
            numbers = list(await c.scalars(query.limit(_AT_ONCE)))
        for number in numbers:
            async with relay.db.write() as c:
                await _look_again(c, relay, number)


async def _look_again(c: AsyncConnection, relay: Relay, number: int) -> None:
    mine = and_(tickets.c.tenant == relay.tenant, tickets.c.number == number)
    query = select(tickets.c.due_at, tickets.c.state).where(mine)
    row = (await c.execute(query.with_for_update())).first()
    if row is None:
        return
    if row.due_at is not None and row.due_at < relay.stamp():
        await _note_missed(c, relay, number, row.due_at)
    timers = [] if row.state in ENDED else await service_of(c, relay, number)
    due = next_due(timers)
    await c.execute(
        update(tickets)
        .where(mine)
        .values(
            due_at=None if due is None else stamp(due),
            late=any(one.state == "breached" for one in timers),
            due_known=True,
        )
    )


async def _note_missed(c: AsyncConnection, relay: Relay, number: int, due_at: str) -> None:
    """Note what became late when the cache said that something would, if it was not done by then.

    However much has happened since: what counts is how things stood a moment before.
    """
    since = (relay.now() - parse_instant(due_at)).total_seconds()
    for one in await service_of(c, relay, number, earlier_s=since + 1.0):
        if one.state == "running" and one.due_at is not None and stamp(one.due_at) == due_at:
            detail = {"metric": one.metric, "due_at": due_at, "target_s": one.target_s}
            at = relay.stamp()
            await add_event(c, relay.tenant, number, "service-missed", THE_RELAY, detail, at)
