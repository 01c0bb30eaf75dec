"""The ledger of a contract: hours granted, used, expired, rolled over and adjusted.

Lines are only ever added, and what there is of a contract is their sum.  Periods are opened by
whoever comes first after they began: the sweep, or a time entry.  Every writer holds the contract's
row, and each line has a mark that a ledger holds once, so nothing is granted or debited twice.

Work that is noted when its period is over takes what expired with that period, as if it had been
noted in time: as much is given back to that period, by a line that says so, and debited there.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, and_, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.contracts.contracts import (
    Contract,
    day_of,
    get_contract,
    list_contracts,
    lock_contract,
    today_of,
)
from farhand_server.contracts.periods import due_lines, period_of
from farhand_server.relay import Relay
from farhand_server.store.schema import contract_warnings, hour_ledger
from farhand_server.wording import check_line

__all__ = [
    "MAX_ADJUSTMENT_S",
    "WARN_AT",
    "Balance",
    "LedgerLine",
    "Past",
    "adjust",
    "balance_of",
    "debit",
    "due_warnings",
    "list_lines",
    "open_periods",
    "past_period",
    "sweep_periods",
]

WARN_AT: Final = (80, 100)
MAX_ADJUSTMENT_S: Final = 10_000 * 3600
_AT_ONCE: Final = 200
_THE_RELAY: Final = "relay"
_LATE: Final = "late:"


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A period that is over, for work of it that is noted only now.

    Attributes:
        period: its first day.
        lost_s: what expired with it, rolled over to nobody and not given back to late work yet.
        rolled_s: what of it went on into the next period.
    """

    period: str
    lost_s: int
    rolled_s: int


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line; `entry` is the time entry that it comes from."""

    seq: int
    period: str
    kind: str
    seconds: int
    entry: str | None
    reason: str
    actor: str
    at: str


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a contract's hours.

    Attributes:
        period_from: first day of the period; None when the contract is not in force.
        period_to: first day of the next one, or after the contract.
        available_s: what this period began with, rolled over and adjusted hours included.
        used_s: what time entries took of it.
        balance_s: what is left; below nothing after an overage.
        percent: used of what was available, 0 to 100 and more.
    """

    period_from: str | None
    period_to: str | None
    available_s: int
    used_s: int
    balance_s: int
    percent: int


async def list_lines(
    c: AsyncConnection, tenant: str, contract: str, *, after: int = 0, limit: int = 50
) -> list[LedgerLine]:
    """Return lines of a ledger in the order in which they were written."""
    query = (
        select(hour_ledger)
        .where(
            hour_ledger.c.tenant == tenant,
            hour_ledger.c.contract == contract,
            hour_ledger.c.seq > after,
        )
        .order_by(hour_ledger.c.seq)
        .limit(limit)
    )
    return [
        LedgerLine(**{name: row[name] for name in LedgerLine.__struct_fields__})
        for row in (await c.execute(query)).mappings()
    ]


def _lines_of(tenant: str, contract: str, before: str | None) -> ColumnElement[bool]:
    mine = and_(hour_ledger.c.tenant == tenant, hour_ledger.c.contract == contract)
    return mine if before is None else and_(mine, hour_ledger.c.at < before)


async def _sum(c: AsyncConnection, tenant: str, contract: str, *, before: str | None = None) -> int:
    total = select(func.coalesce(func.sum(hour_ledger.c.seconds), 0)).where(
        _lines_of(tenant, contract, before)
    )
    return int(await c.scalar(total) or 0)


async def _opened(
    c: AsyncConnection, tenant: str, contract: str, *, before: str | None = None
) -> str | None:
    query = select(func.max(hour_ledger.c.period)).where(
        _lines_of(tenant, contract, before), hour_ledger.c.kind == "grant"
    )
    period: str | None = await c.scalar(query)
    return period


