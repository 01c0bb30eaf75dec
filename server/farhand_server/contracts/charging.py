"""What a time entry comes to: its charge, made in the transaction that makes the entry.

The entry says what was done; the charge says under which contract, rounded to what, taken from the
balance or charged at which rate.  Neither is ever changed: who was wrong reverses an entry, which
makes another one of exactly the opposite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.instants import parse_instant
from farhand_server.contracts.contracts import Contract, day_of, get_contract
from farhand_server.contracts.cover import contract_of
from farhand_server.contracts.ledger import debit, due_warnings, open_periods, past_period
from farhand_server.contracts.rounding import amount_minor, billed_seconds, split_charge
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.relay import Relay
from farhand_server.store.schema import time_charges

__all__ = ["Charge", "Origin", "charge_entry", "charges_of", "reverse_charge"]

Origin = Literal["session", "hand", "call", "visit", "correction"]
_THE_RELAY: Final = "relay"


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry comes to.

    Attributes:
        contract: by name, `included` where there is none.
        origin: where its time comes from.
        activity: what kind of work; a word of the desk's own, or empty.
        billable: whether it comes to anything.
        customer_visible: whether the customer is shown it.
        billed_s: its time, rounded; 0 when it is not billable.
        debited_s: what of that the balance paid for.
        charged_s: what of that is charged at the rate.
        rate_minor: for an hour, as it was then.
        amount_minor: what is charged.
        currency: three letters.
        reverses: the entry that this one takes back.
        reason: why it was taken back.
        statement: the one that it stands on.
    """

    entry: str
    contract: str
    contract_version: int
    origin: str
    activity: str
    billable: bool
    customer_visible: bool
    billed_s: int
    debited_s: int
    charged_s: int
    rate_minor: int
    amount_minor: int
    currency: str
    reverses: str | None
    reason: str
    statement: str | None


async def charge_entry(
    c: AsyncConnection,
    relay: Relay,
    *,
    entry: str,
    ticket: int,
    account: str,
    active_s: int,
    ended_at: str,
    origin: Origin,
    activity: str = "",
    billable: bool = True,
    customer_visible: bool | None = None,
    corrects: Charge | None = None,
) -> None:
    """Write what a new entry comes to, and take it from the balance.

    Args:
        c: connection of the write transaction that makes the entry.
        relay: the wiring.
        entry: its id.
        ticket: number as the database keeps it.
        account: who worked.
        active_s: time worked, 0 or more.
        ended_at: when it ended, as the tables keep it.
        origin: where its time comes from.
        activity: a word for it, checked by the caller.
        billable: whether it is to come to anything.
        customer_visible: whether the customer is shown it; None does as the contract says.
        corrects: the charge of the wrong entry that this one stands for; its contract, version and
            rate are this one's.
    """
    if corrects is None:
        contract = await contract_of(c, relay, ticket=ticket, at=parse_instant(ended_at))
    else:
        version = corrects.contract_version
        contract = await get_contract(c, relay.tenant, corrects.contract, version)
    terms = contract.terms
    billed = billed_seconds(active_s, step_s=terms.step_s, min_s=terms.min_s) if billable else 0
    balance_s, past = 0, None
    if terms.has_balance:
        # Periods are opened by what is agreed on now, whatever was when the work was done.
        newest = await get_contract(c, relay.tenant, contract.name)
        balance_s = await open_periods(c, relay, newest)
        day = day_of(parse_instant(ended_at), newest.terms)
        wrong = None if corrects is None else corrects.entry
        past = await past_period(c, relay, newest, day=day, corrects=wrong)
    if past is not None:
        balance_s = past.lost_s + min(past.rolled_s, max(balance_s, 0))
    debited, charged = split_charge(terms, billed, balance_s)
    await c.execute(
        insert(time_charges).values(
            tenant=relay.tenant,
            entry=entry,
            ticket=ticket,
            contract=contract.name,
            contract_version=contract.version,
            origin=origin,
            activity=activity,
            billable=billable,
            customer_visible=terms.show_time if customer_visible is None else customer_visible,
            billed_s=billed,
            debited_s=debited,
            charged_s=charged,
            rate_minor=terms.rate_minor,
            amount_minor=amount_minor(charged, terms.rate_minor),
            currency=terms.currency,
            reverses=None,
            reason="",
            ended_at=ended_at,
        )
    )
    if debited:
        await debit(c, relay, contract, seconds=debited, entry=entry, actor=account, past=past)
        await _warn(c, relay, contract, ticket)


async def _warn(c: AsyncConnection, relay: Relay, contract: Contract, ticket: int) -> None:
    """Say on the ticket that brought it there how far a contract is used, once for each step."""
    for percent in await due_warnings(c, relay, contract):
        detail = {"contract": contract.name, "percent": percent}
        at = relay.stamp()
        words = (
            f"The hours of the contract {contract.name} are used up."
            if percent >= 100
            else f"{percent} % of the hours of the contract {contract.name} are used."
        )
        await insert_message(c, relay.tenant, ticket, "note", _THE_RELAY, words, at)
        await add_event(c, relay.tenant, ticket, "contract-warning", _THE_RELAY, detail, at)


async def reverse_charge(
    c: AsyncConnection, relay: Relay, *, charge: Charge, ticket: int, entry: str, reason: str,
    account: str, ended_at: str,
) -> None:  # fmt: skip
    """Write the opposite of a charge for the entry that takes another one back.

    Raises:
        sqlalchemy.exc.IntegrityError: somebody took it back already.
    """
    contract = await get_contract(c, relay.tenant, charge.contract)
    if charge.debited_s:
        await open_periods(c, relay, contract)
    opposite = {
        name: -getattr(charge, name)
        for name in ("billed_s", "debited_s", "charged_s", "amount_minor")
    }
    same = {
        name: getattr(charge, name)
        for name in (
            "contract", "contract_version", "activity", "billable", "customer_visible",
            "rate_minor", "currency",
        )
    }  # fmt: skip
    await c.execute(
        insert(time_charges).values(
            tenant=relay.tenant, entry=entry, ticket=ticket, origin="correction",
            reverses=charge.entry, reason=reason, ended_at=ended_at, **same, **opposite,
        )
    )  # fmt: skip
    if charge.debited_s:
        await debit(
            c, relay, contract, seconds=-charge.debited_s, entry=entry, actor=account,
            reverses=charge.entry,
        )  # fmt: skip


async def charges_of(c: AsyncConnection, tenant: str, entries: Sequence[str]) -> dict[str, Charge]:
    """Return the charges of entries by their id; entries older than contracts have none."""
    query = select(time_charges).where(
        time_charges.c.tenant == tenant, time_charges.c.entry.in_(entries)
    )
    return {
        row["entry"]: Charge(**{name: row[name] for name in Charge.__struct_fields__})
        for row in (await c.execute(query)).mappings()
    }
