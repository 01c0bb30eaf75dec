"""What neighbours found out about devices without an agent, shown at those devices.

A check that looks at something besides its own device names it as its subject.  Where that is the
address of an agentless device, the newest word of any neighbour is how that device's check stands;
when no neighbour looks any more, nothing is known of it again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.fleet.check_states import set_check_states
from farhand_server.store.schema import check_states, devices, relay_probes

__all__ = ["mirror_checks", "show_checks", "subjects_of"]


async def subjects_of(c: AsyncConnection, tenant: str, device: str) -> set[str]:
    """Return what else the checks of a device look at."""
    query = select(check_states.c.subject).where(
        check_states.c.tenant == tenant,
        check_states.c.device == device,
        check_states.c.subject != "",
    )
    return set(await c.scalars(query.distinct()))


async def mirror_checks(
    c: AsyncConnection, *, tenant: str, subjects: Collection[str], now: datetime
) -> None:
    """Show at each agentless device of these addresses how its checks stand.

    Args:
        c: connection of a write transaction, after the neighbour's own rows were written.
        tenant: organisation.
        subjects: what the neighbour looked at before, or looks at now.
        now: when.
    """
    if not subjects:
        return
    query = select(devices.c.id, devices.c.address).where(
        devices.c.tenant == tenant,
        devices.c.address.in_(sorted(subjects)),
        devices.c.kind != "agent",
        devices.c.retired_at.is_(None),
    )
    for device, address in (await c.execute(query)).all():
        await show_checks(c, tenant=tenant, device=device, address=address, now=now)


async def show_checks(
    c: AsyncConnection, *, tenant: str, device: str, address: str, now: datetime
) -> None:
    """Make the checks of an agentless device what neighbours and the relay itself found."""
    items = await _told_of(c, tenant, device, address)
    items += await _seen_by_the_relay(c, tenant, device)
    await set_check_states(c, tenant=tenant, device=device, items=items, now=now)


async def _told_of(
    c: AsyncConnection, tenant: str, device: str, address: str
) -> list[dict[str, Any]]:
    """Return the newest word on each check of an address, as items of a section."""
    query = (
        select(check_states)
        .where(
            check_states.c.tenant == tenant,
            check_states.c.subject == address,
            check_states.c.device != device,
        )
        .order_by(check_states.c.seen_at, check_states.c.device)
    )
    newest = {row["check_id"]: row for row in (await c.execute(query)).mappings()}
    names = ("state", "summary", "value", "unit", "since")
    return [{"id": check, **{n: row[n] for n in names}} for check, row in newest.items()]


async def _seen_by_the_relay(c: AsyncConnection, tenant: str, device: str) -> list[dict[str, Any]]:
    query = select(relay_probes).where(
        relay_probes.c.tenant == tenant,
        relay_probes.c.device == device,
        relay_probes.c.state != "",
    )
    names = ("state", "summary", "value", "unit", "since")
    return [
        {
            "id": f"probe.{row['kind']}",
            "subject": "relay" if row["port"] is None else f"relay:{row['port']}",
            **{name: row[name] for name in names},
        }
        for row in (await c.execute(query)).mappings()
    ]
