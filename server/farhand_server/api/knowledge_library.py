"""Routes around articles: pictures, the search, promotion, collections, settings, the index."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.knowledge import (
    article_response,
    languages_of,
    picture_response,
    reader_of,
)
from farhand_server.api.paging import Page
from farhand_server.desk.tickets import get_ticket
from farhand_server.knowledge.articles import (
    FOUR_EYES,
    Article,
    ArticleDetails,
    ArticleFilter,
    get_article,
    list_articles,
)
from farhand_server.knowledge.collections import (
    Collection,
    get_collection,
    list_collections,
    remove_collection,
    set_collection,
)
from farhand_server.knowledge.files import (
    ArticleFile,
    list_files,
    put_file,
    read_file,
    remove_file,
)
from farhand_server.knowledge.questions import QUESTIONS_OPEN
from farhand_server.knowledge.readers import DESK, check_language
from farhand_server.knowledge.replies import promote_message
from farhand_server.knowledge.searching import MAX_HITS, MAX_QUERY_CHARS, Hit, search_articles
from farhand_server.knowledge.texts import HOUSE_LANGUAGES, MAX_LANGUAGES, index_article
from farhand_server.knowledge.uses import ArticleUse, articles_of_ticket
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA"]

_REINDEXED_AT_ONCE: Final = 20

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Slug = Annotated[str, msgspec.Meta(max_length=80)]
_Words = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_Languages = Annotated[str, QueryParameter(name="language", max_length=80)]
_Query = Annotated[str, QueryParameter(name="q", max_length=MAX_QUERY_CHARS)]
_Top = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_HITS)]


class NewFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture, in base64."""

    name: _Line
    content: bytes


class NewPromotion(ArticleDetails, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message of a ticket to make an article of; the desk's last answer by default."""

    ticket: _Line
    message: int | None = None
    title: _Line | None = None
    language: _Line | None = None


class NewCollection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Articles in their order."""

    title: _Line
    description: _Words = ""
    articles: list[_Slug] = []


class KnowledgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin decides; what is not given stays.

    `questions` opens public questions; with `four_eyes` nobody publishes what she wrote herself;
    `languages` are the organisation's, best first.
    """

    questions: bool | None = None
    four_eyes: bool | None = None
    languages: Annotated[list[_Line], msgspec.Meta(max_length=MAX_LANGUAGES)] | None = None


class Reindex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Behind which slug to go on."""

    after: _Slug = ""


class Reindexed(msgspec.Struct, frozen=True, kw_only=True):
    """How many were done; `next` is where to go on, null at the end."""

    articles: int
    next: str | None


class ArticleFileController(Controller):
    """Pictures of articles."""

    path = "/knowledge/articles/{slug:str}/files"

    @get("/", action="knowledge.read")
    async def list_all(
        self, relay: FromRelay, actor: FromActor, slug: FromPath[str]
    ) -> Page[ArticleFile]:
        """Return an article's pictures; they are bounded."""
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug, reader=reader_of(actor))
            return Page(items=await list_files(c, relay.tenant, found))

    @post("/", action="knowledge.write", status_code=201)
    async def put(
        self, relay: FromRelay, slug: FromPath[str], data: JSONBody[NewFile]
    ) -> ArticleFile:
        """Keep a picture, in place of the one of that name."""
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug)
            return await put_file(c, relay, article=found, name=data.name, content=data.content)

    @get("/{name:str}", action="knowledge.read")
    async def read(
        self, relay: FromRelay, actor: FromActor, slug: FromPath[str], name: FromPath[str]
    ) -> Response[bytes]:
        """Return a picture."""
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug, reader=reader_of(actor))
            return picture_response(*await read_file(c, relay.tenant, found, name))

    @post("/{name:str}/remove", action="knowledge.write", status_code=200)
    async def remove(
        self, relay: FromRelay, slug: FromPath[str], name: FromPath[str]
    ) -> Page[ArticleFile]:
        """Take a picture away."""
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug)
            await remove_file(c, relay.tenant, found, name)
            return Page(items=await list_files(c, relay.tenant, found))


