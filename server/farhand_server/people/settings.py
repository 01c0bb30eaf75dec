"""What an admin sets while the relay runs: one JSON value for each name, and who set it."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.relay import Relay
from farhand_server.store.schema import desk_settings

__all__ = ["get_setting", "set_setting"]

T = TypeVar("T")


async def get_setting(
    c: AsyncConnection,
    tenant: str,
    name: str,
    type: type[T],  # noqa: A002 - as msgspec calls it
    *,
    default: T,
) -> T:
    """Return a setting as a value of `type`; the default where nobody has set it."""
    query = select(desk_settings.c.value).where(
        desk_settings.c.tenant == tenant, desk_settings.c.name == name
    )
    text = await c.scalar(query)
    return default if text is None else msgspec.json.decode(text, type=type)


async def set_setting(c: AsyncConnection, relay: Relay, name: str, value: Any, actor: str) -> None:
    """Set a value that msgspec can write as JSON, and note in the audit who did."""
    mine = (desk_settings.c.tenant == relay.tenant, desk_settings.c.name == name)
    await relay.audit.append(c, actor=actor, action="setting.set", subject=name)
    await c.execute(delete(desk_settings).where(*mine))
    await c.execute(
        insert(desk_settings).values(
            tenant=relay.tenant,
            name=name,
            value=msgspec.json.encode(value).decode(),
            changed_by=actor,
            changed_at=relay.stamp(),
        )
    )
