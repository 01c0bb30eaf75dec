"""The files of a ticket: what was put on its messages, by form, by mail or from a device.

Who may read a message may read its files; so whatever is asked here names the ticket and goes
through the same sight as the words do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.errors import not_found
from farhand_server.people.blobs import read_blob
from farhand_server.store.schema import attachments, blobs, ticket_messages

__all__ = ["TicketFile", "list_files", "read_file"]


class TicketFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file on a message, found by both numbers; `media_type` is what whoever sent it claimed."""

    message: int
    place: int
    name: str
    size: int
    media_type: str


def _files(tenant: str, numbers: Sequence[int], *, with_notes: bool) -> Select[Any]:
    said = (ticket_messages.c.tenant == attachments.c.tenant) & (
        ticket_messages.c.seq == attachments.c.message
    )
    kept = (blobs.c.tenant == attachments.c.tenant) & (blobs.c.sha256 == attachments.c.sha256)
    query = (
        select(attachments, blobs.c.size, blobs.c.media_type)
        .join(ticket_messages, said)
        .join(blobs, kept)
        .where(attachments.c.tenant == tenant, ticket_messages.c.ticket.in_(numbers))
        .order_by(attachments.c.message, attachments.c.place)
    )
    return query if with_notes else query.where(ticket_messages.c.public)


async def list_files(
    c: AsyncConnection,
    tenant: str,
    numbers: Sequence[int],
    *,
    with_notes: bool,
    after: tuple[int, int] = (0, -1),
    limit: int = 50,
) -> list[TicketFile]:
    """Return files in the order of their messages.

    Args:
        c: any connection.
        tenant: organisation.
        numbers: of the ticket, and of those merged into it.
        with_notes: whether whoever asks is of the desk.
        after: only those behind this message and place (the cursor).
        limit: at most so many.
    """
    query = _files(tenant, numbers, with_notes=with_notes)
    query = query.where(tuple_(attachments.c.message, attachments.c.place) > after).limit(limit)
    return [
        TicketFile(**{name: row[name] for name in TicketFile.__struct_fields__})
        for row in (await c.execute(query)).mappings()
    ]


async def read_file(
    c: AsyncConnection,
    tenant: str,
    numbers: Sequence[int],
    *,
    with_notes: bool,
    message: int,
    place: int,
) -> tuple[str, bytes]:
    """Return the name and the content of one file.

    Raises:
        FarhandError: `not-found`, also for one that is not hers to see.
    """
    query = _files(tenant, numbers, with_notes=with_notes).where(
        attachments.c.message == message, attachments.c.place == place
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("file", f"{message}/{place}")
    return row["name"], (await read_blob(c, tenant, row["sha256"])).content