async def _used(
    c: AsyncConnection, tenant: str, contract: str, period: str, *, before: str | None = None
) -> int:
    """Return what time entries took in a period, reversals given back."""
    total = select(func.coalesce(func.sum(hour_ledger.c.seconds), 0)).where(
        _lines_of(tenant, contract, before),
        hour_ledger.c.period == period,
        hour_ledger.c.entry.is_not(None),
    )
    return -int(await c.scalar(total) or 0)


async def _noted_late(
    c: AsyncConnection,
    tenant: str,
    contract: Contract,
    period: str,
    until: datetime,
    known_by: str | None,
) -> int:
    """Return what late work took of a period that was over at an instant."""
    its = period_of(contract.terms, date.fromisoformat(period))
    if its is None or its[1] > day_of(until, contract.terms):
        return 0
    where = [
        hour_ledger.c.tenant == tenant,
        hour_ledger.c.contract == contract.name,
        hour_ledger.c.period == period,
        hour_ledger.c.entry.is_not(None),
        hour_ledger.c.at >= stamp(until),
    ]
    if known_by is not None:
        where.append(hour_ledger.c.at <= known_by)
    total = select(func.coalesce(func.sum(hour_ledger.c.seconds), 0)).where(*where)
    return -int(await c.scalar(total) or 0)


async def balance_of(
    c: AsyncConnection,
    relay: Relay,
    contract: Contract,
    *,
    until: datetime | None = None,
    known_by: str | None = None,
) -> Balance:
    """Return what there is of a contract, also when nobody opened its period yet.

    A contract that grants no hours has a balance of nothing.

    Args:
        c: any connection.
        relay: the wiring.
        contract: whose balance it is.
        until: as it was then, by what had been written by then; now without it.  Late work of a
            period that ended then is counted as well.
        known_by: late work only as far as it was noted by then, as the tables keep it.
    """
    tenant, terms = relay.tenant, contract.terms
    is_past = until is not None and until < relay.now()
    moment = until - timedelta(microseconds=1) if until is not None and is_past else relay.now()
    before = stamp(until) if until is not None and is_past else None
    today = moment.astimezone(ZoneInfo(terms.zone)).date()
    now = period_of(terms, today) if terms.has_balance else None
    opened = await _opened(c, tenant, contract.name, before=before)
    balance_s = await _sum(c, tenant, contract.name, before=before)
    due = due_lines(terms, opened=opened, balance_s=balance_s, today=today)
    balance_s += sum(line.seconds for line in due)
    begins = [line.period for line in due if line.kind == "grant"]
    period = begins[-1] if begins else opened
    used = 0
    if period is not None and not begins:
        used = await _used(c, tenant, contract.name, period, before=before)
        if until is not None and is_past:
            late_s = await _noted_late(c, tenant, contract, period, until, known_by)
            used, balance_s = used + late_s, balance_s - late_s
    return _balance(now, balance_s, used)


def _balance(now: tuple[date, date] | None, balance_s: int, used_s: int) -> Balance:
    available = balance_s + used_s
    if available > 0:
        percent = max(used_s, 0) * 100 // available
    else:
        percent = 100 if used_s > 0 else 0
    return Balance(
        period_from=None if now is None else now[0].isoformat(),
        period_to=None if now is None else now[1].isoformat(),
        available_s=available,
        used_s=used_s,
        balance_s=balance_s,
        percent=percent,
    )


async def open_periods(c: AsyncConnection, relay: Relay, contract: Contract) -> int:
    """Write what the ledger is due; in a write transaction.

    Returns:
        The balance after it, in seconds.
    """
    tenant, terms = relay.tenant, contract.terms
    await lock_contract(c, tenant, contract.name)
    opened = await _opened(c, tenant, contract.name)
    balance_s = await _sum(c, tenant, contract.name)
    today = today_of(relay, terms)
    for line in due_lines(terms, opened=opened, balance_s=balance_s, today=today):
        mark = line.mark
        if line.kind == "expire" and await _has(c, tenant, contract.name, mark):
            # A contract that ended, and was given hours by hand afterwards.
            mark = f"{mark}:{relay.stamp()}"
        await _write(
            c, relay, contract.name, period=line.period, kind=line.kind, seconds=line.seconds,
            mark=mark, actor=_THE_RELAY,
        )  # fmt: skip
        balance_s += line.seconds
    return balance_s


