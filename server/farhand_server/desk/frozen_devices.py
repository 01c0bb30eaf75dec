"""The device of a ticket as it was when the ticket was made: its sections, held on to.

Each section is named by its hash and its body kept once, whichever tickets hold it, so that what
changed since can be told after the device's history was pruned.  No byte of a body passes through
here; what is made of them stands in `desk.ticket_devices`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.store.schema import kept_sections, sections, ticket_sections

__all__ = ["freeze_device"]


async def freeze_device(c: AsyncConnection, tenant: str, number: int, device: str) -> None:
    """Hold on to the sections of a device as they are now, for a ticket; nothing for a stranger.

    What was not `ok` is named without a body: what the section held before is not what it held
    then.  A device that is frozen for the ticket already stays as it was.
    """
    body_hash = sections.c.name + ":" + sections.c.hash
    mine = (sections.c.tenant == tenant, sections.c.device == device)
    bodies = select(sections.c.tenant, body_hash, sections.c.body).where(
        *mine, sections.c.status == "ok"
    )
    await _add(c, kept_sections, ["tenant", "body_hash", "body"], bodies)
    heads = select(
        sections.c.tenant,
        literal(number),
        sections.c.device,
        sections.c.name,
        sections.c.status,
        sections.c.hash,
        body_hash,
        sections.c.collected_at,
    ).where(*mine)
    columns = [
        "tenant", "ticket", "device", "name", "status", "hash", "body_hash", "collected_at",
    ]  # fmt: skip
    await _add(c, ticket_sections, columns, heads)


async def _add(c: AsyncConnection, table: Any, columns: list[str], rows: Select[Any]) -> None:
    """Insert what is not there yet; two tickets of one device may be made at once."""
    insert = sqlite.insert if c.dialect.name == "sqlite" else postgresql.insert
    await c.execute(insert(table).from_select(columns, rows).on_conflict_do_nothing())
