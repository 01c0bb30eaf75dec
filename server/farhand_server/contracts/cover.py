"""Which contract work falls under, and whether it may begin.

In this order, the first that is in force on the day of the work:

    1. what a person chose for the ticket
    2. a contract of its organisation whose scope names the ticket's service (its category), or the
       group of its device
    3. the organisation's own choice (`organisation set --contract`), when its scope is open or fits
    4. a contract of its organisation with an open scope
    5. without an organisation: a contract whose scope names the group of the device
    6. `included`
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, RefusedError
from farhand_server.contracts.contracts import (
    Contract,
    day_of,
    get_contract,
    list_contracts,
    of_organisation,
)
from farhand_server.contracts.ledger import Balance, balance_of
from farhand_server.contracts.terms import INCLUDED, INCLUDED_NAME, ContractKind, Overage
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, organisations, ticket_events, tickets

__all__ = ["Cover", "check_may_begin", "chosen_contract", "contract_of", "cover_of"]

_GROUPED_AT_ONCE = 500


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    """What work falls under, as a technician is told before she begins.

    `refuses` says that the relay carries no session for it now.
    """

    contract: str
    title: str
    kind: ContractKind
    organisation: str | None
    overage: Overage
    rate_minor: int
    currency: str
    balance: Balance | None
    refuses: bool


class _Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract is looked for by."""

    named: str | None
    organisation: str | None
    service: str
    group: str | None


async def chosen_contract(c: AsyncConnection, tenant: str, ticket: int) -> str | None:
    """Return the contract that a person chose for a ticket; None where the relay finds it.

    What the ticket's row names may be what was found when it was made, and is not asked.
    """
    query = select(ticket_events.c.detail).where(
        ticket_events.c.tenant == tenant,
        ticket_events.c.ticket == ticket,
        ticket_events.c.kind == "changed",
        # As a key of the JSON: a quotation mark in a text is written otherwise.
        ticket_events.c.detail.contains('"contract": {', autoescape=True),
    )
    for text in await c.scalars(query.order_by(ticket_events.c.seq.desc())):
        if (moved := json.loads(text).get("contract")) is not None:
            chosen: str | None = moved["to"]
            return chosen
    return None


async def _work(c: AsyncConnection, tenant: str, ticket: int | None, device: str | None) -> _Work:
    row = None
    if ticket is not None:
        query = select(tickets.c.organisation, tickets.c.category, tickets.c.device).where(
            tickets.c.tenant == tenant, tickets.c.number == ticket
        )
        row = (await c.execute(query)).first()
    device = device or (None if row is None else row.device)
    group = None
    if device is not None:
        group = await c.scalar(
            select(devices.c.device_group).where(devices.c.tenant == tenant, devices.c.id == device)
        )
    if row is None:
        return _Work(named=None, organisation=None, service="", group=group)
    named = None if ticket is None else await chosen_contract(c, tenant, ticket)
    return _Work(named=named, organisation=row.organisation, service=row.category, group=group)


def _fits(contract: Contract, work: _Work) -> bool:
    """Tell whether a scope names this work."""
    terms = contract.terms
    return work.service in terms.services or (work.group is not None and work.group in terms.groups)


def _is_open(contract: Contract) -> bool:
    return not contract.terms.services and not contract.terms.groups


async def contract_of(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: int | None = None,
    device: str | None = None,
    at: datetime | None = None,
    found_only: bool = False,
) -> Contract:
    """Return the contract that work on a ticket, or on a device without one, falls under.

    Args:
        c: any connection.
        relay: the wiring.
        ticket: number as the database keeps it.
        device: id; with a ticket, instead of the ticket's.
        at: when the work ended; now without it.
        found_only: as if nobody had chosen one for the ticket.
    """
    tenant = relay.tenant
    work = await _work(c, tenant, ticket, device)
    candidates: list[Contract] = []
    if work.named is not None and not found_only:
        candidates += await _named(c, tenant, work.named)
    if work.organisation is not None:
        candidates += await _of_its_organisation(c, tenant, work, work.organisation)
    elif work.group is not None:
        candidates += [
            one
            for one in await list_contracts(c, tenant, limit=_GROUPED_AT_ONCE)
            if work.group in one.terms.groups
        ]
    return _first(at or relay.now(), candidates)


def _first(at: datetime, candidates: Sequence[Contract]) -> Contract:
    for one in candidates:
        if one.terms.is_in_force(day_of(at, one.terms)):
            return one
    return Contract(name=INCLUDED_NAME, version=0, terms=INCLUDED)


async def _named(c: AsyncConnection, tenant: str, name: str) -> list[Contract]:
    try:
        return [await get_contract(c, tenant, name)]
    except FarhandError as error:
        if error.code != "not-found":
            raise
        return []


async def _of_its_organisation(
    c: AsyncConnection, tenant: str, work: _Work, organisation: str
) -> list[Contract]:
    its = await of_organisation(c, tenant, organisation)
    query = select(organisations.c.contract).where(
        organisations.c.tenant == tenant, organisations.c.id == organisation
    )
    chosen = await c.scalar(query)
    # What it chose may be nobody's in particular: one contract for several organisations.
    chosen_ones = await _named(c, tenant, chosen) if chosen else []
    return [
        *(one for one in its if _fits(one, work)),
        *(one for one in chosen_ones if _is_open(one) or _fits(one, work)),
        *(one for one in its if _is_open(one)),
    ]


async def cover_of(
    c: AsyncConnection, relay: Relay, *, ticket: int | None = None, device: str | None = None
) -> Cover:
    """Return what work on a ticket or a device falls under, and what is left of it."""
    contract = await contract_of(c, relay, ticket=ticket, device=device)
    terms = contract.terms
    balance = await balance_of(c, relay, contract) if terms.has_balance else None
    return Cover(
        contract=contract.name,
        title=terms.title,
        kind=terms.kind,
        organisation=terms.organisation,
        overage=terms.overage,
        rate_minor=terms.rate_minor,
        currency=terms.currency,
        balance=balance,
        refuses=balance is not None and balance.balance_s <= 0 and terms.overage == "deny",
    )


async def check_may_begin(
    c: AsyncConnection, relay: Relay, *, ticket: int | None, device: str | None
) -> None:
    """Refuse a session for which a contract has no hours left and allows none on top.

    The relay refuses to carry; a session that is under way goes on, and its time is debited.

    Raises:
        RefusedError: `contract-used-up`.
    """
    cover = await cover_of(c, relay, ticket=ticket, device=device)
    if cover.refuses:
        raise RefusedError(
            "contract-used-up",
            f"the hours of the contract {cover.contract} are used up, and it allows no more",
            hint=f"farhand contract adjust {cover.contract} --hours N --reason WHY",
        )
