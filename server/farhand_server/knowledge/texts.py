"""The words of articles, every revision of them, in each language.

A text is only ever added.  A translation says of which revision of the original it was made; once
the original goes on it is stale, and shown as such, never hidden.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import RowMapping, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.errors import not_found
from farhand_server.knowledge.articles import Article, touch
from farhand_server.knowledge.markdown import plain_text
from farhand_server.knowledge.readers import Reader, check_language, choose_language
from farhand_server.knowledge.words import index_words
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import article_languages, article_texts, article_words
from farhand_server.wording import check_body, check_line

__all__ = [
    "HOUSE_LANGUAGES",
    "MAX_ARTICLE_CHARS",
    "MAX_LANGUAGES",
    "ArticleText",
    "add_text",
    "index_article",
    "list_revisions",
    "read_text",
    "text_digest",
]

MAX_LANGUAGES: Final = 20
MAX_ARTICLE_CHARS: Final = 64_000
# The organisation's languages, best first; what a reader is given who asks for none that is there.
HOUSE_LANGUAGES: Final = "knowledge.languages"


class ArticleText(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of an article in one language; `from_rev` is of the original, 0 for unknown.

    `sha256` is of title and body, so that a file can say of which original it is a translation.
    """

    language: str
    rev: int
    title: str
    body: str
    sha256: str
    from_rev: int | None
    stale: bool
    author: str
    at: str


def text_digest(title: str, body: str) -> str:
    """Return the digest of a text, in hex."""
    return hashlib.sha256(f"{title}\n\n{body}".encode()).hexdigest()


async def add_text(
    c: AsyncConnection,
    relay: Relay,
    *,
    article: Article,
    language: str,
    title: str,
    body: str,
    actor: str,
    from_rev: int | None = None,
    original_sha256: str | None = None,
) -> bool:
    """Add a revision, unless it says what the newest one says; returns whether it was added.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        article: as it was read.
        language: of these words.
        title: one line.
        body: Markdown.
        actor: who wrote it.
        from_rev: revision of the original that a translation was made of; the newest by default.
        original_sha256: the same, by the original's digest; one that is not known makes it stale.

    Raises:
        FarhandError: `invalid`, `article-language-limit`, `revision-mismatch`.
    """
    tag = check_language(language)
    title = check_line(title, "title")
    body = check_body(body, "article", max_chars=MAX_ARTICLE_CHARS)
    there = {one.language: one for one in article.languages}
    if tag not in there and len(there) >= MAX_LANGUAGES:
        raise FarhandError(
            "article-language-limit", f"an article has {MAX_LANGUAGES} languages at most"
        )
    made_from = await _made_from(c, relay.tenant, article, tag, from_rev, original_sha256)
    digest = text_digest(title, body)
    if tag in there:
        newest = await _row(c, relay.tenant, article.id, tag, there[tag].rev)
        if (newest["sha256"], newest["from_rev"]) == (digest, made_from):
            return False
    rev = there[tag].rev + 1 if tag in there else 1
    # The article first: of two people who write at once the second is told here.
    await touch(c, relay, article, {})
    await c.execute(
        insert(article_texts).values(
            tenant=relay.tenant,
            article=article.id,
            language=tag,
            rev=rev,
            title=title,
            body=body,
            sha256=digest,
            from_rev=made_from,
            author=actor,
            at=relay.stamp(),
        )
    )
    mine = {"tenant": relay.tenant, "article": article.id, "language": tag}
    if rev == 1:
        await c.execute(insert(article_languages).values(**mine, newest_rev=1, published_rev=None))
    else:
        which = and_(*(article_languages.c[name] == value for name, value in mine.items()))
        await c.execute(update(article_languages).where(which).values(newest_rev=rev))
    return True


async def _made_from(
    c: AsyncConnection,
    tenant: str,
    article: Article,
    language: str,
    from_rev: int | None,
    original_sha256: str | None,
) -> int | None:
    if language == article.language:
        return None
    newest = next((one.rev for one in article.languages if one.language == article.language), 0)
    if original_sha256 is not None:
        query = select(article_texts.c.rev).where(
            article_texts.c.tenant == tenant,
            article_texts.c.article == article.id,
            article_texts.c.language == article.language,
            article_texts.c.sha256 == original_sha256.replace("\0", ""),
        )
        return int(await c.scalar(query.order_by(article_texts.c.rev.desc()).limit(1)) or 0)
    if from_rev is not None and not 0 <= from_rev <= newest:
        raise UsageError("invalid", f"the original has {newest} revisions")
    return newest if from_rev is None else from_rev


