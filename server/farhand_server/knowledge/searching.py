"""The search in articles: one index, the same answers on both databases.

Every language that the index holds is asked in its own way (`knowledge.words`); of an article that
was found in several, the language that the person reads best is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.stemming import plain_words, stem_words
from farhand_server.knowledge.markdown import passages
from farhand_server.knowledge.readers import Reader, check_language, choose_language
from farhand_server.knowledge.words import Asked, Found, asked_words, rank
from farhand_server.store.schema import (
    article_languages,
    article_texts,
    article_words,
    articles,
)

__all__ = ["MAX_HITS", "MAX_QUERY_CHARS", "Hit", "search_articles", "snippet_of"]

MAX_HITS: Final = 50
MAX_QUERY_CHARS: Final = 500
# Rows of the index that one language may answer with; what is beyond weighs least.
_MAX_ROWS: Final = 20_000
_SHORTEST_BEGINNING: Final = 3
_SNIPPET_CHARS: Final = 240
# A reader's own language is worth so much more than another.
_OWN_LANGUAGE: Final = 1.5


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """An article that was found; `snippet` are plain words of it, `score` only orders."""

    slug: str
    title: str
    language: str
    snippet: str
    category: str
    visibility: str
    state: str
    score: float


async def search_articles(
    c: AsyncConnection,
    tenant: str,
    *,
    query: str,
    reader: Reader,
    wanted: Sequence[str] = (),
    limit: int = 10,
) -> list[Hit]:
    """Return what answers a question, best first.

    Args:
        c: any connection.
        tenant: organisation.
        query: words, or a whole question; what is beyond `MAX_QUERY_CHARS` is not read.
        reader: who asks.
        wanted: languages that the person reads, best first.
        limit: at most so many.
    """
    asked_for = query[:MAX_QUERY_CHARS]
    tags = [check_language(one) for one in wanted]
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    known = await c.scalar(
        select(func.count()).select_from(articles).where(articles.c.tenant == tenant)
    )
    for language in await _languages(c, tenant, published=not reader.drafts):
        asked = asked_words(asked_for, language)
        if not asked:
            continue
        found = await _rows(c, tenant, asked, language, reader)
        for article, score in rank(asked, found, known=known or 1):
            scores[article][language] = score
    best = _best(scores, tags)[: min(limit, MAX_HITS)]
    return await _hits(c, tenant, best, asked_for, reader)


async def _languages(c: AsyncConnection, tenant: str, *, published: bool) -> list[str]:
    query = select(article_languages.c.language).where(article_languages.c.tenant == tenant)
    if published:
        query = query.where(article_languages.c.published_rev.is_not(None))
    return sorted(await c.scalars(query.distinct()))


async def _rows(
    c: AsyncConnection, tenant: str, asked: Sequence[Asked], language: str, reader: Reader
) -> list[Found]:
    forms = {form for one in asked for form in one.forms}
    matches: ColumnElement[bool] = article_words.c.word.in_(sorted(forms))
    if len(asked[-1].word) >= _SHORTEST_BEGINNING:
        # Who is still typing has not finished the last word.
        matches = or_(matches, article_words.c.word.startswith(asked[-1].word, autoescape=True))
    query = (
        select(
            article_words.c.article,
            article_words.c.language,
            article_words.c.word,
            article_words.c.weight,
        )
        .join(
            articles,
            and_(
                articles.c.tenant == article_words.c.tenant,
                articles.c.id == article_words.c.article,
            ),
        )
        .where(
            article_words.c.tenant == tenant,
            article_words.c.published.is_(not reader.drafts),
            article_words.c.language == language,
            reader.condition(),
            matches,
        )
        .order_by(article_words.c.weight.desc(), article_words.c.article, article_words.c.word)
        .limit(_MAX_ROWS)
    )
    return [Found(*row) for row in await c.execute(query)]


def _best(
    scores: dict[str, dict[str, float]], wanted: Sequence[str]
) -> list[tuple[str, str, float]]:
    """Return article, language and score, best first; each article once."""
    bases = {tag.partition("-")[0] for tag in wanted}
    found: list[tuple[str, str, float]] = []
    for article, by_language in scores.items():
        mine = {tag for tag in by_language if tag.partition("-")[0] in bases}
        top = max(by_language, key=lambda tag: (by_language[tag], tag))
        language = choose_language(mine, wanted, top) if mine else top
        assert language is not None
        score = by_language[language] * (_OWN_LANGUAGE if mine else 1.0)
        found.append((article, language, score))
    return sorted(found, key=lambda one: (-one[2], one[0]))


async def _hits(
    c: AsyncConnection,
    tenant: str,
    best: Sequence[tuple[str, str, float]],
    query: str,
    reader: Reader,
) -> list[Hit]:
    shown = article_languages.c.newest_rev if reader.drafts else article_languages.c.published_rev
    texts = (
        select(articles, article_texts.c.language.label("text_language"))
        .add_columns(article_texts.c.title, article_texts.c.body)
        .join(
            article_languages,
            and_(
                article_languages.c.tenant == articles.c.tenant,
                article_languages.c.article == articles.c.id,
            ),
        )
        .join(
            article_texts,
            and_(
                article_texts.c.tenant == articles.c.tenant,
                article_texts.c.article == articles.c.id,
                article_texts.c.language == article_languages.c.language,
                article_texts.c.rev == shown,
            ),
        )
        .where(articles.c.tenant == tenant, articles.c.id.in_([one[0] for one in best]))
    )
    rows = {(row["id"], row["text_language"]): row for row in (await c.execute(texts)).mappings()}
    return [
        Hit(
            slug=row["slug"],
            title=row["title"],
            language=language,
            snippet=snippet_of(row["body"], query, language),
            category=row["category"],
            visibility=row["visibility"],
            state=row["state"],
            score=round(score, 4),
        )
        for article, language, score in best
        if (row := rows.get((article, language))) is not None
    ]


def snippet_of(body: str, query: str, language: str) -> str:
    """Return the line of a text that holds most of what is asked, cut to fit a screen."""
    asked = set(stem_words(query, language)) | set(plain_words(query))
    lines = [
        " ".join(line.split())
        for passage in passages(body)
        for line in passage.text.splitlines()
        if line.strip()
    ]
    if not lines:
        return ""
    best = max(lines, key=lambda line: len(asked & {*stem_words(line, language)}))
    return best if len(best) <= _SNIPPET_CHARS else best[: _SNIPPET_CHARS - 3].rstrip() + "..."
