"""Whether an article helped: one vote for each person, or for each browser of nobody we know.

A later vote of the same voter takes the place of the earlier one.  A browser's token is its own
random text; only its hash is kept, so that a vote names nobody.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from sqlalchemy import and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.knowledge.articles import Article
from farhand_server.relay import Relay
from farhand_server.store.schema import article_votes

__all__ = ["MAX_VOTES", "browser_voter", "vote"]

# Votes of one article; whoever stuffs a ballot fills no disk.
MAX_VOTES: Final = 100_000
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")


def browser_voter(token: str) -> str:
    """Return the voter that a browser's token stands for.

    Raises:
        UsageError: `invalid` for what is no token.
    """
    if not _TOKEN.match(token):
        raise UsageError("invalid", "a voter's token has 16 to 64 of A-Z a-z 0-9 _ -")
    return "browser:" + hashlib.sha256(token.encode()).hexdigest()


async def vote(
    c: AsyncConnection, relay: Relay, *, article: Article, voter: str, useful: bool
) -> None:
    """Count a vote.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        article: what it is about.
        voter: an account's id, or `browser_voter`.
        useful: whether it helped.

    Raises:
        FarhandError: `vote-limit`.
    """
    tenant = relay.tenant
    of_article = and_(article_votes.c.tenant == tenant, article_votes.c.article == article.id)
    await c.execute(delete(article_votes).where(of_article, article_votes.c.voter == voter))
    count = await c.scalar(select(func.count()).select_from(article_votes).where(of_article))
    if (count or 0) >= MAX_VOTES:
        raise FarhandError("vote-limit", "this article has all the votes that are counted")
    await c.execute(
        insert(article_votes).values(
            tenant=tenant, article=article.id, voter=voter, useful=useful, at=relay.stamp()
        )
    )
