"""Routes of articles that need no sign-in: what is published for the public, and nothing else.

`GET /knowledge/suggest` is asked while somebody writes what she needs, so that she may have her
answer before a ticket is sent.  Every one of these is counted by the caller's address.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.accounts.rates import RateLimit
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge import languages_of, picture_response, view_of
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.knowledge.articles import Article, ArticleFilter, get_article, list_articles
from farhand_server.knowledge.files import read_file
from farhand_server.knowledge.markdown import Step
from farhand_server.knowledge.readers import ANYBODY, choose_language
from farhand_server.knowledge.searching import MAX_QUERY_CHARS, search_articles
from farhand_server.knowledge.votes import browser_voter, vote
from farhand_server.relay import Relay

__all__ = [
    "AREA",
    "MAX_READS_A_MINUTE",
    "MAX_SUGGESTIONS",
    "MAX_TALKS_A_MINUTE",
    "MAX_VOTES_AN_HOUR",
    "MAX_WRITES_AN_HOUR",
    "PublicRates",
    "make_public_rates",
]

# Of one address.
MAX_READS_A_MINUTE: Final = 120
MAX_VOTES_AN_HOUR: Final = 60
MAX_WRITES_AN_HOUR: Final = 10
MAX_TALKS_A_MINUTE: Final = 20
MAX_SUGGESTIONS: Final = 5

_Text = Annotated[str | None, QueryParameter(max_length=80)]
_Languages = Annotated[str, QueryParameter(name="language", max_length=80)]
_Query = Annotated[str, QueryParameter(name="q", max_length=MAX_QUERY_CHARS)]


class PublicRates(NamedTuple):
    """How often one address may do what needs no sign-in."""

    reads: RateLimit
    votes: RateLimit
    writes: RateLimit
    talks: RateLimit


def make_public_rates(relay: Relay) -> PublicRates:
    """Make the counters of one relay."""

    def limit(limit: int, window_s: float, message: str) -> RateLimit:
        return RateLimit(relay.clock, limit=limit, window_s=window_s, message=message)

    return PublicRates(
        reads=limit(MAX_READS_A_MINUTE, 60, "too many questions at once"),
        votes=limit(MAX_VOTES_AN_HOUR, 3600, "too many votes from here"),
        writes=limit(MAX_WRITES_AN_HOUR, 3600, "too much was written from here"),
        talks=limit(MAX_TALKS_A_MINUTE, 60, "too many questions at once"),
    )


def _count_read(relay: Relay, request: Request[Any, Any, Any]) -> None:
    relay.service(make_public_rates).reads.take(caller_address(request, relay))


class PublicVote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether an article helped; `token` is a browser's own random text."""

    useful: bool
    token: Annotated[str, msgspec.Meta(max_length=64)]


class PublicLine(msgspec.Struct, frozen=True, kw_only=True):
    """A public article in a list; nobody of the desk is named."""

    slug: str
    title: str
    language: str
    languages: list[str]
    category: str
    tags: list[str]
    published_at: str | None


class PublicArticle(PublicLine, frozen=True, kw_only=True):
    """A public article; `stale` says that it is a translation of an older original."""

    body: str
    html: str
    steps: list[Step]
    stale: bool
    useful: int
    not_useful: int


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """An article that may answer what somebody is about to ask."""

    slug: str
    title: str
    language: str
    snippet: str
    url: str


def _line(article: Article, wanted: list[str]) -> PublicLine:
    there = {one.language: one for one in article.languages if one.published_rev is not None}
    chosen = choose_language(there, wanted, article.language) or article.language
    return PublicLine(
        slug=article.slug,
        title=there[chosen].title if chosen in there else article.title,
        language=chosen,
        languages=sorted(there),
        category=article.category,
        tags=article.tags,
        published_at=article.published_at,
    )


class PublicKnowledgeController(Controller):
    """What anybody may read."""

    path = "/knowledge"

    @get("/suggest", action=PUBLIC)
    async def suggest(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        q: _Query = "",
        language: _Languages = "",
    ) -> Page[Suggestion]:
        """Return public articles that may answer what is being asked."""
        _count_read(relay, request)
        async with relay.db.read() as c:
            hits = await search_articles(
                c,
                relay.tenant,
                query=q,
                reader=ANYBODY,
                wanted=languages_of(language),
                limit=MAX_SUGGESTIONS,
            )
        url = relay.settings.url
        return Page(
            items=[
                Suggestion(
                    slug=one.slug,
                    title=one.title,
                    language=one.language,
                    snippet=one.snippet,
                    url=f"{url}/kb/{one.slug}",
                )
                for one in hits
            ]
        )

    @get("/public", action=PUBLIC)
    async def list_all(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        category: _Text = None,
        tag: _Text = None,
        language: _Languages = "",
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[PublicLine]:
        """Return public articles by slug."""
        _count_read(relay, request)
        after = decode_cursor(cursor, str)
        wanted = languages_of(language)
        async with relay.db.read() as c:
            rows = await list_articles(
                c,
                relay.tenant,
                wanted=ArticleFilter(category=category, tag=tag),
                reader=ANYBODY,
                after=after[0] if after else "",
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: _line(row, wanted), lambda row: (row.slug,))

    @get("/public/{slug:str}", action=PUBLIC)
    async def show(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        slug: FromPath[str],
        language: _Languages = "",
    ) -> PublicArticle:
        """Return a public article in the language that is read best."""
        _count_read(relay, request)
        wanted = languages_of(language)
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug, reader=ANYBODY)
            view = await view_of(c, relay, found, reader=ANYBODY, languages=wanted)
        shown = msgspec.structs.asdict(_line(found, wanted))
        shown |= {"title": view.text.title, "language": view.text.language}
        return PublicArticle(
            body=view.text.body,
            html=view.html,
            steps=view.steps,
            stale=view.text.stale,
            useful=found.useful,
            not_useful=found.not_useful,
            **shown,
        )

    @get("/public/{slug:str}/files/{name:str}", action=PUBLIC)
    async def picture(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        slug: FromPath[str],
        name: FromPath[str],
    ) -> Response[bytes]:
        """Return a picture of a public article."""
        _count_read(relay, request)
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug, reader=ANYBODY)
            return picture_response(*await read_file(c, relay.tenant, found, name))

    @post("/public/{slug:str}/vote", action=PUBLIC, status_code=200)
    async def vote(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        slug: FromPath[str],
        data: JSONBody[PublicVote],
    ) -> PublicLine:
        """Say whether a public article helped; only ever by POST, which nobody prefetches."""
        relay.service(make_public_rates).votes.take(caller_address(request, relay))
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug, reader=ANYBODY)
            voter = browser_voter(data.token)
            await vote(c, relay, article=found, voter=voter, useful=data.useful)
        return _line(found, [])


AREA = Area(name="knowledge-public", controllers=[PublicKnowledgeController])
