"""Looks at what is registered, again and again: few at once, each claimed by one node.

    claim     the row's next time moves on, which only one node manages; then the look
    believe   a first result at once, another one when two looks in a row say it
    tell      a state that became another one: the device's checks, and its alerts

A node that dies after a claim loses one look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import RowMapping, select, update

from farhand_protocol.errors import FarhandError
from farhand_server.alerts.intake import hold, take_said
from farhand_server.alerts.words import Said
from farhand_server.clock import stamp
from farhand_server.fleet.devices import lock_device
from farhand_server.fleet.neighbours import show_checks
from farhand_server.probes.looking import Seen, look
from farhand_server.probes.registry import check_of, subject_of
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, relay_probes

__all__ = ["POLL_S", "poll", "poll_for_ever"]

_log = logging.getLogger(__name__)

POLL_S: Final = 10.0
_AT_ONCE: Final = 8
_CLAIMED: Final = 64

Look = Callable[[RowMapping], Awaitable[Seen]]


async def poll_for_ever(relay: Relay) -> None:
    """Look at what is due, for ever; runs until cancelled."""
    while True:
        await asyncio.sleep(POLL_S)
        try:
            await poll(relay)
        except FarhandError as error:
            _log.warning("agentless devices were not looked at: %s", error)


async def poll(relay: Relay, look_at: Look | None = None) -> int:
    """Look at what is due now and return how many looks that were.

    Args:
        relay: the wiring.
        look_at: looks at a row's address; None for the network.

    Raises:
        FarhandError: the store's.
    """
    claimed = await _claim(relay)
    guard = asyncio.Semaphore(_AT_ONCE)

    async def one(row: RowMapping) -> Seen:
        async with guard:
            if look_at is not None:
                return await look_at(row)
            return await look(row["kind"], row["address"], port=row["port"], now=relay.now())

    seen = await asyncio.gather(*(one(row) for row in claimed))
    for row, what in zip(claimed, seen, strict=True):
        if what.state != row["state"] or row["pending"]:
            await _store(relay, row, what)
    return len(claimed)


async def _claim(relay: Relay) -> list[RowMapping]:
    same = (devices.c.tenant == relay_probes.c.tenant) & (devices.c.id == relay_probes.c.device)
    query = (
        select(relay_probes, devices.c.address)
        .join(devices, same)
        .where(
            relay_probes.c.tenant == relay.tenant,
            relay_probes.c.next_at <= relay.stamp(),
            devices.c.retired_at.is_(None),
        )
        .order_by(relay_probes.c.next_at)
        .limit(_CLAIMED)
    )
    async with relay.db.read() as c:
        due = (await c.execute(query)).mappings().all()
    if not due:
        return []
    claimed = []
    async with relay.db.write() as c:
        for row in due:
            done = await c.execute(
                update(relay_probes)
                .where(
                    relay_probes.c.tenant == relay.tenant,
                    relay_probes.c.id == row["id"],
                    relay_probes.c.next_at == row["next_at"],
                )
                .values(next_at=stamp(relay.now() + timedelta(seconds=row["every_s"])))
            )
            if done.rowcount == 1:
                claimed.append(row)
    return claimed


async def _store(relay: Relay, row: RowMapping, seen: Seen) -> None:
    """Keep what a look came to; tell it where it is believed."""
    is_believed = not row["state"] or seen.state == row["pending"]
    changes: dict[str, object] = {"pending": "" if seen.state == row["state"] else seen.state}
    if is_believed and seen.state != row["state"]:
        changes = {"state": seen.state, "pending": "", "summary": seen.summary[:200]}
        changes |= {"value": seen.value, "unit": seen.unit, "since": relay.stamp()}
    async with relay.db.write() as c:
        await hold(c, relay.tenant)
        device = await lock_device(c, relay.tenant, row["device"])
        done = await c.execute(
            update(relay_probes)
            .where(relay_probes.c.tenant == relay.tenant, relay_probes.c.id == row["id"])
            .values(**changes)
        )
        if "state" not in changes or device is None or done.rowcount != 1:
            return
        said = Said(
            check_of(row), subject_of(row), seen.state, seen.summary[:200], seen.value, seen.unit
        )
        await take_said(c, relay, device=device, said=[said], is_all=False)
        await show_checks(
            c, tenant=relay.tenant, device=device["id"], address=device["address"], now=relay.now()
        )
