"""Contracts as the relay keeps them: every version, the newest in force.

Changing a contract makes a new version; time entries keep the version that they were made under,
with its rate.  What a change of periods means for the ledger is in contracts.periods.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import RowMapping, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.contracts.terms import INCLUDED, INCLUDED_NAME, Terms, check_terms
from farhand_server.desk.service import get_calendar, get_policy
from farhand_server.errors import not_found
from farhand_server.people.organisations import get_organisation
from farhand_server.relay import Relay
from farhand_server.store.schema import contracts, time_charges

__all__ = [
    "MAX_CONTRACTS",
    "Contract",
    "day_of",
    "get_contract",
    "list_contracts",
    "lock_contract",
    "of_organisation",
    "set_contract",
    "today_of",
]

MAX_CONTRACTS: Final = 10_000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z", re.ASCII)


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a contract."""

    name: str
    version: int
    terms: Terms


def _contract(row: RowMapping) -> Contract:
    terms = msgspec.json.decode(row["definition"], type=Terms)
    return Contract(name=row["name"], version=row["version"], terms=terms)


def today_of(relay: Relay, terms: Terms) -> date:
    """Return the day that it is where the contract counts its days."""
    return day_of(relay.now(), terms)


def day_of(at: datetime, terms: Terms) -> date:
    """Return the day that it was at an instant where the contract counts its days."""
    return at.astimezone(ZoneInfo(terms.zone)).date()


async def get_contract(
    c: AsyncConnection, tenant: str, name: str, version: int | None = None
) -> Contract:
    """Return a version of a contract, the newest by default; `included` is always there.

    Raises:
        FarhandError: `not-found`.
    """
    which = contracts.c.newest.is_(True) if version is None else contracts.c.version == version
    query = select(contracts).where(contracts.c.tenant == tenant, contracts.c.name == name, which)
    row = (await c.execute(query)).mappings().first()
    if row is not None:
        return _contract(row)
    if name == INCLUDED_NAME:
        return Contract(name=name, version=0, terms=INCLUDED)
    raise not_found("contract", name)


async def list_contracts(
    c: AsyncConnection,
    tenant: str,
    *,
    organisation: str | None = None,
    after: str = "",
    limit: int = 50,
) -> list[Contract]:
    """Return the newest version of each contract by name, of one organisation or of all."""
    where = [
        contracts.c.tenant == tenant, contracts.c.newest.is_(True), contracts.c.name > after
    ]  # fmt: skip
    if organisation is not None:
        where.append(contracts.c.organisation == organisation)
    query = select(contracts).where(and_(*where)).order_by(contracts.c.name).limit(limit)
    return [_contract(row) for row in (await c.execute(query)).mappings()]


async def of_organisation(
    c: AsyncConnection, tenant: str, organisation: str | None
) -> list[Contract]:
    """Return the contracts of an organisation, or those of none in particular; by name."""
    query = select(contracts).where(
        contracts.c.tenant == tenant,
        contracts.c.newest.is_(True),
        contracts.c.organisation == organisation
        if organisation is not None
        else contracts.c.organisation.is_(None),
    )
    rows = (await c.execute(query.order_by(contracts.c.name))).mappings()
    return [_contract(row) for row in rows]


async def lock_contract(c: AsyncConnection, tenant: str, name: str) -> None:
    """Let one transaction at a time write a contract's ledger.

    Who writes the audit as well takes its turn before this (`Audit.take_turn`).
    """
    query = select(contracts.c.version).where(
        contracts.c.tenant == tenant, contracts.c.name == name, contracts.c.version == 1
    )
    await c.execute(query.with_for_update())


async def set_contract(
    c: AsyncConnection, relay: Relay, *, name: str, terms: Terms, actor: str
) -> Contract:
    """Keep a new version of a contract.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        name: 1 to 40 of `a-z 0-9 -`; not `included`.
        terms: what was agreed on; `organisation` may be an id or a short name.
        actor: who says so.

    Raises:
        FarhandError: `contract-invalid`, `contract-limit`; `not-found` for the organisation, the
            calendar or the service policy.
    """
    tenant = relay.tenant
    if not _NAME.match(name) or name == INCLUDED_NAME:
        raise FarhandError(
            "contract-invalid",
            "a contract's name is 1 to 40 of a-z, 0-9 and hyphens, and not the word included",
        )
    check_terms(terms)
    if terms.organisation is not None:
        found = await get_organisation(c, tenant, terms.organisation)
        terms = msgspec.structs.replace(terms, organisation=found.id)
    if terms.calendar is not None:
        await get_calendar(c, tenant, terms.calendar)
    if terms.policy is not None:
        await get_policy(c, tenant, terms.policy)
    await relay.audit.take_turn(c)
    await lock_contract(c, tenant, name)
    mine = and_(contracts.c.tenant == tenant, contracts.c.name == name)
    version = int(await c.scalar(select(func.max(contracts.c.version)).where(mine)) or 0) + 1
    if version == 1:
        await _check_room(c, tenant)
    await _check_currency(c, tenant, name, terms)
    await relay.audit.append(c, actor=actor, action="contract.set", subject=f"{name} {version}")
    await c.execute(update(contracts).where(mine).values(newest=False))
    await c.execute(
        insert(contracts).values(
            tenant=tenant,
            name=name,
            version=version,
            newest=True,
            organisation=terms.organisation,
            definition=msgspec.json.encode(terms).decode(),
            created_by=actor,
            created_at=relay.stamp(),
        )
    )
    return Contract(name=name, version=version, terms=terms)


async def _check_currency(c: AsyncConnection, tenant: str, name: str, terms: Terms) -> None:
    """Refuse what would have a statement add up amounts of two currencies."""
    query = select(time_charges.c.currency).where(
        time_charges.c.tenant == tenant,
        time_charges.c.contract == name,
        time_charges.c.amount_minor != 0,
        time_charges.c.currency != terms.currency,
    )
    if (charged := await c.scalar(query.limit(1))) is not None:
        raise FarhandError(
            "contract-invalid",
            f"work under {name} was charged in {charged} already",
            hint=f"make another contract in {terms.currency}",
        )


async def _check_room(c: AsyncConnection, tenant: str) -> None:
    query = select(func.count()).where(contracts.c.tenant == tenant, contracts.c.newest.is_(True))
    if int(await c.scalar(query) or 0) >= MAX_CONTRACTS:
        raise FarhandError("contract-limit", f"there are {MAX_CONTRACTS} contracts already")