async def _row(
    c: AsyncConnection, tenant: str, article: str, language: str, rev: int
) -> RowMapping:
    query = select(article_texts).where(
        article_texts.c.tenant == tenant,
        article_texts.c.article == article,
        article_texts.c.language == language,
        article_texts.c.rev == rev,
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("revision", str(rev))
    return row


def _text(row: RowMapping, original_rev: int) -> ArticleText:
    names = [name for name in ArticleText.__struct_fields__ if name != "stale"]
    made_from = row["from_rev"]
    return ArticleText(
        stale=made_from is not None and made_from < original_rev,
        **{name: row[name] for name in names},
    )


def _revs(article: Article, reader: Reader) -> dict[str, int]:
    """Return the revision of each language that this reader is shown."""
    if reader.drafts:
        return {one.language: one.rev for one in article.languages}
    return {one.language: one.published_rev for one in article.languages if one.published_rev}


async def read_text(
    c: AsyncConnection,
    tenant: str,
    article: Article,
    *,
    reader: Reader,
    wanted: Sequence[str] = (),
    rev: int | None = None,
) -> ArticleText:
    """Return an article's words in the language that somebody reads best.

    Args:
        c: any connection.
        tenant: organisation.
        article: which; the caller knows that this reader may see it.
        reader: whether the newest words are shown, or the published ones.
        wanted: languages, best first.
        rev: this revision of the first language wanted, for the desk only.

    Raises:
        FarhandError: `not-found` where there are no words for this reader.
    """
    revs = _revs(article, reader)
    house = await get_setting(c, tenant, HOUSE_LANGUAGES, list[str], default=[])
    tags = [check_language(one) for one in wanted]
    chosen = choose_language(revs, tags, article.language, house=house)
    if chosen is None:
        raise not_found("text", article.slug)
    shown = rev if rev is not None and reader.drafts else revs[chosen]
    row = await _row(c, tenant, article.id, chosen, shown)
    return _text(row, revs.get(article.language, 0))


async def list_revisions(
    c: AsyncConnection, tenant: str, article: Article, language: str, *, limit: int = 50
) -> list[ArticleText]:
    """Return the newest revisions in one language, newest first."""
    query = (
        select(article_texts)
        .where(
            article_texts.c.tenant == tenant,
            article_texts.c.article == article.id,
            article_texts.c.language == check_language(language),
        )
        .order_by(article_texts.c.rev.desc())
        .limit(limit)
    )
    original = next((one.rev for one in article.languages if one.language == article.language), 0)
    return [_text(row, original) for row in (await c.execute(query)).mappings()]


def _indexed(article: Article, language: str, title: str, body: str) -> dict[str, int]:
    return index_words(
        title=title,
        body=plain_text(body),
        tags=article.tags,
        category=article.category,
        language=language,
    )


async def index_article(c: AsyncConnection, tenant: str, article: Article) -> None:
    """Make the search index of one article anew, in the transaction that changed it.

    The desk searches the newest words of what is not archived, readers the published ones.
    """
    mine = and_(article_words.c.tenant == tenant, article_words.c.article == article.id)
    await c.execute(delete(article_words).where(mine))
    if article.state == "archived":
        return
    rows = []
    for one in article.languages:
        revs = [(False, one.rev)]
        if article.state == "published" and one.published_rev is not None:
            revs.append((True, one.published_rev))
        for published, rev in revs:
            text = await _row(c, tenant, article.id, one.language, rev)
            # A long text takes as long as a hundred requests.
            words = await asyncio.to_thread(
                _indexed, article, one.language, text["title"], text["body"]
            )
            same = {"tenant": tenant, "article": article.id, "language": one.language}
            rows += [
                {**same, "published": published, "word": word, "weight": weight}
                for word, weight in words.items()
            ]
    if rows:
        await c.execute(insert(article_words), rows)
