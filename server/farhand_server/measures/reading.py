"""Reads the stories and surveys that figures of a time are made of.

A ticket that ended before the time began and was not touched since tells nothing of it, and is not
read, unless work was noted on it or somebody said how content she was.  What it is counted under
is what it was when the time ended (`measures.earlier`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.contracts.contracts import get_contract
from farhand_server.desk.calendars import ALWAYS, Calendar
from farhand_server.desk.priorities import name_priority
from farhand_server.desk.service import ALWAYS_OPEN, get_calendar, get_policy
from farhand_server.measures.earlier import MOVES, Standing, standing_then
from farhand_server.measures.figures import Surveyed
from farhand_server.measures.stories import HEEDED, Happened, Story
from farhand_server.store.schema import (
    csat,
    organisations,
    ticket_events,
    tickets,
    time_entries,
)

__all__ = ["MAX_MEASURED", "Scope", "read_stories", "read_surveys"]

MAX_MEASURED: Final = 50_000
_AT_ONCE: Final = 500

# Kind and detail of an event.
_Move = tuple[str, Mapping[str, Any]]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Of which tickets, and of which time: [begin, end)."""

    begin: datetime
    end: datetime
    organisation: str | None = None


async def read_stories(c: AsyncConnection, tenant: str, scope: Scope) -> list[Story]:
    """Return the tickets that tell something of a time, by number.

    Raises:
        FarhandError: `report-too-large` past `MAX_MEASURED` tickets.
    """
    begin, end = stamp(scope.begin), stamp(scope.end)
    where = [
        tickets.c.tenant == tenant,
        tickets.c.created_at < end,
        or_(
            tickets.c.updated_at >= begin,
            tickets.c.state.in_(("new", "open", "waiting")),
            tickets.c.down_to >= begin,
            tickets.c.number.in_(
                select(time_entries.c.ticket).where(
                    time_entries.c.tenant == tenant,
                    time_entries.c.ended_at >= begin,
                    time_entries.c.ended_at < end,
                )
            ),
            tickets.c.number.in_(
                select(csat.c.ticket).where(csat.c.tenant == tenant, *_said(begin, end))
            ),
        ),
    ]
    if scope.organisation is not None:
        where.append(tickets.c.organisation == scope.organisation)
    query = select(tickets).where(*where).order_by(tickets.c.number).limit(MAX_MEASURED + 1)
    rows = (await c.execute(query)).mappings().all()
    if len(rows) > MAX_MEASURED:
        raise FarhandError(
            "report-too-large",
            f"more than {MAX_MEASURED} tickets tell of this time",
            hint="ask for one organisation, or for a shorter time",
        )
    numbers = [row["number"] for row in rows]
    happened = await _events(c, tenant, numbers, end)
    moved = await _moves(c, tenant, numbers, end)
    hours = _Hours(c, tenant)
    stories = []
    for number, row in enumerate(rows):
        if number % _AT_ONCE == 0:
            # A desk of many tickets is read for a while; links are not to wait for it.
            await asyncio.sleep(0)
        then = _then(row, moved.get(row["number"], []))
        calendar = await hours.of(row, then.contract)
        stories.append(_story(row, then, happened.get(row["number"], []), calendar))
    return stories


def _then(row: RowMapping, later: Sequence[_Move]) -> Standing:
    today = Standing(
        kind=row["kind"],
        queue=row["queue"],
        tier=row["tier"],
        priority=name_priority(row["priority"]),
        contract=row["contract"],
    )
    return standing_then(today, later)


