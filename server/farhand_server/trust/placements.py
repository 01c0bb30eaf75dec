"""Takes signed moves into the devices' rows, for queries and lists; devices read them themselves.

The rows say what consoles and devices verify anyway: an order or a grant with another group than
the signed one is refused at the device.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.placements import Placements, check_placements
from farhand_protocol.trust import decode_document
from farhand_server.store.schema import devices
from farhand_server.trust.publication import invalid

__all__ = ["place_devices"]

_BATCH = 500


async def place_devices(c: AsyncConnection, tenant: str, data: bytes) -> list[str]:
    """Put devices into the groups of an uploaded `groups.json`; return those that changed.

    Raises:
        FarhandError: `trust-invalid` for a document that devices would refuse.
    """
    try:
        placements = check_placements(decode_document(data, Placements))
    except FarhandError as error:
        raise invalid(error.message, error.detail) from error
    if placements.tenant != tenant:
        raise invalid("the placements are of another organisation")
    changed: list[dict[str, str]] = []
    named = list(placements.groups)
    for start in range(0, len(named), _BATCH):
        ids = named[start : start + _BATCH]
        rows = await c.execute(
            select(devices.c.id, devices.c.device_group).where(
                devices.c.tenant == tenant, devices.c.id.in_(ids)
            )
        )
        changed += [
            {"device": row.id, "group": placements.groups[row.id]}
            for row in rows
            if row.device_group != placements.groups[row.id]
        ]
    if changed:
        await c.execute(
            update(devices)
            .where(devices.c.tenant == tenant, devices.c.id == bindparam("device"))
            .values(device_group=bindparam("group")),
            changed,
        )
    return [one["device"] for one in changed]
