"""Who could wake a device that is away: connected devices in a network that it is in, too.

By the `network` sections of both, whose networks `fleet.hints` keeps: a magic packet goes no
further than the sleeper's own network, and only a real card listens for one.  Two sites may both
call theirs 192.168.1.0/24, so those of the sleeper's own group come first, and which of them is
tried is for a person to say; what wakes is sent over a session on the neighbour (`farhand wake`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.fleet.devices import WhoIsOnline
from farhand_server.fleet.networks import networks_of
from farhand_server.fleet.packages import given_texts
from farhand_server.fleet.sections import items_of_body
from farhand_server.store.schema import device_hints, devices, sections

__all__ = ["MAX_NEIGHBOURS", "Neighbour", "Waking", "waking"]

MAX_NEIGHBOURS: Final = 8
_SECTION: Final = "network"


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """A connected device in the same network, which both name so."""

    id: str
    name: str
    group: str
    network: str


class Waking(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a device can be woken.

    `cards` is how many network cards its inventory names that a call could reach; `neighbours` are
    none while it is online itself.
    """

    device: str
    cards: int
    neighbours: list[Neighbour]


async def waking(
    c: AsyncConnection, tenant: str, row: RowMapping, *, presence: WhoIsOnline
) -> Waking:
    """Return who could wake the device of this row."""
    device = row["id"]
    own = await _network_of(c, tenant, device)
    cards = [one for one in own if _is_card(one)]
    there = networks_of(cards)
    found: list[Neighbour] = []
    if there and not presence.is_online(device):
        found = await _neighbours(c, tenant, row, there, presence.online() - {device})
    return Waking(device=device, cards=len(cards), neighbours=found)


async def _network_of(c: AsyncConnection, tenant: str, device: str) -> list[dict[str, Any]]:
    query = select(sections.c.body).where(
        sections.c.tenant == tenant,
        sections.c.device == device,
        sections.c.name == _SECTION,
        sections.c.status == "ok",
    )
    body = await c.scalar(query)
    return [] if body is None else await items_of_body(c, body)


async def _neighbours(
    c: AsyncConnection,
    tenant: str,
    row: RowMapping,
    there: set[str],
    online: Iterable[str],
) -> list[Neighbour]:
    told = (devices.c.id, devices.c.name, devices.c.device_group)
    hints = device_hints.c
    query = (
        select(*told, func.min(hints.value))
        .join(device_hints, (hints.tenant == devices.c.tenant) & (hints.device == devices.c.id))
        .join(
            sections, (sections.c.tenant == devices.c.tenant) & (sections.c.device == devices.c.id)
        )
        .where(
            devices.c.tenant == tenant,
            devices.c.retired_at.is_(None),
            devices.c.id.in_(given_texts(c.dialect.name, online)),
            hints.kind == "network",
            hints.value.in_(sorted(there)),
            sections.c.name == _SECTION,
            sections.c.status == "ok",
        )
        .group_by(*told)
        .order_by(
            case((devices.c.device_group == row["device_group"], 0), else_=1),
            devices.c.name,
            devices.c.id,
        )
        .limit(MAX_NEIGHBOURS)
    )
    return [
        Neighbour(id=device, name=name, group=group, network=network)
        for device, name, group, network in await c.execute(query)
    ]


def _is_card(item: dict[str, Any]) -> bool:
    mac = item.get("mac")
    is_real = item.get("record") == "interface" and item.get("virtual") is not True
    return is_real and isinstance(mac, str) and len(mac) == 17 and mac.strip("0:") != ""
