"""The report of a month: one value for the screen, the command line, the file and the mail.

It is of one organisation, or of the whole desk, in the time zone of whom it is about.  What a
security ticket is about stands in no report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.contracts.contracts import list_contracts
from farhand_server.contracts.ledger import Balance, balance_of
from farhand_server.contracts.months import check_month, month_bounds
from farhand_server.contracts.periods import fee_of_month
from farhand_server.contracts.statements import contract_of_month
from farhand_server.desk.references import format_number
from farhand_server.measures.figures import Figures, Group, figures_by, figures_of
from farhand_server.measures.reading import Scope, read_stories, read_surveys
from farhand_server.measures.stories import Facts, Story, facts_of
from farhand_server.people.organisations import Organisation, get_organisation
from farhand_server.relay import Relay
from farhand_server.store.schema import csat, tickets, time_charges, time_entries

__all__ = [
    "MAX_REPORT_LINES",
    "PARTS",
    "ContractLine",
    "MonthReport",
    "Opinion",
    "Part",
    "TicketLine",
    "TimeLine",
    "month_report",
]

Part = Literal["month", "tickets", "time", "satisfaction", "contract"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
MAX_REPORT_LINES: Final = 20_000
_GROUPED_AT_ONCE: Final = 500


class TicketLine(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket of the month: one that came, was resolved or came back, on which somebody worked, or
    that was open at its end; with the kind and the priority that it had then."""

    ticket: str
    title: str
    kind: str
    priority: str
    open: bool
    created_at: str
    resolved_at: str | None
    first_response_s: int | None
    resolution_s: int | None
    reopened: int
    active_s: int
    billed_s: int


class TimeLine(msgspec.Struct, frozen=True, kw_only=True):
    """Work on a ticket in the month."""

    entry: str
    ticket: str
    title: str
    account: str
    ended_at: str
    activity: str
    note: str
    contract: str
    active_s: int
    billed_s: int
    debited_s: int
    charged_s: int


class ContractLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract's work came to in the month; `balance` is what was left at its end."""

    contract: str
    title: str
    kind: str
    active_s: int
    billed_s: int
    debited_s: int
    charged_s: int
    amount_minor: int
    fee_minor: int
    currency: str
    balance: Balance | None


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a survey."""

    ticket: str
    score: int
    comment: str
    answered_at: str


class MonthReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; `complaints` are those that came in the month or were open in it."""

    month: str
    organisation: str | None
    title: str
    zone: str
    figures: Figures
    by_priority: list[Group]
    by_queue: list[Group]
    active_s: int
    billed_s: int
    tickets: list[TicketLine]
    time: list[TimeLine]
    contracts: list[ContractLine]
    satisfaction: list[Opinion]
    complaints: list[TicketLine]


async def month_report(
    c: AsyncConnection, relay: Relay, *, month: str, organisation: str | None = None
) -> MonthReport:
    """Return the report of a month, of an organisation (id or name) or of the whole desk.

    Raises:
        FarhandError: `invalid`, `not-found`; `report-too-large` past `MAX_REPORT_LINES` entries,
            or too many tickets.
    """
    check_month(month)
    whose = None
    if organisation is not None:
        whose = await get_organisation(c, relay.tenant, organisation)
    zone = "UTC" if whose is None else whose.zone
    begin, end = month_bounds(month, zone)
    scope = Scope(begin=begin, end=end, organisation=None if whose is None else whose.id)
    stories = await read_stories(c, relay.tenant, scope)
    surveys = await read_surveys(c, relay.tenant, scope)
    time = await _time(c, relay.tenant, scope)
    # A desk of many tickets counts for a while; links are not to wait for it.
    now = relay.now()
    figures = await asyncio.to_thread(figures_of, stories, surveys, begin=begin, end=end, now=now)
    groups = [
        await asyncio.to_thread(
            figures_by, stories, surveys, begin=begin, end=end, grouping=grouping, now=now
        )
        for grouping in ("priority", "queue")
    ]
    lines = await asyncio.to_thread(_ticket_lines, stories, time, scope)
    complaints = {one.number for one in stories if one.kind == "complaint"}
    return MonthReport(
        month=month,
        organisation=None if whose is None else whose.name,
        title=relay.settings.org if whose is None else whose.title or whose.name,
        zone=zone,
        figures=figures,
        by_priority=groups[0],
        by_queue=groups[1],
        active_s=sum(one.active_s for one in time),
        billed_s=sum(one.billed_s for one in time),
        tickets=lines,
        time=time,
        contracts=await _contracts(c, relay, time, whose, scope, month),
        satisfaction=await _opinions(c, relay.tenant, scope),
        complaints=[one for one in lines if _row(one.ticket) in complaints],
    )


