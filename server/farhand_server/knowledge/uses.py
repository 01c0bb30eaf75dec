"""Which articles helped on which tickets: noted once for each way, counted by ticket."""

from __future__ import annotations

from typing import Literal

import msgspec
from sqlalchemy import and_, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Sight
from farhand_server.knowledge.articles import Article
from farhand_server.relay import Relay
from farhand_server.store.schema import article_uses, articles, tickets

__all__ = ["ArticleUse", "UseKind", "articles_of_ticket", "note_use", "uses_of"]

# Put into a reply, named as what helped, made from one of its messages, cited to the requester.
UseKind = Literal["reply", "used", "promoted", "cited"]


class ArticleUse(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket on which an article was used."""

    article: str
    ticket: str
    kind: str
    actor: str
    at: str


async def note_use(
    c: AsyncConnection, relay: Relay, *, article: Article, ticket: int, kind: UseKind, actor: str
) -> None:
    """Note that an article was used on a ticket; once is enough."""
    mine = and_(
        article_uses.c.tenant == relay.tenant,
        article_uses.c.article == article.id,
        article_uses.c.ticket == ticket,
        article_uses.c.kind == kind,
    )
    if (await c.execute(select(article_uses.c.at).where(mine))).first() is not None:
        return
    await c.execute(
        insert(article_uses).values(
            tenant=relay.tenant,
            article=article.id,
            ticket=ticket,
            kind=kind,
            actor=actor,
            at=relay.stamp(),
        )
    )


async def uses_of(
    c: AsyncConnection, tenant: str, article: Article, *, sight: Sight, limit: int = 50
) -> list[ArticleUse]:
    """Return the newest tickets on which an article was used, of those that somebody sees."""
    query = (
        select(article_uses)
        .join(
            tickets,
            and_(
                tickets.c.tenant == article_uses.c.tenant,
                tickets.c.number == article_uses.c.ticket,
            ),
        )
        .where(article_uses.c.tenant == tenant, article_uses.c.article == article.id)
        .order_by(article_uses.c.at.desc(), article_uses.c.ticket.desc())
        .limit(limit)
    )
    if (seen := sight.condition()) is not None:
        query = query.where(seen)
    return [
        ArticleUse(
            article=article.slug,
            ticket=format_number(row["ticket"]),
            kind=row["kind"],
            actor=row["actor"],
            at=row["at"],
        )
        for row in (await c.execute(query)).mappings()
    ]


async def articles_of_ticket(c: AsyncConnection, tenant: str, number: int) -> list[ArticleUse]:
    """Return the articles that were used on a ticket, by slug."""
    query = (
        select(article_uses, articles.c.slug)
        .join(
            articles,
            and_(
                articles.c.tenant == article_uses.c.tenant,
                articles.c.id == article_uses.c.article,
            ),
        )
        .where(article_uses.c.tenant == tenant, article_uses.c.ticket == number)
        .order_by(articles.c.slug, article_uses.c.kind)
    )
    return [
        ArticleUse(
            article=row["slug"],
            ticket=format_number(row["ticket"]),
            kind=row["kind"],
            actor=row["actor"],
            at=row["at"],
        )
        for row in (await c.execute(query)).mappings()
    ]
