"""Which contract a ticket names: set by a person, or found when the ticket is made.

A ticket that falls under a contract with a service policy of its own is promised that one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.contracts.contracts import Contract, get_contract
from farhand_server.contracts.cover import contract_of
from farhand_server.contracts.terms import INCLUDED_NAME
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.moves import step
from farhand_server.desk.service import get_policy
from farhand_server.desk.tickets import Sight, Ticket, get_ticket
from farhand_server.desk.timeline import add_event
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets

__all__ = ["assign_contract", "heed_contract"]


async def _promised(c: AsyncConnection, tenant: str, contract: Contract) -> dict[str, Any]:
    """Return the columns of a ticket that say what its contract promises; none without a policy."""
    if contract.terms.policy is None:
        return {}
    kept = await get_policy(c, tenant, contract.terms.policy)
    return {"policy": kept.name, "policy_version": kept.version, "due_known": False}


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
    changes: dict[str, Any] = {"contract": contract}
    if contract is not None:
        named = await get_contract(c, relay.tenant, contract)
        changes |= await _promised(c, relay.tenant, named)
    at = await step(c, relay, ticket=found, state=found.state, changes=changes)
    detail = {"contract": {"from": found.contract, "to": contract}}
    await add_event(c, relay.tenant, found.row, "changed", actor, detail, at)
    return await get_ticket(c, relay.tenant, found.id)


async def heed_contract(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Write on a new ticket which contract it falls under, and what that promises."""
    if event.kind != "created":
        return
    contract = await contract_of(c, relay, ticket=event.ticket)
    if contract.name == INCLUDED_NAME:
        return
    values: dict[str, Any] = {"contract": contract.name}
    values |= await _promised(c, relay.tenant, contract)
    # Nobody chose this, so whoever has read the ticket may go on with what she read.
    await c.execute(
        update(tickets)
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.number == event.ticket,
            tickets.c.contract.is_(None),
        )
        .values(values)
    )
