"""Articles: made, found, changed, moved from state to state.  Their words are `knowledge.texts`.

Every function works inside the caller's transaction.  What somebody may read is a `Reader`; who may
write was decided before (`accounts.authorisation`).  Every change is made against the revision that
was read: two people at once, and the second one is told.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.errors import not_found
from farhand_server.knowledge.readers import DESK, Reader, check_language
from farhand_server.knowledge.states import (
    STATES,
    VISIBILITIES,
    ArticleStep,
    State,
    Visibility,
    next_article_state,
)
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    article_languages,
    article_tags,
    article_texts,
    article_uses,
    article_votes,
    articles,
)
from farhand_server.wording import check_line

__all__ = [
    "FOUR_EYES",
    "MAX_ARTICLES",
    "MAX_CHECKS",
    "MAX_TAGS",
    "Article",
    "ArticleDetails",
    "ArticleFilter",
    "ArticleLanguage",
    "change_article",
    "check_slug",
    "create_article",
    "get_article",
    "list_articles",
    "step_article",
    "touch",
]

MAX_ARTICLES: Final = 5000
MAX_TAGS: Final = 20
MAX_CHECKS: Final = 20
# Whether what is published must have been written by somebody else.
FOUR_EYES: Final = "knowledge.four-eyes"

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_MAX_SLUG_CHARS: Final = 80
_MAX_TAG_CHARS: Final = 40
_SCRIPT = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*\Z")
_MAX_SCRIPT_CHARS: Final = 80


class ArticleLanguage(msgspec.Struct, frozen=True, kw_only=True):
    """An article in one language; `stale` says that its original was changed since.

    `published_rev` is what readers see; none where nothing was published yet.
    """

    language: str
    title: str
    rev: int
    published_rev: int | None
    stale: bool


class Article(msgspec.Struct, frozen=True, kw_only=True):
    """One article without its words; `title` is of its original's newest revision.

    `checks` are ids of approved scripts: whoever works on a ticket may have them ordered by a
    console, which verifies and signs as ever; the article itself runs nothing.
    """

    id: str
    slug: str
    title: str
    state: State
    visibility: Visibility
    category: str
    language: str
    owner: str
    review_due: str | None
    checks: list[str]
    tags: list[str]
    languages: list[ArticleLanguage]
    useful: int
    not_useful: int
    used_in: int
    created_by: str
    created_at: str
    updated_at: str
    published_at: str | None
    revision: int


class ArticleDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be changed of an article; what is not given stays, `""` empties."""

    slug: str | None = None
    visibility: Visibility | None = None
    category: str | None = None
    owner: str | None = None
    review_due: str | None = None
    checks: list[str] | None = None
    tags: list[str] | None = None


class ArticleFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is asked for; everything given must hold."""

    state: str | None = None
    visibility: str | None = None
    category: str | None = None
    tag: str | None = None
    owner: str | None = None
    language: str | None = None
    stale: bool = False
    due_before: str | None = None


def check_slug(text: str) -> str:
    """Return a slug as it is; raises `invalid` for what cannot stand in an address."""
    if len(text) > _MAX_SLUG_CHARS or not _SLUG.match(text):
        raise UsageError(
            "invalid", f"a slug has 1 to {_MAX_SLUG_CHARS} of a-z 0-9, parted by hyphens"
        )
    return text


def _slug_of(title: str) -> str:
    """Make a slug of a title; of one in another script nothing is left but the number."""
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    return "-".join(re.findall("[a-z0-9]+", plain))[:60].strip("-") or "article"


async def _free_slug(c: AsyncConnection, tenant: str, wanted: str) -> str:
    """Return the slug, with a number behind it where it is taken."""
    query = select(articles.c.slug).where(
        articles.c.tenant == tenant, articles.c.slug.startswith(wanted, autoescape=True)
    )
    taken = set(await c.scalars(query))
    if wanted not in taken:
        return wanted
    return next(f"{wanted}-{n}" for n in range(2, MAX_ARTICLES + 3) if f"{wanted}-{n}" not in taken)


# Finding.


async def get_article(
    c: AsyncConnection, tenant: str, slug: str, *, reader: Reader = DESK
) -> Article:
    """Return an article by its slug or id.

    Raises:
        FarhandError: `not-found`, also for one that this reader may not see.
    """
    name = slug.replace("\0", "")
    named = (articles.c.slug == name) | (articles.c.id == name)
    query = select(articles).where(articles.c.tenant == tenant, named, reader.condition())
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("article", slug)
    return (await _whole(c, tenant, [row], drafts=reader.drafts))[0]


async def list_articles(
    c: AsyncConnection,
    tenant: str,
    *,
    wanted: ArticleFilter,
    reader: Reader = DESK,
    after: str = "",
    limit: int = 50,
) -> list[Article]:
    """Return articles by slug; archived ones only where they are asked for.

    Args:
        c: any connection.
        tenant: organisation.
        wanted: what is asked for.
        reader: who asks.
        after: only slugs behind this one (the cursor).
        limit: at most so many.

    Raises:
        UsageError: `invalid` for a state or visibility that does not exist.
    """
    where = [articles.c.tenant == tenant, reader.condition(), *_conditions(wanted)]
    if after:
        where.append(articles.c.slug > after)
    query = select(articles).where(and_(*where)).order_by(articles.c.slug).limit(limit)
    rows = list((await c.execute(query)).mappings())
    return await _whole(c, tenant, rows, drafts=reader.drafts)


def _conditions(wanted: ArticleFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.state is None:
        where.append(articles.c.state != "archived")
    elif wanted.state not in STATES:
        raise UsageError("invalid", f"an article is one of {', '.join(STATES)}")
    if wanted.visibility is not None and wanted.visibility not in VISIBILITIES:
        raise UsageError("invalid", f"an article is one of {', '.join(VISIBILITIES)}")
    for name in ("state", "visibility", "category", "owner"):
        if (value := getattr(wanted, name)) is not None:
            where.append(articles.c[name] == value)
    if wanted.tag is not None:
        tagged = article_tags.c.article == articles.c.id
        mine = article_tags.c.tenant == articles.c.tenant
        where.append(exists().where(mine, tagged, article_tags.c.tag == wanted.tag))
    if wanted.language is not None:
        where.append(_in_language(article_languages.c.language == check_language(wanted.language)))
    if wanted.stale:
        where.append(_is_stale())
    if wanted.due_before is not None:
        where.append(articles.c.review_due <= _date(wanted.due_before))
    return where


def _in_language(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        article_languages.c.tenant == articles.c.tenant,
        article_languages.c.article == articles.c.id,
        condition,
    )


def _is_stale() -> ColumnElement[bool]:
    """Return that some translation was made from an older original."""
    original = article_languages.alias("original")
    return exists().where(
        original.c.tenant == articles.c.tenant,
        original.c.article == articles.c.id,
        original.c.language == articles.c.language,
        article_languages.c.tenant == articles.c.tenant,
        article_languages.c.article == articles.c.id,
        article_languages.c.language != articles.c.language,
        article_texts.c.tenant == articles.c.tenant,
        article_texts.c.article == articles.c.id,
        article_texts.c.language == article_languages.c.language,
        article_texts.c.rev == article_languages.c.newest_rev,
        article_texts.c.from_rev < original.c.newest_rev,
    )


async def _whole(
    c: AsyncConnection, tenant: str, rows: Sequence[RowMapping], *, drafts: bool
) -> list[Article]:
    """Return rows of `articles` with what belongs to them; four queries for any number of rows.

    Without `drafts` it has the titles and languages that are published.
    """
    ids = [row["id"] for row in rows]
    tags: dict[str, list[str]] = {one: [] for one in ids}
    mine = and_(article_tags.c.tenant == tenant, article_tags.c.article.in_(ids))
    query = select(article_tags.c.article, article_tags.c.tag).where(mine)
    for article, tag in await c.execute(query.order_by(article_tags.c.tag)):
        tags[article].append(tag)
    languages = await _languages(c, tenant, rows, drafts=drafts)
    votes: dict[tuple[str, bool], int] = {}
    counted = select(article_votes.c.article, article_votes.c.useful, func.count())
    mine = and_(article_votes.c.tenant == tenant, article_votes.c.article.in_(ids))
    grouped = counted.where(mine).group_by(article_votes.c.article, article_votes.c.useful)
    for article, useful, count in await c.execute(grouped):
        votes[article, bool(useful)] = count
    uses: dict[str, int] = {}
    tickets = select(article_uses.c.article, func.count(article_uses.c.ticket.distinct()))
    mine = and_(article_uses.c.tenant == tenant, article_uses.c.article.in_(ids))
    for article, count in await c.execute(tickets.where(mine).group_by(article_uses.c.article)):
        uses[article] = count
    return [
        Article(
            title=next(
                (one.title for one in languages[row["id"]] if one.language == row["language"]), ""
            ),
            tags=tags[row["id"]],
            languages=languages[row["id"]],
            useful=votes.get((row["id"], True), 0),
            not_useful=votes.get((row["id"], False), 0),
            used_in=uses.get(row["id"], 0),
            checks=json.loads(row["checks"]),
            **{name: row[name] for name in _PLAIN},
        )
        for row in rows
    ]


_JOINED: Final = ("title", "tags", "languages", "useful", "not_useful", "used_in", "checks")
_PLAIN: Final = tuple(name for name in Article.__struct_fields__ if name not in _JOINED)


async def _languages(
    c: AsyncConnection, tenant: str, rows: Sequence[RowMapping], *, drafts: bool
) -> dict[str, list[ArticleLanguage]]:
    shown = article_languages.c.newest_rev if drafts else article_languages.c.published_rev
    originals = {row["id"]: row["language"] for row in rows}
    query = (
        select(article_languages, article_texts.c.title, article_texts.c.from_rev)
        .join(
            article_texts,
            and_(
                article_texts.c.tenant == article_languages.c.tenant,
                article_texts.c.article == article_languages.c.article,
                article_texts.c.language == article_languages.c.language,
                article_texts.c.rev == shown,
            ),
        )
        .where(
            article_languages.c.tenant == tenant, article_languages.c.article.in_(list(originals))
        )
        .order_by(article_languages.c.language)
    )
    texts = list((await c.execute(query)).mappings())
    rev = "newest_rev" if drafts else "published_rev"
    newest = {
        one["article"]: one[rev] for one in texts if one["language"] == originals[one["article"]]
    }
    found: dict[str, list[ArticleLanguage]] = {one: [] for one in originals}
    for one in texts:
        made_from = one["from_rev"]
        found[one["article"]].append(
            ArticleLanguage(
                language=one["language"],
                title=one["title"],
                rev=one[rev],
                published_rev=one["published_rev"],
                stale=made_from is not None and made_from < newest.get(one["article"], 0),
            )
        )
    return found


# Making and changing.


async def create_article(
    c: AsyncConnection,
    relay: Relay,
    *,
    title: str,
    language: str,
    actor: str,
    details: ArticleDetails | None = None,
) -> str:
    """Make an article without words, a draft for the desk's eyes; returns its id.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        title: of its original; makes the slug where none is given.
        language: of its original.
        actor: who makes it, and owns it unless somebody else is named.
        details: the rest.

    Raises:
        FarhandError: `invalid`, `article-limit`, `article-exists` for a slug that is taken.
    """
    tenant, at = relay.tenant, relay.stamp()
    given = details or ArticleDetails()
    count = await c.scalar(
        select(func.count()).select_from(articles).where(articles.c.tenant == tenant)
    )
    if (count or 0) >= MAX_ARTICLES:
        raise FarhandError("article-limit", f"there are {MAX_ARTICLES} articles already")
    if given.slug:
        slug = check_slug(given.slug)
        await _check_free(c, tenant, slug)
    else:
        slug = await _free_slug(c, tenant, _slug_of(title))
    article = f"ka-{relay.random(8).hex()}"
    values = _values(given)
    await relay.audit.append(c, actor=actor, action="article.create", subject=slug)
    await c.execute(
        insert(articles).values(
            {
                "tenant": tenant,
                "id": article,
                "state": "draft",
                "visibility": "internal",
                "category": "",
                "language": check_language(language),
                "owner": actor,
                "review_due": None,
                "checks": "[]",
                "created_by": actor,
                "created_at": at,
                "updated_at": at,
                "published_at": None,
                "revision": 1,
                **values,
                "slug": slug,
            }
        )
    )
    await _set_tags(c, tenant, article, given.tags)
    return article


async def _check_free(c: AsyncConnection, tenant: str, slug: str) -> None:
    query = select(articles.c.id).where(articles.c.tenant == tenant, articles.c.slug == slug)
    if await c.scalar(query) is not None:
        raise FarhandError("article-exists", f"there is an article {slug!r} already")


async def change_article(
    c: AsyncConnection,
    relay: Relay,
    *,
    article: Article,
    details: ArticleDetails,
    actor: str,
) -> None:
    """Change what is given; the caller makes the search index anew.

    Raises:
        FarhandError: `invalid`, `article-exists`, `revision-mismatch`.
    """
    values = _values(details)
    if "slug" in values and values["slug"] != article.slug:
        await _check_free(c, relay.tenant, values["slug"])
    await relay.audit.append(c, actor=actor, action="article.change", subject=article.slug)
    await touch(c, relay, article, values)
    await _set_tags(c, relay.tenant, article.id, details.tags)


def _values(given: ArticleDetails) -> dict[str, Any]:
    """Return what is given as columns."""
    values: dict[str, Any] = {}
    if given.slug:
        values["slug"] = check_slug(given.slug)
    if given.visibility is not None:
        values["visibility"] = given.visibility
    if given.category is not None:
        values["category"] = check_line(given.category, "category") if given.category else ""
    if given.owner:
        values["owner"] = check_line(given.owner, "owner")
    if given.review_due is not None:
        values["review_due"] = _date(given.review_due) if given.review_due else None
    if given.checks is not None:
        values["checks"] = json.dumps(_checks(given.checks))
    return values


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UsageError("invalid", f"{text[:40]!r} is no date such as 2026-12-31") from error


def _checks(ids: Sequence[str]) -> list[str]:
    wrong = [one for one in ids if len(one) > _MAX_SCRIPT_CHARS or not _SCRIPT.match(one)]
    if wrong or len(ids) > MAX_CHECKS:
        raise UsageError(
            "invalid", f"an article names up to {MAX_CHECKS} scripts, such as check.disk.space"
        )
    return list(dict.fromkeys(ids))


async def _set_tags(
    c: AsyncConnection, tenant: str, article: str, tags: Sequence[str] | None
) -> None:
    if tags is None:
        return
    clean = sorted({check_line(one, "tag", max_chars=_MAX_TAG_CHARS).casefold() for one in tags})
    if len(clean) > MAX_TAGS:
        raise UsageError("invalid", f"an article has {MAX_TAGS} tags at most")
    mine = and_(article_tags.c.tenant == tenant, article_tags.c.article == article)
    await c.execute(delete(article_tags).where(mine))
    for tag in clean:
        await c.execute(insert(article_tags).values(tenant=tenant, article=article, tag=tag))


async def step_article(
    c: AsyncConnection,
    relay: Relay,
    *,
    article: Article,
    step: ArticleStep,
    actor: str,
) -> None:
    """Take one step of the table in `knowledge.states`; the caller makes the search index anew.

    Publishing shows the newest revision of every language.

    Raises:
        FarhandError: `article-state`, `revision-mismatch`; `article-own-review` where somebody else
            must publish what one wrote.
    """
    state = next_article_state(article.state, step)
    await relay.audit.append(c, actor=actor, action=f"article.{step}", subject=article.slug)
    changes: dict[str, Any] = {"state": state}
    if step == "publish":
        await _check_four_eyes(c, relay.tenant, article, actor)
        changes["published_at"] = relay.stamp()
        mine = and_(
            article_languages.c.tenant == relay.tenant, article_languages.c.article == article.id
        )
        newest = article_languages.c.newest_rev
        await c.execute(update(article_languages).where(mine).values(published_rev=newest))
    await touch(c, relay, article, changes)


async def _check_four_eyes(c: AsyncConnection, tenant: str, article: Article, actor: str) -> None:
    if not await get_setting(c, tenant, FOUR_EYES, bool, default=False):
        return
    new = [one for one in article.languages if one.rev != one.published_rev]
    for one in new:
        query = select(article_texts.c.author).where(
            article_texts.c.tenant == tenant,
            article_texts.c.article == article.id,
            article_texts.c.language == one.language,
            article_texts.c.rev > (one.published_rev or 0),
        )
        if actor in set(await c.scalars(query)):
            raise FarhandError(
                "article-own-review",
                "you wrote some of what would be published; somebody else publishes it",
            )


async def touch(
    c: AsyncConnection, relay: Relay, article: Article, changes: Mapping[str, Any]
) -> None:
    """Write a change against the revision that was read.

    Raises:
        FarhandError: `revision-mismatch`.
    """
    values = {**changes, "updated_at": relay.stamp(), "revision": article.revision + 1}
    done = await c.execute(
        update(articles)
        .where(
            articles.c.tenant == relay.tenant,
            articles.c.id == article.id,
            # Two people at once: the second finds another revision and changes nothing.
            articles.c.revision == article.revision,
        )
        .values(values)
    )
    if done.rowcount != 1:
        raise FarhandError(
            "revision-mismatch",
            f"{article.slug} was changed by somebody else meanwhile",
            hint="look at it again, then repeat your change",
        )
