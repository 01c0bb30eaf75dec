"""Pictures of articles: kept as blobs, named within the article, told by their first bytes."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.errors import not_found
from farhand_server.knowledge.articles import Article
from farhand_server.knowledge.markdown import FILE_NAME
from farhand_server.people.blobs import keep_blob, read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import article_files

__all__ = [
    "MAX_ARTICLE_FILES",
    "MAX_ARTICLE_FILE_BYTES",
    "ArticleFile",
    "list_files",
    "picture_type",
    "put_file",
    "read_file",
    "remove_file",
]

MAX_ARTICLE_FILES: Final = 50
MAX_ARTICLE_FILE_BYTES: Final = 4 * 1024 * 1024

_EXTENSIONS: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
}


class ArticleFile(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of an article."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str


def picture_type(content: bytes) -> str | None:
    """Return the media type that a picture's first bytes say; None for anything else.

    SVG is text that may hold scripts, and none of these.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


async def put_file(
    c: AsyncConnection, relay: Relay, *, article: Article, name: str, content: bytes
) -> ArticleFile:
    """Keep a picture under a name, in place of the one that was there.

    Raises:
        FarhandError: `article-file-invalid`, `article-file-limit`, `article-file-too-large`.
    """
    tenant = relay.tenant
    if not FILE_NAME.match(name):
        raise UsageError(
            "article-file-invalid", "a picture is named such as window-2.png, in small letters"
        )
    if len(content) > MAX_ARTICLE_FILE_BYTES:
        raise FarhandError(
            "article-file-too-large",
            f"a picture may have {MAX_ARTICLE_FILE_BYTES // 2**20} MiB at most",
        )
    media_type = picture_type(content)
    if media_type is None or _EXTENSIONS[name.rpartition(".")[2]] != media_type:
        raise UsageError(
            "article-file-invalid", f"{name} is not the picture that its name says it is"
        )
    mine = and_(article_files.c.tenant == tenant, article_files.c.article == article.id)
    await c.execute(delete(article_files).where(mine, article_files.c.name == name))
    count = await c.scalar(select(func.count()).select_from(article_files).where(mine))
    if (count or 0) >= MAX_ARTICLE_FILES:
        raise FarhandError(
            "article-file-limit", f"an article has {MAX_ARTICLE_FILES} pictures at most"
        )
    sha256 = await keep_blob(c, relay, content, media_type)
    made = ArticleFile(name=name, media_type=media_type, size_bytes=len(content), sha256=sha256)
    row = {"tenant": tenant, "article": article.id, **msgspec.to_builtins(made)}
    await c.execute(insert(article_files).values(row))
    return made


async def list_files(c: AsyncConnection, tenant: str, article: Article) -> list[ArticleFile]:
    """Return an article's pictures, by name."""
    query = (
        select(article_files)
        .where(article_files.c.tenant == tenant, article_files.c.article == article.id)
        .order_by(article_files.c.name)
    )
    return [
        ArticleFile(**{name: row[name] for name in ArticleFile.__struct_fields__})
        for row in (await c.execute(query)).mappings()
    ]


async def read_file(
    c: AsyncConnection, tenant: str, article: Article, name: str
) -> tuple[str, bytes]:
    """Return a picture's media type and content.

    Raises:
        FarhandError: `not-found`.
    """
    found = next((one for one in await list_files(c, tenant, article) if one.name == name), None)
    if found is None:
        raise not_found("picture", name)
    return found.media_type, (await read_blob(c, tenant, found.sha256)).content


async def remove_file(c: AsyncConnection, tenant: str, article: Article, name: str) -> None:
    """Take a picture away; its content stays while something else names it.

    Raises:
        FarhandError: `not-found`.
    """
    done = await c.execute(
        delete(article_files).where(
            article_files.c.tenant == tenant,
            article_files.c.article == article.id,
            article_files.c.name == name.replace("\0", ""),
        )
    )
    if done.rowcount != 1:
        raise not_found("picture", name)
