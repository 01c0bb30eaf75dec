"""Which tickets became part of one, directly or over others that did."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.store.schema import tickets

__all__ = ["MAX_MERGED", "merged_into", "merges_into"]

# Into one ticket, over however many steps.
MAX_MERGED: Final = 100


async def merged_into(c: AsyncConnection, tenant: str, number: int) -> list[int]:
    """Return the tickets that were merged into this one, directly or by way of others."""
    return list(await merges_into(c, tenant, number))


async def merges_into(c: AsyncConnection, tenant: str, number: int) -> dict[int, int]:
    """Return the same, each with the ticket that it was merged into."""
    found: dict[int, int] = {}
    wanted = [number]
    while wanted and len(found) < MAX_MERGED:
        query = (
            select(tickets.c.number, tickets.c.merged_into)
            .where(tickets.c.tenant == tenant, tickets.c.merged_into.in_(wanted))
            .order_by(tickets.c.number)
            .limit(MAX_MERGED - len(found))
        )
        step = {row.number: row.merged_into for row in await c.execute(query)}
        wanted = list(step)
        found |= step
    return found
