"""Statements: what a contract's work came to in a month.  No invoices: others make those.

A statement takes every entry of its contract that ended before its month did and stands on none
yet, so each entry stands on exactly one, and one that was written late stands on the next.  Until
the month is over there is only a draft, which takes nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_server.clock import stamp
from farhand_server.contracts.contracts import Contract, get_contract, lock_contract
from farhand_server.contracts.ledger import Balance, balance_of
from farhand_server.contracts.months import check_month, month_bounds
from farhand_server.contracts.periods import fee_of_month
from farhand_server.desk.references import format_number
from farhand_server.relay import Relay
from farhand_server.store.schema import statements, tickets, time_charges, time_entries

__all__ = [
    "MAX_STATEMENT_ENTRIES",
    "Statement",
    "StatementLine",
    "contract_of_month",
    "keep_statement",
    "statement_of",
]

MAX_STATEMENT_ENTRIES: Final = 20_000


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One time entry; `late` says that its work is of a month before."""

    entry: str
    ticket: str
    title: str
    account: str
    started_at: str
    ended_at: str
    activity: str
    note: str
    active_s: int
    billed_s: int
    debited_s: int
    charged_s: int
    rate_minor: int
    amount_minor: int
    reverses: str | None
    late: bool


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A month of a contract; a draft has no id.

    `balance` is what there was at the month's end, or is now before that.
    """

    id: str | None
    contract: str
    title: str
    kind: str
    organisation: str | None
    month: str
    zone: str
    currency: str
    fee_minor: int
    active_s: int
    billed_s: int
    debited_s: int
    charged_s: int
    amount_minor: int
    made_at: str | None
    balance: Balance | None
    lines: list[StatementLine]


async def statement_of(c: AsyncConnection, relay: Relay, *, name: str, month: str) -> Statement:
    """Return the statement of a month, or the draft of what would stand on it.

    Raises:
        FarhandError: `invalid`, `not-found`; `statement-early` for a month that has not begun,
            `statement-too-large` past `MAX_STATEMENT_ENTRIES`.
    """
    check_month(month)
    contract, kept = await contract_of_month(c, relay.tenant, name, month)
    if kept is None:
        if relay.now() < month_bounds(month, contract.terms.zone)[0]:
            raise FarhandError("statement-early", f"{month} has not begun yet")
        return await _statement(c, relay, contract, month, None, None)
    return await _statement(c, relay, contract, month, kept["id"], kept["made_at"])


async def contract_of_month(
    c: AsyncConnection, tenant: str, name: str, month: str
) -> tuple[Contract, RowMapping | None]:
    """Return a contract as the statement of a month has it, and that statement's row.

    Without a statement that is kept it is the newest version, as the draft has it.

    Raises:
        FarhandError: `not-found`.
    """
    contract = await get_contract(c, tenant, name)
    query = select(statements).where(
        statements.c.tenant == tenant,
        statements.c.contract == contract.name,
        statements.c.month == month,
    )
    kept = (await c.execute(query)).mappings().first()
    if kept is None:
        return contract, None
    return await get_contract(c, tenant, name, kept["contract_version"] or None), kept


async def keep_statement(
    c: AsyncConnection, relay: Relay, *, name: str, month: str, actor: str
) -> Statement:
    """Make the statement of a month that is over; made again it is the same one.

    Raises:
        FarhandError: as `statement_of`; `statement-early` before the month is over in the
            contract's zone.
    """
    check_month(month)
    contract = await get_contract(c, relay.tenant, name)
    _, end = month_bounds(month, contract.terms.zone)
    if relay.now() < end:
        raise FarhandError(
            "statement-early", f"{month} is not over yet", hint="without --keep it is a draft"
        )
    await relay.audit.take_turn(c)
    await lock_contract(c, relay.tenant, contract.name)
    found = await statement_of(c, relay, name=name, month=month)
    if found.id is not None:
        return found
    made = make_id("w", relay.random(10))
    await relay.audit.append(
        c, actor=actor, action="statement.make", subject=made,
        detail={"contract": contract.name, "month": month},
    )  # fmt: skip
    await c.execute(
        insert(statements).values(
            tenant=relay.tenant,
            id=made,
            contract=contract.name,
            contract_version=contract.version,
            month=month,
            made_by=actor,
            made_at=relay.stamp(),
        )
    )
    await c.execute(
        update(time_charges).where(_open(relay.tenant, contract, month)).values(statement=made)
    )
    return await statement_of(c, relay, name=name, month=month)


def _open(tenant: str, contract: Contract, month: str) -> ColumnElement[bool]:
    _, end = month_bounds(month, contract.terms.zone)
    return and_(
        time_charges.c.tenant == tenant,
        time_charges.c.contract == contract.name,
        time_charges.c.statement.is_(None),
        time_charges.c.ended_at < stamp(end),
    )


async def _statement(
    c: AsyncConnection,
    relay: Relay,
    contract: Contract,
    month: str,
    kept: str | None,
    made_at: str | None,
) -> Statement:
    terms, tenant = contract.terms, relay.tenant
    if kept is None:
        where = _open(tenant, contract, month)
    else:
        where = and_(
            time_charges.c.tenant == tenant,
            time_charges.c.contract == contract.name,
            time_charges.c.statement == kept,
        )
    lines = await _lines(c, where, stamp(month_bounds(month, terms.zone)[0]))
    return Statement(
        id=kept,
        contract=contract.name,
        title=terms.title,
        kind=terms.kind,
        organisation=terms.organisation,
        month=month,
        zone=terms.zone,
        currency=terms.currency,
        fee_minor=fee_of_month(terms, month),
        active_s=sum(line.active_s for line in lines),
        billed_s=sum(line.billed_s for line in lines),
        debited_s=sum(line.debited_s for line in lines),
        charged_s=sum(line.charged_s for line in lines),
        amount_minor=sum(line.amount_minor for line in lines),
        made_at=made_at,
        balance=await _balance(c, relay, contract, month, made_at),
        lines=lines,
    )


async def _balance(
    c: AsyncConnection, relay: Relay, contract: Contract, month: str, made_at: str | None
) -> Balance | None:
    if not contract.terms.has_balance:
        return None
    end = month_bounds(month, contract.terms.zone)[1]
    return await balance_of(c, relay, contract, until=end, known_by=made_at)


async def _lines(
    c: AsyncConnection, where: ColumnElement[bool], begins: str
) -> list[StatementLine]:
    joined = time_charges.join(
        time_entries,
        and_(
            time_entries.c.tenant == time_charges.c.tenant,
            time_entries.c.id == time_charges.c.entry,
        ),
    ).join(
        tickets,
        and_(
            tickets.c.tenant == time_charges.c.tenant,
            tickets.c.number == time_charges.c.ticket,
        ),
    )
    query = (
        select(
            time_charges, time_entries.c.account, time_entries.c.started_at,
            time_entries.c.active_s, time_entries.c.note, tickets.c.title, tickets.c.security,
        )
        .select_from(joined)
        .where(where)
        .order_by(time_charges.c.ended_at, time_charges.c.entry)
        .limit(MAX_STATEMENT_ENTRIES + 1)
    )  # fmt: skip
    rows = (await c.execute(query)).mappings().all()
    if len(rows) > MAX_STATEMENT_ENTRIES:
        raise FarhandError(
            "statement-too-large",
            f"more than {MAX_STATEMENT_ENTRIES} entries stand on no statement yet",
            hint="make the statements of earlier months first",
        )
    return [
        StatementLine(
            entry=row["entry"],
            ticket=format_number(row["ticket"]),
            # What a security ticket is about is not for whoever reads a statement.
            title="" if row["security"] else row["title"],
            account=row["account"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            activity=row["activity"],
            note="" if row["security"] else row["note"],
            active_s=row["active_s"],
            billed_s=row["billed_s"],
            debited_s=row["debited_s"],
            charged_s=row["charged_s"],
            rate_minor=row["rate_minor"],
            amount_minor=row["amount_minor"],
            reverses=row["reverses"],
            late=row["ended_at"] < begins,
        )
        for row in rows
    ]
