"""Which contract a ticket names: chosen by a person, or found, and found again when it changes.

A ticket that falls under a contract with a service policy of its own is promised that one.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.actors import THE_RELAY
from farhand_server.contracts.contracts import Contract, get_contract
from farhand_server.contracts.cover import chosen_contract, contract_of
from farhand_server.contracts.terms import INCLUDED_NAME
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.kind_promises import promise_of_kind
from farhand_server.desk.moves import step
from farhand_server.desk.queues import promised_in
from farhand_server.desk.service import get_policy
from farhand_server.desk.tickets import Sight, Ticket, get_ticket
from farhand_server.desk.timeline import add_event
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets

__all__ = ["assign_contract", "heed_contract"]

# What a contract is found by.
_FOUND_BY: Final = frozenset({"category", "device", "organisation", "person"})


async def _promised(
    c: AsyncConnection, tenant: str, contract: Contract, *, was: str | None, queue: str, kind: str
) -> dict[str, Any]:
    """Return the columns of a ticket that say what is promised; none where nothing changes.

    Args:
        c: any connection.
        tenant: whose ticket it is.
        contract: what the ticket falls under from now on.
        was: what it named before; with that goes what that promised.
        queue: of the ticket, which promises where no contract does.
        kind: of the ticket, whose own promise goes before both.
    """
    if await promise_of_kind(c, tenant, kind) is not None:
        return {}
    if contract.terms.policy is not None:
        kept = await get_policy(c, tenant, contract.terms.policy)
        return {"policy": kept.name, "policy_version": kept.version, "due_known": False}
    if was is None or (await get_contract(c, tenant, was)).terms.policy is None:
        return {}
    return {**await promised_in(c, tenant, queue, kind=kind), "due_known": False}


async def assign_contract(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    contract: str | None,
    actor: str,
    sight: Sight | None = None,
) -> Ticket:
    """Say which contract a ticket's work falls under from now on; None lets it be found.

    Entries that are there keep what they came to.

    Raises:
        FarhandError: `not-found` for the ticket or the contract, `revision-mismatch`.
    """
    found = await get_ticket(c, relay.tenant, ref, sight=sight)
    if contract is not None:
        named = await get_contract(c, relay.tenant, contract)
    else:
        named = await contract_of(c, relay, ticket=found.row, found_only=True)
    changes = {
        "contract": None if named.name == INCLUDED_NAME and contract is None else named.name,
        **await _promised(
            c, relay.tenant, named, was=found.contract, queue=found.queue, kind=found.kind
        ),
    }
    at = await step(c, relay, ticket=found, state=found.state, changes=changes)
    detail = {"contract": {"from": found.contract, "to": contract}}
    await add_event(c, relay.tenant, found.row, "changed", actor, detail, at)
    return await get_ticket(c, relay.tenant, found.id)


async def heed_contract(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Write on a ticket that nobody chose a contract for which one it falls under now."""
    is_about_it = event.kind == "created" or (
        event.kind == "changed" and not _FOUND_BY.isdisjoint(event.detail)
    )
    if not is_about_it or await chosen_contract(c, relay.tenant, event.ticket) is not None:
        return
    query = select(tickets.c.contract, tickets.c.queue, tickets.c.kind).where(
        tickets.c.tenant == relay.tenant, tickets.c.number == event.ticket
    )
    row = (await c.execute(query)).first()
    contract = await contract_of(c, relay, ticket=event.ticket)
    name = None if contract.name == INCLUDED_NAME else contract.name
    if row is None or row.contract == name:
        return
    values = await _promised(
        c, relay.tenant, contract, was=row.contract, queue=row.queue, kind=row.kind
    )
    # Nobody chose this, so whoever has read the ticket may go on with what she read.
    await c.execute(
        update(tickets)
        .where(tickets.c.tenant == relay.tenant, tickets.c.number == event.ticket)
        .values(contract=name, **values)
    )
    # What it was counted under until now is read from this; it is no choice of a person's.
    moved = {"from": row.contract, "to": name}
    await add_event(c, relay.tenant, event.ticket, "contract", THE_RELAY, moved, relay.stamp())