def _story(
    row: RowMapping, then: Standing, happened: Sequence[Happened], calendar: Calendar
) -> Story:
    return Story(
        number=row["number"],
        title=row["title"],
        **then._asdict(),
        created_at=parse_instant(row["created_at"]),
        organisation=row["organisation"],
        security=row["security"],
        down_from=_instant(row["down_from"]),
        down_to=_instant(row["down_to"]),
        happened=tuple(happened),
        calendar=calendar,
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


async def _events(
    c: AsyncConnection, tenant: str, numbers: Sequence[int], before: str
) -> dict[int, list[Happened]]:
    found: dict[int, list[Happened]] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        query = (
            select(ticket_events)
            .where(
                ticket_events.c.tenant == tenant,
                ticket_events.c.ticket.in_(numbers[start : start + _AT_ONCE]),
                ticket_events.c.kind.in_(HEEDED),
                ticket_events.c.at < before,
            )
            .order_by(ticket_events.c.ticket, ticket_events.c.seq)
        )
        for row in (await c.execute(query)).mappings():
            detail = json.loads(row["detail"]) if row["kind"] == "unmerged" else {}
            one = Happened(row["kind"], row["actor"], parse_instant(row["at"]), detail)
            found.setdefault(row["ticket"], []).append(one)
    return found


async def _moves(
    c: AsyncConnection, tenant: str, numbers: Sequence[int], since: str
) -> dict[int, list[_Move]]:
    """Return by which events tickets came to be counted under something else, the newest first."""
    found: dict[int, list[_Move]] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        query = (
            select(ticket_events.c.ticket, ticket_events.c.kind, ticket_events.c.detail)
            .where(
                ticket_events.c.tenant == tenant,
                ticket_events.c.ticket.in_(numbers[start : start + _AT_ONCE]),
                ticket_events.c.kind.in_(MOVES),
                ticket_events.c.at >= since,
            )
            .order_by(ticket_events.c.ticket, ticket_events.c.seq.desc())
        )
        for row in await c.execute(query):
            found.setdefault(row.ticket, []).append((row.kind, json.loads(row.detail)))
    return found


class _Hours:
    """In which hours a ticket is served: its contract's, its promise's, its organisation's."""

    def __init__(self, c: AsyncConnection, tenant: str) -> None:
        self._c = c
        self._tenant = tenant
        self._found: dict[tuple[object, ...], Calendar] = {}

    async def of(self, row: RowMapping, contract: str | None) -> Calendar:
        key = (contract, row["policy"], row["policy_version"], row["organisation"])
        if key not in self._found:
            self._found[key] = await self._look(*key)
        return self._found[key]

    async def _look(
        self, contract: str | None, policy: str | None, version: int | None, whose: str | None
    ) -> Calendar:
        name: str | None = None
        try:
            if contract is not None:
                name = (await get_contract(self._c, self._tenant, contract)).terms.calendar
            if name is None and policy is not None:
                kept = await get_policy(self._c, self._tenant, policy, version)
                exact = await get_calendar(
                    self._c, self._tenant, kept.calendar, kept.calendar_version
                )
                return exact.calendar
            if name is None and whose is not None:
                name = await self._c.scalar(
                    select(organisations.c.calendar).where(
                        organisations.c.tenant == self._tenant, organisations.c.id == whose
                    )
                )
            return (await get_calendar(self._c, self._tenant, name or ALWAYS_OPEN)).calendar
        except FarhandError as error:
            if error.code != "not-found":
                raise
            # An organisation may name a calendar that nobody has made yet.
            return ALWAYS


def _said(begin: str, end: str) -> tuple[ColumnElement[bool], ...]:
    """Match the surveys that were sent or answered in a time."""
    within = (csat.c.sent_at.between(begin, end), csat.c.answered_at.between(begin, end))
    return csat.c.sent_at.is_not(None), or_(*within)


async def read_surveys(c: AsyncConnection, tenant: str, scope: Scope) -> list[Surveyed]:
    """Return the surveys that were sent or answered in a time."""
    begin, end = stamp(scope.begin), stamp(scope.end)
    joined = csat.join(
        tickets, and_(tickets.c.tenant == csat.c.tenant, tickets.c.number == csat.c.ticket)
    )
    where = [csat.c.tenant == tenant, *_said(begin, end)]
    if scope.organisation is not None:
        where.append(tickets.c.organisation == scope.organisation)
    query = select(csat).select_from(joined).where(*where).order_by(csat.c.sent_at, csat.c.id)
    return [
        Surveyed(
            ticket=row["ticket"],
            sent_at=parse_instant(row["sent_at"]),
            answered_at=_instant(row["answered_at"]),
            score=row["score"],
        )
        for row in (await c.execute(query)).mappings()
    ]