async def _has(c: AsyncConnection, tenant: str, contract: str, mark: str) -> bool:
    query = select(hour_ledger.c.seq).where(
        hour_ledger.c.tenant == tenant,
        hour_ledger.c.contract == contract,
        hour_ledger.c.mark == mark,
    )
    return await c.scalar(query.limit(1)) is not None


async def _write(
    c: AsyncConnection,
    relay: Relay,
    contract: str,
    *,
    period: str,
    kind: str,
    seconds: int,
    mark: str,
    actor: str,
    entry: str | None = None,
    reason: str = "",
) -> None:
    await c.execute(
        insert(hour_ledger).values(
            tenant=relay.tenant,
            contract=contract,
            period=period,
            kind=kind,
            seconds=seconds,
            entry=entry,
            mark=mark,
            reason=reason,
            actor=actor,
            at=relay.stamp(),
        )
    )


async def past_period(
    c: AsyncConnection, relay: Relay, contract: Contract, *, day: date, corrects: str | None = None
) -> Past | None:
    """Return the period that work of a day belongs to, when it was opened and is over.

    Args:
        c: connection of a write transaction that called `open_periods`.
        relay: the wiring.
        contract: the newest version of it.
        day: in the contract's zone.
        corrects: id of the entry that the work is noted instead of.  Unless that was late itself,
            its hours were given back to the period of now, and there is nothing to look for.

    Returns: None when the period goes on, or the ledger does not know it.
    """
    its = period_of(contract.terms, day)
    if its is None or (
        corrects is not None and await _late_line(c, relay, contract, corrects) is None
    ):
        return None
    period, following = (one.isoformat() for one in its)
    ledger = hour_ledger.c
    query = select(ledger.kind, ledger.period, ledger.mark, ledger.seconds).where(
        ledger.tenant == relay.tenant,
        ledger.contract == contract.name,
        ledger.period.in_((period, following)),
        ledger.entry.is_(None),
    )
    rows = (await c.execute(query)).all()
    kinds = {row.kind for row in rows if row.period == period}
    is_over = "expire" in kinds or await _opened(c, relay.tenant, contract.name) != period
    if "grant" not in kinds or not is_over:
        return None
    expired_s = -sum(row.seconds for row in rows if row.kind == "expire" and row.period == period)
    rolled_s = sum(
        row.seconds for row in rows if row.kind == "rollover" and row.period == following
    )
    given_s = sum(
        row.seconds for row in rows if row.period == period and row.mark.startswith(_LATE)
    )
    return Past(period=period, lost_s=max(0, expired_s - rolled_s - given_s), rolled_s=rolled_s)


async def _late_line(
    c: AsyncConnection, relay: Relay, contract: Contract, entry: str
) -> tuple[str, int] | None:
    """Return the period of which an entry was noted late, and what was given back to it."""
    query = select(hour_ledger.c.period, hour_ledger.c.seconds).where(
        hour_ledger.c.tenant == relay.tenant,
        hour_ledger.c.contract == contract.name,
        hour_ledger.c.mark == f"{_LATE}{entry}",
    )
    row = (await c.execute(query)).first()
    return None if row is None else (row.period, row.seconds)


