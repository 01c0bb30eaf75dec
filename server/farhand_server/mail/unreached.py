"""Telling the desk whom a mail of a ticket does not reach: refused, come back, or never sent."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets

__all__ = ["tell_of_failure"]


async def tell_of_failure(
    c: AsyncConnection, relay: Relay, ticket: int, failed: Mapping[str, str], *, event: str
) -> None:
    """Note on a ticket whom a mail does not reach, and why."""
    lines = "\n".join(f"- {address}: {words}" for address, words in failed.items())
    at = relay.stamp()
    body = f"A mail of this ticket did not arrive:\n\n{lines}"[:4000]
    message = await insert_message(
        c, relay.tenant, ticket, "note", "mail", body, at, channel="mail"
    )
    detail = {"message": message.seq, "addresses": sorted(failed)}
    await add_event(c, relay.tenant, ticket, event, "mail", detail, at)
    await c.execute(
        update(tickets)
        .where(tickets.c.tenant == relay.tenant, tickets.c.number == ticket)
        .values(updated_at=at, revision=tickets.c.revision + 1)
    )
