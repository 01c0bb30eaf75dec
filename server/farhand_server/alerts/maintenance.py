"""Devices that somebody works on: their alerts are recorded, and kept from tickets for a while.

A maintenance always ends by itself.  What began meanwhile and still stands then goes to a ticket
(`alerts.sweep`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import RowMapping, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import maintenance
from farhand_server.wording import check_line

__all__ = [
    "MAX_MAINTENANCE",
    "Maintenance",
    "end_maintenance",
    "get_maintenance",
    "is_in_maintenance",
    "set_maintenance",
]

MAX_MAINTENANCE: Final = timedelta(days=90)


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """Whether somebody works on a device; `until` is null where nobody does."""

    device: str
    until: str | None
    reason: str
    set_by: str | None
    set_at: str | None


async def get_maintenance(c: AsyncConnection, relay: Relay, device: str) -> Maintenance:
    """Return the maintenance of a device; one that is over is none."""
    query = select(maintenance).where(
        maintenance.c.tenant == relay.tenant,
        maintenance.c.device == device,
        maintenance.c.until > relay.stamp(),
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        return Maintenance(device=device, until=None, reason="", set_by=None, set_at=None)
    return Maintenance(**{name: row[name] for name in Maintenance.__struct_fields__})


async def is_in_maintenance(c: AsyncConnection, relay: Relay, device: str) -> bool:
    """Tell whether somebody works on the device now."""
    return (await get_maintenance(c, relay, device)).until is not None


async def set_maintenance(
    c: AsyncConnection,
    relay: Relay,
    *,
    device: RowMapping,
    until: datetime,
    reason: str,
    actor: str,
) -> Maintenance:
    """Begin a maintenance, or give the one that goes on another end.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        device: its row.
        until: later than now, by at most `MAX_MAINTENANCE`.
        reason: one line, or empty.
        actor: account name.

    Raises:
        UsageError: `invalid`.
    """
    now = relay.now()
    if not now < until <= now + MAX_MAINTENANCE:
        raise UsageError(
            "invalid", f"a maintenance ends later than now, within {MAX_MAINTENANCE.days} days"
        )
    words = check_line(reason, "reason") if reason.strip() else ""
    await relay.audit.append(
        c,
        actor=actor,
        action="maintenance.set",
        subject=device["id"],
        detail={"until": stamp(until), "reason": words},
    )
    await _forget(c, relay.tenant, device["id"])
    row = {
        "device": device["id"],
        "until": stamp(until),
        "reason": words,
        "set_by": actor,
        "set_at": stamp(now),
    }
    await c.execute(insert(maintenance).values(tenant=relay.tenant, **row))
    return Maintenance(**row)


async def end_maintenance(
    c: AsyncConnection, relay: Relay, *, device: RowMapping, actor: str
) -> bool:
    """End a maintenance, early or because its time has come; False where there was none."""
    tenant = relay.tenant
    query = select(maintenance.c.until).where(
        maintenance.c.tenant == tenant, maintenance.c.device == device["id"]
    )
    if await c.scalar(query) is None:
        return False
    await relay.audit.append(c, actor=actor, action="maintenance.end", subject=device["id"])
    await _forget(c, tenant, device["id"])
    return True


async def _forget(c: AsyncConnection, tenant: str, device: str) -> None:
    await c.execute(
        delete(maintenance).where(maintenance.c.tenant == tenant, maintenance.c.device == device)
    )
