"""Who works with a device: one person, as the desk says it, or nobody in particular.

It is not who owns it, and gives no right to anything: that person sees the device's name, model
and when it was last there on her own page of the relay, and nothing more.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.fleet.devices import lock_device
from farhand_server.fleet.product import get_product
from farhand_server.people.merging import known_as, survivor_of
from farhand_server.people.people import get_person
from farhand_server.relay import Relay
from farhand_server.store.schema import device_holders, devices

__all__ = ["MAX_SHOWN", "HeldDevice", "Holder", "devices_of", "holder_of", "set_holder"]

# On a page; whoever has more of them asks the desk.
MAX_SHOWN: Final = 50


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who works with a device; all but the device null where nobody was named."""

    device: str
    person: str | None = None
    name: str | None = None
    given_by: str | None = None
    given_at: str | None = None


class HeldDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device as its holder sees it."""

    name: str
    make: str
    model: str
    last_seen: str | None


async def holder_of(c: AsyncConnection, tenant: str, device: str) -> Holder:
    """Return who works with a device."""
    query = select(device_holders).where(
        device_holders.c.tenant == tenant, device_holders.c.device == device
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        return Holder(device=device)
    person = await get_person(c, tenant, await survivor_of(c, tenant, row["person"]))
    return Holder(
        device=device,
        person=person.id,
        name=person.name,
        given_by=row["given_by"],
        given_at=row["given_at"],
    )


async def set_holder(
    c: AsyncConnection, relay: Relay, *, device: str, person: str | None, actor: str
) -> Holder:
    """Say who works with a device.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        device: its id.
        person: id, account or address; None for nobody in particular.
        actor: who says so.

    Raises:
        FarhandError: `not-found`.
    """
    who = None if person is None else (await get_person(c, relay.tenant, person)).id
    await relay.audit.append(
        c, actor=actor, action="device.holder", subject=device, detail={"person": who}
    )
    await lock_device(c, relay.tenant, device)
    await c.execute(
        delete(device_holders).where(
            device_holders.c.tenant == relay.tenant, device_holders.c.device == device
        )
    )
    if who is not None:
        await c.execute(
            insert(device_holders).values(
                tenant=relay.tenant,
                device=device,
                person=who,
                given_by=actor,
                given_at=relay.stamp(),
            )
        )
    return await holder_of(c, relay.tenant, device)


async def devices_of(c: AsyncConnection, relay: Relay, person: str) -> list[HeldDevice]:
    """Return the devices with which a person works, by name; those that are retired are over."""
    query = (
        select(devices.c.id, devices.c.name, devices.c.last_seen)
        .join(
            device_holders,
            (device_holders.c.tenant == devices.c.tenant)
            & (device_holders.c.device == devices.c.id),
        )
        .where(
            devices.c.tenant == relay.tenant,
            devices.c.retired_at.is_(None),
            device_holders.c.person.in_(await known_as(c, relay.tenant, person)),
        )
        .order_by(devices.c.name, devices.c.id)
        .limit(MAX_SHOWN)
    )
    found = []
    for row in (await c.execute(query)).all():
        product = await get_product(c, relay, row.id)
        found.append(
            HeldDevice(
                name=row.name,
                make=product.make or "",
                model=product.model or "",
                last_seen=row.last_seen,
            )
        )
    return found