def _row(number: str) -> int:
    return int(number.partition("-")[2])


# Tickets.


def _ticket_lines(
    stories: Sequence[Story], time: Sequence[TimeLine], scope: Scope
) -> list[TicketLine]:
    worked: dict[str, list[TimeLine]] = {}
    for one in time:
        worked.setdefault(one.ticket, []).append(one)
    lines = []
    for story in stories:
        facts = facts_of(story, until=scope.end)
        its = worked.get(format_number(story.number), [])
        if facts.standing == "unborn" or not (its or _is_of(facts, scope)):
            continue
        lines.append(_ticket_line(facts, its))
    return lines


def _is_of(facts: Facts, scope: Scope) -> bool:
    """Tell whether a ticket is of the month."""
    if facts.standing == "away":
        return False
    happened = (facts.story.created_at, *facts.resolved_at, *facts.reopened_at)
    return facts.standing == "open" or any(scope.begin <= at < scope.end for at in happened)


def _ticket_line(facts: Facts, time: Sequence[TimeLine]) -> TicketLine:
    story = facts.story
    first, whole = facts.first_response, facts.resolution
    return TicketLine(
        ticket=format_number(story.number),
        title="" if story.security else story.title,
        kind=story.kind,
        priority=story.priority,
        open=facts.standing == "open",
        created_at=stamp(story.created_at),
        resolved_at=None if whole is None else stamp(whole.end),
        first_response_s=None if first is None else round(first.wall_s),
        resolution_s=None if whole is None else round(whole.wall_s),
        reopened=len(facts.reopened_at),
        active_s=sum(one.active_s for one in time),
        billed_s=sum(one.billed_s for one in time),
    )


# Time.


async def _time(c: AsyncConnection, tenant: str, scope: Scope) -> list[TimeLine]:
    joined = (
        time_entries.join(
            tickets,
            and_(
                tickets.c.tenant == time_entries.c.tenant,
                tickets.c.number == time_entries.c.ticket,
            ),
        )
        .outerjoin(
            time_charges,
            and_(
                time_charges.c.tenant == time_entries.c.tenant,
                time_charges.c.entry == time_entries.c.id,
            ),
        )
    )  # fmt: skip
    where = [
        time_entries.c.tenant == tenant,
        time_entries.c.ended_at >= stamp(scope.begin),
        time_entries.c.ended_at < stamp(scope.end),
    ]
    if scope.organisation is not None:
        where.append(tickets.c.organisation == scope.organisation)
    query = (
        select(
            time_entries, tickets.c.title, tickets.c.security, time_charges.c.contract,
            time_charges.c.activity, time_charges.c.billed_s, time_charges.c.debited_s,
            time_charges.c.charged_s,
        )
        .select_from(joined)
        .where(*where)
        .order_by(time_entries.c.ended_at, time_entries.c.id)
        .limit(MAX_REPORT_LINES + 1)
    )  # fmt: skip
    rows = (await c.execute(query)).mappings().all()
    if len(rows) > MAX_REPORT_LINES:
        raise FarhandError(
            "report-too-large",
            f"more than {MAX_REPORT_LINES} time entries are of this month",
            hint="ask for one organisation",
        )
    return [
        TimeLine(
            entry=row["id"],
            ticket=format_number(row["ticket"]),
            title="" if row["security"] else row["title"],
            account=row["account"],
            ended_at=row["ended_at"],
            activity=row["activity"] or "",
            note="" if row["security"] else row["note"],
            contract=row["contract"] or "",
            active_s=row["active_s"],
            billed_s=row["billed_s"] or 0,
            debited_s=row["debited_s"] or 0,
            charged_s=row["charged_s"] or 0,
        )
        for row in rows
    ]


