"""Files that belong to messages and mails, kept once for each content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import attachments, blobs

__all__ = [
    "MAX_BLOB_BYTES",
    "Attachment",
    "Blob",
    "attach",
    "attachments_of",
    "keep_blob",
    "read_blob",
]

MAX_BLOB_BYTES: Final = 40 * 1024 * 1024
_MAX_TYPE_CHARS: Final = 100
_MAX_NAME_CHARS: Final = 255


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """One content, by its SHA-256 in hex; `media_type` is what whoever brought it claimed."""

    sha256: str
    size: int
    media_type: str
    content: bytes


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file on a message; `inline_cid` is how a mail's HTML names it, empty for others."""

    message: int
    place: int
    name: str
    size: int
    media_type: str
    sha256: str
    inline_cid: str


async def keep_blob(c: AsyncConnection, relay: Relay, content: bytes, media_type: str) -> str:
    """Keep a content, once; returns its SHA-256 in hex.

    Raises:
        FarhandError: `blob-too-large`.
    """
    if len(content) > MAX_BLOB_BYTES:
        raise FarhandError(
            "blob-too-large", f"a file may have {MAX_BLOB_BYTES // 2**20} MiB at most"
        )
    sha256 = hashlib.sha256(content).hexdigest()
    values = {
        "tenant": relay.tenant,
        "sha256": sha256,
        "size": len(content),
        "media_type": _plain(media_type, _MAX_TYPE_CHARS),
        "content": content,
    }
    query = select(blobs.c.size).where(blobs.c.tenant == relay.tenant, blobs.c.sha256 == sha256)
    if await c.scalar(query) is None:
        # Somebody else may bring the same one at the same time.
        make = postgresql_insert if c.dialect.name == "postgresql" else sqlite_insert
        await c.execute(make(blobs).values(**values).on_conflict_do_nothing())
    return sha256


async def read_blob(c: AsyncConnection, tenant: str, sha256: str) -> Blob:
    """Return a content.

    Raises:
        FarhandError: `not-found`.
    """
    query = select(blobs).where(blobs.c.tenant == tenant, blobs.c.sha256 == sha256)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("file", sha256)
    return Blob(**{name: row[name] for name in Blob.__struct_fields__})


async def attach(
    c: AsyncConnection,
    tenant: str,
    message: int,
    place: int,
    sha256: str,
    name: str,
    inline_cid: str = "",
) -> None:
    """Put a kept content on a message, at a place of its own, under a name that no screen minds."""
    await c.execute(
        insert(attachments).values(
            tenant=tenant,
            message=message,
            place=place,
            sha256=sha256,
            name=_plain(_last_part(name), _MAX_NAME_CHARS) or "file",
            inline_cid=_plain(inline_cid, _MAX_NAME_CHARS),
        )
    )


async def attachments_of(
    c: AsyncConnection, tenant: str, messages: Sequence[int]
) -> list[Attachment]:
    """Return the files of some messages, by message and place."""
    query = (
        select(attachments, blobs.c.size, blobs.c.media_type)
        .join(
            blobs,
            (blobs.c.tenant == attachments.c.tenant) & (blobs.c.sha256 == attachments.c.sha256),
        )
        .where(attachments.c.tenant == tenant, attachments.c.message.in_(messages))
        .order_by(attachments.c.message, attachments.c.place)
    )
    return [
        Attachment(**{name: row[name] for name in Attachment.__struct_fields__})
        for row in (await c.execute(query)).mappings()
    ]


def _plain(text: str, max_chars: int) -> str:
    """Return what is printable of a text that a stranger chose."""
    return "".join(character for character in text if character.isprintable())[:max_chars]


def _last_part(name: str) -> str:
    """Return a file's name without the folders that somebody put in front of it."""
    return name.replace("\\", "/").rpartition("/")[2]
