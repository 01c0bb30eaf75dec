"""the networks of devices beside their other hints, from the sections that stand

Who could wake a device is asked every few seconds; reading the sections of a whole fleet for that
was too much.

Revision ID: 0032
Revises: 0031
"""

from __future__ import annotations

import json
import zlib
from ipaddress import IPv4Interface
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_SECTIONS = sa.table(
    "sections", *(sa.column(name) for name in ("tenant", "device", "name", "status", "body"))
)
_HINTS = sa.table(
    "device_hints", *(sa.column(name) for name in ("tenant", "device", "kind", "value"))
)
_AT_ONCE = 100
_MOST = 32


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    connection = op.get_bind()
    columns = _SECTIONS.c
    last = ("", "")
    while True:
        query = (
            sa.select(columns.tenant, columns.device, columns.body)
            .where(columns.name == "network", columns.status == "ok")
            .where(sa.tuple_(columns.tenant, columns.device) > last)
            .order_by(columns.tenant, columns.device)
            .limit(_AT_ONCE)
        )
        rows = connection.execute(query).all()
        hints = [
            {"tenant": tenant, "device": device, "kind": "network", "value": value}
            for tenant, device, body in rows
            for value in _networks(body)
        ]
        if hints:
            connection.execute(sa.insert(_HINTS), hints)
        if len(rows) < _AT_ONCE:
            return
        last = (rows[-1].tenant, rows[-1].device)


def _networks(body: bytes) -> list[str]:
    """As `fleet.networks` had it at this revision; the body was checked when it came."""
    found: dict[str, None] = {}
    for item in json.loads(zlib.decompress(body))["items"]:
        addresses = item.get("addresses") if item.get("record") == "interface" else None
        for one in addresses if isinstance(addresses, list) else ():
            network = _network(one)
            if network is not None:
                found[network] = None
    return list(found)[:_MOST]


def _network(address: Any) -> str | None:
    if not isinstance(address, str) or "/" not in address:
        return None
    try:
        network = IPv4Interface(address).network
    except ValueError:
        return None
    is_local = network.is_loopback or network.is_link_local
    return None if is_local or not 8 <= network.prefixlen <= 30 else str(network)
