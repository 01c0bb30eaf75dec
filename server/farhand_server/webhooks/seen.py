"""Deliveries that were taken: each once, by the id that its sender gave it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema.automation import seen_deliveries

__all__ = ["MAX_DELIVERY_ID_CHARS", "REMEMBERED", "is_new"]

REMEMBERED: Final = timedelta(days=30)
MAX_DELIVERY_ID_CHARS: Final = 200


async def is_new(c: AsyncConnection, relay: Relay, *, source: str, delivery: str) -> bool:
    """Note a delivery and tell whether this is its first time; without an id it always is.

    Args:
        c: connection of the write transaction that takes it, so that what fails is new again.
        relay: the wiring.
        source: whose ids these are.
        delivery: the id.
    """
    if not delivery:
        return True
    make = postgresql_insert if relay.db.dialect == "postgresql" else sqlite_insert
    done = await c.execute(
        make(seen_deliveries)
        .values(
            tenant=relay.tenant,
            source=source,
            delivery=delivery[:MAX_DELIVERY_ID_CHARS],
            at=relay.stamp(),
        )
        .on_conflict_do_nothing(index_elements=["tenant", "source", "delivery"])
    )
    if done.rowcount != 1:
        return False
    await c.execute(
        delete(seen_deliveries).where(
            seen_deliveries.c.tenant == relay.tenant,
            seen_deliveries.c.at < stamp(relay.now() - REMEMBERED),
        )
    )
    return True