# Contracts.


async def _contracts(
    c: AsyncConnection,
    relay: Relay,
    time: Sequence[TimeLine],
    whose: Organisation | None,
    scope: Scope,
    month: str,
) -> list[ContractLine]:
    """Return a line of each contract that was used, or that the organisation has."""
    names = {one.contract for one in time if one.contract}
    if whose is not None:
        its = await list_contracts(c, relay.tenant, organisation=whose.id, limit=_GROUPED_AT_ONCE)
        names |= {one.name for one in its}
    amounts = await _amounts(c, relay.tenant, scope)
    lines = []
    for name in sorted(names):
        contract, kept = await contract_of_month(c, relay.tenant, name, month)
        terms = contract.terms
        used = [one for one in time if one.contract == name]
        # A contract of several organisations shows none of them what the others used.
        is_its_own = whose is None or terms.organisation == whose.id
        lines.append(
            ContractLine(
                contract=name,
                title=terms.title,
                kind=terms.kind,
                active_s=sum(one.active_s for one in used),
                billed_s=sum(one.billed_s for one in used),
                debited_s=sum(one.debited_s for one in used),
                charged_s=sum(one.charged_s for one in used),
                amount_minor=amounts.get(name, 0),
                fee_minor=fee_of_month(terms, month),
                currency=terms.currency,
                balance=(
                    await balance_of(
                        c,
                        relay,
                        contract,
                        until=scope.end,
                        known_by=None if kept is None else kept["made_at"],
                    )
                    if terms.has_balance and is_its_own
                    else None
                ),
            )
        )
    return lines


async def _amounts(c: AsyncConnection, tenant: str, scope: Scope) -> dict[str, int]:
    joined = time_charges.join(
        tickets,
        and_(
            tickets.c.tenant == time_charges.c.tenant,
            tickets.c.number == time_charges.c.ticket,
        ),
    )
    where = [
        time_charges.c.tenant == tenant,
        time_charges.c.ended_at >= stamp(scope.begin),
        time_charges.c.ended_at < stamp(scope.end),
    ]
    if scope.organisation is not None:
        where.append(tickets.c.organisation == scope.organisation)
    columns = (time_charges.c.contract, time_charges.c.amount_minor)
    found: dict[str, int] = {}
    for name, amount in await c.execute(select(*columns).select_from(joined).where(*where)):
        found[name] = found.get(name, 0) + amount
    return found


# Satisfaction.


async def _opinions(c: AsyncConnection, tenant: str, scope: Scope) -> list[Opinion]:
    joined = csat.join(
        tickets, and_(tickets.c.tenant == csat.c.tenant, tickets.c.number == csat.c.ticket)
    )
    where = [
        csat.c.tenant == tenant,
        csat.c.score.is_not(None),
        csat.c.answered_at >= stamp(scope.begin),
        csat.c.answered_at < stamp(scope.end),
    ]
    if scope.organisation is not None:
        where.append(tickets.c.organisation == scope.organisation)
    query = (
        select(csat, tickets.c.security)
        .select_from(joined)
        .where(*where)
        .order_by(csat.c.answered_at, csat.c.id)
        .limit(MAX_REPORT_LINES)
    )
    return [
        Opinion(
            ticket=format_number(row["ticket"]),
            score=row["score"],
            comment="" if row["security"] else row["comment"],
            answered_at=row["answered_at"],
        )
        for row in (await c.execute(query)).mappings()
    ]
