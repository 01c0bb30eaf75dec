"""Articles in an order, to be read one after the other: how people are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.errors import not_found
from farhand_server.knowledge.articles import check_slug, get_article
from farhand_server.knowledge.readers import Reader
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    article_collection_items,
    article_collections,
    articles,
)
from farhand_server.wording import check_body, check_line

__all__ = [
    "MAX_COLLECTIONS",
    "MAX_COLLECTION_ITEMS",
    "Collection",
    "get_collection",
    "list_collections",
    "remove_collection",
    "set_collection",
]

MAX_COLLECTIONS: Final = 200
MAX_COLLECTION_ITEMS: Final = 200
_MAX_DESCRIPTION_CHARS: Final = 4000


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A collection; `articles` are the slugs that the reader may see, in their order."""

    name: str
    title: str
    description: str
    articles: list[str]
    updated_at: str


async def set_collection(
    c: AsyncConnection,
    relay: Relay,
    *,
    name: str,
    title: str,
    description: str,
    slugs: Sequence[str],
    actor: str,
) -> None:
    """Make a collection, or put another in its place.

    Raises:
        FarhandError: `invalid`, `collection-limit`; `not-found` for an article.
    """
    tenant = relay.tenant
    check_slug(name)
    if len(slugs) > MAX_COLLECTION_ITEMS:
        raise UsageError("invalid", f"a collection has {MAX_COLLECTION_ITEMS} articles at most")
    mine = and_(article_collections.c.tenant == tenant, article_collections.c.name == name)
    there = (await c.execute(select(article_collections.c.name).where(mine))).first()
    if there is None:
        of_tenant = article_collections.c.tenant == tenant
        count = await c.scalar(
            select(func.count()).select_from(article_collections).where(of_tenant)
        )
        if (count or 0) >= MAX_COLLECTIONS:
            raise FarhandError("collection-limit", f"there are {MAX_COLLECTIONS} already")
    ids = [(await get_article(c, tenant, slug)).id for slug in dict.fromkeys(slugs)]
    await relay.audit.append(c, actor=actor, action="collection.set", subject=name)
    await _delete(c, tenant, name)
    text = description.strip()
    await c.execute(
        insert(article_collections).values(
            tenant=tenant,
            name=name,
            title=check_line(title, "title"),
            description=check_body(text, "description", max_chars=_MAX_DESCRIPTION_CHARS)
            if text
            else "",
            updated_at=relay.stamp(),
        )
    )
    for position, article in enumerate(ids, 1):
        await c.execute(
            insert(article_collection_items).values(
                tenant=tenant, collection=name, position=position, article=article
            )
        )


async def _delete(c: AsyncConnection, tenant: str, name: str) -> int:
    items = article_collection_items
    await c.execute(delete(items).where(items.c.tenant == tenant, items.c.collection == name))
    mine = and_(article_collections.c.tenant == tenant, article_collections.c.name == name)
    return int((await c.execute(delete(article_collections).where(mine))).rowcount)


async def remove_collection(c: AsyncConnection, relay: Relay, *, name: str, actor: str) -> None:
    """Take a collection away; its articles stay.

    Raises:
        FarhandError: `not-found`.
    """
    if not await _delete(c, relay.tenant, name.replace("\0", "")):
        raise not_found("collection", name)
    await relay.audit.append(c, actor=actor, action="collection.remove", subject=name)


async def get_collection(
    c: AsyncConnection, tenant: str, name: str, *, reader: Reader
) -> Collection:
    """Return a collection.

    Raises:
        FarhandError: `not-found`, also where this reader may see nothing of it.
    """
    mine = and_(
        article_collections.c.tenant == tenant,
        article_collections.c.name == name.replace("\0", ""),
    )
    row = (await c.execute(select(article_collections).where(mine))).mappings().first()
    slugs = await _slugs(c, tenant, name.replace("\0", ""), reader) if row is not None else []
    if row is None or not (slugs or reader.drafts):
        raise not_found("collection", name)
    return Collection(
        name=row["name"],
        title=row["title"],
        description=row["description"],
        articles=slugs,
        updated_at=row["updated_at"],
    )


async def _slugs(c: AsyncConnection, tenant: str, name: str, reader: Reader) -> list[str]:
    items = article_collection_items
    query = (
        select(articles.c.slug)
        .join(items, and_(items.c.tenant == articles.c.tenant, items.c.article == articles.c.id))
        .where(items.c.tenant == tenant, items.c.collection == name, reader.condition())
        .order_by(items.c.position)
    )
    return list(await c.scalars(query))


async def list_collections(c: AsyncConnection, tenant: str, *, reader: Reader) -> list[Collection]:
    """Return the collections of which this reader may see something, by name; they are bounded."""
    query = (
        select(article_collections.c.name)
        .where(article_collections.c.tenant == tenant)
        .order_by(article_collections.c.name)
    )
    found = []
    for name in list(await c.scalars(query)):
        if reader.drafts or await _slugs(c, tenant, name, reader):
            found.append(await get_collection(c, tenant, name, reader=reader))
    return found