async def debit(
    c: AsyncConnection,
    relay: Relay,
    contract: Contract,
    *,
    seconds: int,
    entry: str,
    actor: str,
    past: Past | None = None,
    reverses: str | None = None,
) -> None:
    """Take a time entry's seconds from a contract whose periods are open.

    Args:
        c: connection of a write transaction that called `open_periods`.
        relay: the wiring.
        contract: whose balance it is.
        seconds: what to take; below nothing gives back what a reversed entry took.
        entry: id of the time entry, debited once.
        actor: who worked.
        past: what `past_period` found; what that lost is given back for this.
        reverses: id of the entry that this one takes back; what was given back for that goes.
    """
    period = await _opened(c, relay.tenant, contract.name) or contract.terms.starts
    given_s = 0
    if past is not None:
        given_s = min(past.lost_s, seconds)
        period = past.period if given_s else period
    elif reverses is not None:
        late = await _late_line(c, relay, contract, reverses)
        if late is not None:
            period, given_s = late[0], -late[1]
    if given_s:
        await _write(
            c, relay, contract.name, period=period, kind="adjust", seconds=given_s,
            mark=f"{_LATE}{entry}", reason="work of a period that was over", actor=_THE_RELAY,
        )  # fmt: skip
    await _write(
        c, relay, contract.name, period=period, kind="debit" if seconds > 0 else "adjust",
        seconds=-seconds, mark=f"entry:{entry}", actor=actor, entry=entry,
    )  # fmt: skip


async def due_warnings(c: AsyncConnection, relay: Relay, contract: Contract) -> list[int]:
    """Return the percents of `WARN_AT` that were just reached, each once in a period."""
    period = await _opened(c, relay.tenant, contract.name)
    if period is None:
        return []
    percent = (await balance_of(c, relay, contract)).percent
    said = select(contract_warnings.c.percent).where(
        contract_warnings.c.tenant == relay.tenant,
        contract_warnings.c.contract == contract.name,
        contract_warnings.c.period == period,
    )
    known = set(await c.scalars(said))
    reached = [one for one in WARN_AT if percent >= one and one not in known]
    for one in reached:
        row = {"contract": contract.name, "period": period, "percent": one}
        await c.execute(
            insert(contract_warnings).values(tenant=relay.tenant, at=relay.stamp(), **row)
        )
    return reached


async def adjust(
    c: AsyncConnection, relay: Relay, *, name: str, seconds: int, reason: str, actor: str
) -> Balance:
    """Give hours to a contract or take some, with the reason; hours bought on top come this way.

    Raises:
        FarhandError: `invalid`, `not-found`; `contract-no-balance` for one that grants no hours.
    """
    contract = await get_contract(c, relay.tenant, name)
    if not contract.terms.has_balance:
        raise FarhandError("contract-no-balance", f"{name[:40]} grants no hours, so has no balance")
    if seconds == 0 or abs(seconds) > MAX_ADJUSTMENT_S:
        raise FarhandError("invalid", "an adjustment is of something, and at most of 10000 hours")
    why = check_line(reason, "reason")
    # The audit's turn before the contract's row, as everywhere.
    await relay.audit.append(
        c, actor=actor, action="contract.adjust", subject=name,
        detail={"seconds": seconds, "reason": why},
    )  # fmt: skip
    await open_periods(c, relay, contract)
    period = await _opened(c, relay.tenant, name) or contract.terms.starts
    await _write(
        c, relay, name, period=period, kind="adjust", seconds=seconds, reason=why, actor=actor,
        mark=f"adjust:{relay.random(10).hex()}",
    )  # fmt: skip
    return await balance_of(c, relay, contract)


async def sweep_periods(relay: Relay) -> None:
    """Open the periods that have begun, so that nobody waits for the next time entry.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    after = ""
    while True:
        async with relay.db.read() as c:
            found = await list_contracts(c, relay.tenant, after=after, limit=_AT_ONCE)
            due = [one for one in found if await _is_due(c, relay, one)]
        for contract in due:
            async with relay.db.write() as c:
                await open_periods(c, relay, contract)
        if len(found) < _AT_ONCE:
            return
        after = found[-1].name


async def _is_due(c: AsyncConnection, relay: Relay, contract: Contract) -> bool:
    if not contract.terms.has_balance:
        return False
    opened = await _opened(c, relay.tenant, contract.name)
    balance_s = await _sum(c, relay.tenant, contract.name)
    today = today_of(relay, contract.terms)
    return bool(due_lines(contract.terms, opened=opened, balance_s=balance_s, today=today))