class KnowledgeController(Controller):
    """The search, promotion, collections and settings."""

    path = "/knowledge"

    @get("/search", action="knowledge.read")
    async def search(
        self,
        relay: FromRelay,
        actor: FromActor,
        q: _Query,
        language: _Languages = "",
        limit: _Top = 20,
    ) -> Page[Hit]:
        """Return what answers a question, best first."""
        async with relay.db.read() as c:
            hits = await search_articles(
                c,
                relay.tenant,
                query=q,
                reader=reader_of(actor),
                wanted=languages_of(language),
                limit=limit,
            )
        return Page(items=hits)

    @post("/promote", action="knowledge.write", status_code=201)
    async def promote(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewPromotion]
    ) -> Response[Article]:
        """Make a draft of something said on a ticket."""
        async with relay.db.write() as c:
            made = await promote_message(
                c,
                relay,
                ticket=data.ticket,
                message=data.message,
                actor=actor.name,
                sight=sight_of(actor, "ticket.read"),
                title=data.title,
                language=data.language,
                details=data,
            )
        return article_response(made, status=201)

    @get("/tickets/{ticket:str}", action="knowledge.write")
    async def of_ticket(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Page[ArticleUse]:
        """Return the articles that were used on a ticket."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            return Page(items=await articles_of_ticket(c, relay.tenant, found.row))

    @get("/collections", action="knowledge.read")
    async def collections(self, relay: FromRelay, actor: FromActor) -> Page[Collection]:
        """Return collections; they are bounded."""
        async with relay.db.read() as c:
            return Page(items=await list_collections(c, relay.tenant, reader=reader_of(actor)))

    @get("/collections/{name:str}", action="knowledge.read")
    async def collection(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str]
    ) -> Collection:
        """Return one collection."""
        async with relay.db.read() as c:
            return await get_collection(c, relay.tenant, name, reader=reader_of(actor))

    @post("/collections/{name:str}", action="knowledge.publish", status_code=200)
    async def set_one(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[NewCollection]
    ) -> Collection:
        """Make a collection, or put another in its place."""
        async with relay.db.write() as c:
            await set_collection(
                c,
                relay,
                name=name,
                title=data.title,
                description=data.description,
                slugs=data.articles,
                actor=actor.name,
            )
            return await get_collection(c, relay.tenant, name, reader=DESK)

    @post("/collections/{name:str}/remove", action="knowledge.publish", status_code=200)
    async def remove_one(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str]
    ) -> Page[Collection]:
        """Take a collection away; its articles stay."""
        async with relay.db.write() as c:
            await remove_collection(c, relay, name=name, actor=actor.name)
            return Page(items=await list_collections(c, relay.tenant, reader=DESK))

    @get("/settings", action="knowledge.settings")
    async def settings(self, relay: FromRelay) -> KnowledgeSettings:
        """Return what an admin decided."""
        async with relay.db.read() as c:
            return await _settings(c, relay)

    @post("/settings", action="knowledge.settings", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[KnowledgeSettings]
    ) -> KnowledgeSettings:
        """Decide."""
        languages = None
        if data.languages is not None:
            languages = [check_language(one) for one in data.languages]
        async with relay.db.write() as c:
            for name, value in (
                (QUESTIONS_OPEN, data.questions),
                (FOUR_EYES, data.four_eyes),
                (HOUSE_LANGUAGES, languages),
            ):
                if value is not None:
                    await set_setting(c, relay, name, value, actor.name)
            return await _settings(c, relay)

    @post("/reindex", action="knowledge.settings", status_code=200)
    async def reindex(self, relay: FromRelay, data: JSONBody[Reindex]) -> Reindexed:
        """Make the search index anew, some articles for each request."""
        async with relay.db.write() as c:
            some = await list_articles(
                c,
                relay.tenant,
                wanted=ArticleFilter(),
                after=data.after,
                limit=_REINDEXED_AT_ONCE,
            )
            for article in some:
                await index_article(c, relay.tenant, article)
        whole = len(some) < _REINDEXED_AT_ONCE
        return Reindexed(articles=len(some), next=None if whole else some[-1].slug)


async def _settings(c: AsyncConnection, relay: Relay) -> KnowledgeSettings:
    tenant = relay.tenant
    return KnowledgeSettings(
        questions=await get_setting(c, tenant, QUESTIONS_OPEN, bool, default=False),
        four_eyes=await get_setting(c, tenant, FOUR_EYES, bool, default=False),
        languages=await get_setting(c, tenant, HOUSE_LANGUAGES, list[str], default=[]),
    )


AREA = Area(name="knowledge-library", controllers=[ArticleFileController, KnowledgeController])
