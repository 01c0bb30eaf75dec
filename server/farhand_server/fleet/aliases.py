"""The ids under which one machine is known: its own, and those that were merged into it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.store.schema import devices

__all__ = ["aliases", "same_device"]


def same_device(column: ColumnElement[str], tenant: str, device: str) -> ColumnElement[bool]:
    """Return that a column names this device, or one that was merged into it."""
    merged = select(devices.c.id).where(devices.c.tenant == tenant, devices.c.merged_into == device)
    return or_(column == device, column.in_(merged))


async def aliases(c: AsyncConnection, tenant: str, device: str) -> list[str]:
    """Return the device and those that were merged into it."""
    query = select(devices.c.id).where(devices.c.tenant == tenant, devices.c.merged_into == device)
    return [device, *sorted(await c.scalars(query))]
