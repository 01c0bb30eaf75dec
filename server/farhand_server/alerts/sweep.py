"""What time alone changes of alerts: maintenance that ends, flapping that stops, history that ages.

Every node sweeps; each piece is one transaction that looks again at what it found, so that two
nodes do nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy import RowMapping, delete, select

from farhand_protocol.errors import FarhandError
from farhand_server.alerts.intake import KEPT, after_maintenance, close_all, hold, settle
from farhand_server.alerts.maintenance import end_maintenance
from farhand_server.alerts.steps import LIVE, STABLE
from farhand_server.alerts.tickets import AUTHOR
from farhand_server.clock import stamp
from farhand_server.fleet.devices import lock_device
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts, devices, maintenance

__all__ = ["EVERY_S", "sweep", "sweep_for_ever"]

_log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
# Of each kind, in one sweep; the next one goes on.
_AT_ONCE: Final = 200


async def sweep_for_ever(relay: Relay) -> None:
    """Sweep now and then; runs until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await sweep(relay)
        except FarhandError as error:
            _log.warning("alerts were not swept: %s", error)


async def sweep(relay: Relay) -> None:
    """Do what is due now.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    for device in await _ended(relay):
        await _end(relay, device)
    for device in await _stable(relay):
        await _settle(relay, device)
    for device in await _retired(relay):
        await _close(relay, device)
    old = [alerts.c.tenant == relay.tenant, alerts.c.closed_at < stamp(relay.now() - KEPT)]
    async with relay.db.read() as c:
        is_any = await c.scalar(select(alerts.c.id).where(*old).limit(1))
    if is_any is not None:
        async with relay.db.write() as c:
            await c.execute(delete(alerts).where(*old))


async def _ended(relay: Relay) -> list[str]:
    query = select(maintenance.c.device).where(
        maintenance.c.tenant == relay.tenant, maintenance.c.until <= relay.stamp()
    )
    async with relay.db.read() as c:
        return list(await c.scalars(query.order_by(maintenance.c.until).limit(_AT_ONCE)))


async def _end(relay: Relay, device: str) -> None:
    async with relay.db.write() as c:
        await hold(c, relay.tenant)
        row = await lock_device(c, relay.tenant, device)
        still = await c.scalar(
            select(maintenance.c.device).where(
                maintenance.c.tenant == relay.tenant,
                maintenance.c.device == device,
                maintenance.c.until <= relay.stamp(),
            )
        )
        if row is not None and still is not None:
            await end_maintenance(c, relay, device=row, actor=AUTHOR)
            await after_maintenance(c, relay, device=row)


async def _stable(relay: Relay) -> list[str]:
    query = (
        select(alerts.c.device)
        .where(
            alerts.c.tenant == relay.tenant,
            alerts.c.flapping,
            alerts.c.changed_at <= stamp(relay.now() - STABLE),
        )
        .distinct()
        .limit(_AT_ONCE)
    )
    async with relay.db.read() as c:
        return list(await c.scalars(query))


async def _settle(relay: Relay, device: str) -> None:
    async with relay.db.write() as c:
        await hold(c, relay.tenant)
        row = await lock_device(c, relay.tenant, device)
        if row is not None:
            await settle(c, relay, device=row)


async def _retired(relay: Relay) -> list[str]:
    query = (
        select(alerts.c.device)
        .join(devices, (devices.c.tenant == alerts.c.tenant) & (devices.c.id == alerts.c.device))
        .where(
            alerts.c.tenant == relay.tenant,
            alerts.c.state.in_(LIVE),
            devices.c.retired_at.is_not(None),
        )
        .distinct()
        .limit(_AT_ONCE)
    )
    async with relay.db.read() as c:
        return list(await c.scalars(query))


async def _close(relay: Relay, device: str) -> None:
    async with relay.db.write() as c:
        await hold(c, relay.tenant)
        row: RowMapping | None = await lock_device(c, relay.tenant, device)
        if row is not None:
            await close_all(c, relay, device=row)
