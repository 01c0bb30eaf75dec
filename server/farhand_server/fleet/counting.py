"""How many devices a query picks, for whoever is about to order something of them.

Counted as a campaign's targets are frozen (`fleet.frozen_sets`): what runs no agent is left out,
and so is what a second query takes away.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import func, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.fleet.devices import WhoIsOnline, picked
from farhand_server.fleet.packages import given_texts
from farhand_server.fleet.query import parse_query
from farhand_server.store.schema import devices

__all__ = ["DeviceCount", "count_devices"]


class DeviceCount(msgspec.Struct, frozen=True, kw_only=True):
    """Devices with an agent that a query picks now, and how many of them are connected."""

    devices: int
    online: int


async def count_devices(
    c: AsyncConnection, tenant: str, *, query: str, exclude: str, presence: WhoIsOnline
) -> DeviceCount:
    """Count what `query` picks and `exclude` does not.

    Args:
        c: any connection.
        tenant: organisation.
        query: see `fleet.query`.
        exclude: another one; empty for nothing.
        presence: who is connected.

    Raises:
        FarhandError: `query-invalid`, `query-too-wide`.
    """
    where = [
        await picked(c, tenant, parse_query(query), presence=presence, agents_only=True),
    ]
    if exclude:
        out = await picked(c, tenant, parse_query(exclude), presence=presence, agents_only=True)
        where.append(not_(out))
    connected = devices.c.id.in_(given_texts(c.dialect.name, presence.online()))
    total = select(func.count()).select_from(devices).where(*where)
    return DeviceCount(
        devices=await c.scalar(total) or 0,
        online=await c.scalar(total.where(connected)) or 0,
    )
