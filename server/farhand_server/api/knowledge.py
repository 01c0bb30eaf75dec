"""Routes of articles for those who are signed in; what anybody may read has a file of its own.

The desk reads every article as it was written last; a requester what is published for the public
and for customers.  A picture is told by its bytes and shown as nothing else.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.accounts.authorisation import Actor, authorise
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.api.revisions import check_if_match, etag
from farhand_server.desk.tickets import get_ticket
from farhand_server.desk.timeline import Message
from farhand_server.knowledge.articles import (
    Article,
    ArticleDetails,
    ArticleFilter,
    change_article,
    get_article,
    list_articles,
    step_article,
)
from farhand_server.knowledge.files import (
    ArticleFile,
    list_files,
)
from farhand_server.knowledge.markdown import Step, render, steps
from farhand_server.knowledge.readers import CUSTOMER, DESK, Reader, check_language
from farhand_server.knowledge.replies import (
    Form,
    make_article,
    reply_with_article,
)
from farhand_server.knowledge.searching import MAX_HITS, MAX_QUERY_CHARS
from farhand_server.knowledge.states import ArticleStep
from farhand_server.knowledge.texts import (
    MAX_ARTICLE_CHARS,
    ArticleText,
    add_text,
    index_article,
    list_revisions,
    read_text,
)
from farhand_server.knowledge.uses import ArticleUse, note_use, uses_of
from farhand_server.knowledge.votes import vote
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS

__all__ = [
    "AREA",
    "ArticleView",
    "article_response",
    "languages_of",
    "picture_response",
    "reader_of",
    "view_of",
]

# Where the public pages show articles.
_PAGES = "/kb/"
_REINDEXED_AT_ONCE = 20

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Slug = Annotated[str, msgspec.Meta(max_length=80)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_ARTICLE_CHARS + 1000)]
_Words = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_Text = Annotated[str | None, QueryParameter(max_length=80)]
_Languages = Annotated[str, QueryParameter(name="language", max_length=80)]
_Query = Annotated[str, QueryParameter(name="q", max_length=MAX_QUERY_CHARS)]
_Top = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_HITS)]
_Stale = Annotated[bool, QueryParameter(name="stale")]
_Rev = Annotated[int | None, QueryParameter(name="rev", ge=1)]


class NewArticle(ArticleDetails, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An article to be: a draft for the desk's eyes, unless something else is given."""

    title: _Line
    body: _Body
    language: _Line = "en"


class NewText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words for an article, in the language of its original or another."""

    language: _Line
    title: _Line
    body: _Body
    from_rev: Annotated[int, msgspec.Meta(ge=0)] | None = None
    original_sha256: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class NewStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step of an article's way."""

    step: ArticleStep


class NewVote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether an article helped."""

    useful: bool


class NewUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ticket on which an article helped."""

    ticket: _Line


class NewArticleReply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An article as an answer on a ticket; the ticket's language by default."""

    ticket: _Line
    words: _Words = ""
    form: Form = "text"
    language: _Line = ""


class ArticleView(Article, frozen=True, kw_only=True):
    """An article with its words in one language, as text and as HTML that loads nothing foreign."""

    text: ArticleText
    html: str
    steps: list[Step]
    files: list[ArticleFile]


def languages_of(language: str) -> list[str]:
    """Return the languages that a request names, best first: `pt-BR,en`."""
    return [check_language(one) for one in language.split(",")[:5] if one.strip()]


def reader_of(actor: Actor) -> Reader:
    return DESK if authorise(actor, "knowledge.read") == "all" else CUSTOMER


async def view_of(
    c: AsyncConnection,
    relay: Relay,
    article: Article,
    *,
    reader: Reader,
    languages: list[str],
    rev: int | None = None,
) -> ArticleView:
    """Return an article with its words, as a reader is shown it."""
    text = await read_text(c, relay.tenant, article, reader=reader, wanted=languages, rev=rev)
    return ArticleView(
        text=text,
        html=render(text.body, files_at=f"{_PAGES}{article.slug}/files/", articles_at=_PAGES),
        steps=steps(text.body),
        files=await list_files(c, relay.tenant, article),
        **msgspec.structs.asdict(article),
    )


def picture_response(media_type: str, content: bytes) -> Response[bytes]:
    """Answer with a picture that no browser takes for anything else."""
    headers = {
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=3600",
    }
    return Response(content, media_type=media_type, headers=headers)


async def _changed(c: AsyncConnection, relay: Relay, article: Article) -> Article:
    """Find an article again after a change, and have it found."""
    after = await get_article(c, relay.tenant, article.id)
    await index_article(c, relay.tenant, after)
    return after


def article_response(article: Article, *, status: int = 200) -> Response[Article]:
    return Response(article, status_code=status, headers={"ETag": etag(article.revision)})


class ArticleController(Controller):
    """Articles; `{slug}` is a slug or an id."""

    path = "/knowledge/articles"

    @get("/", action="knowledge.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        wanted: Annotated[str | None, QueryParameter(name="state", max_length=20)] = None,
        visibility: _Text = None,
        category: _Text = None,
        tag: _Text = None,
        owner: _Text = None,
        language: _Text = None,
        due_before: _Text = None,
        stale: _Stale = False,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Article]:
        """Return articles by slug; archived ones only where they are asked for."""
        after = decode_cursor(cursor, str)
        asked = ArticleFilter(
            state=wanted,
            visibility=visibility,
            category=category,
            tag=tag,
            owner=owner,
            language=language,
            stale=stale,
            due_before=due_before,
        )
        async with relay.db.read() as c:
            rows = await list_articles(
                c,
                relay.tenant,
                wanted=asked,
                reader=reader_of(actor),
                after=after[0] if after else "",
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.slug,))

    @post("/", action="knowledge.write", status_code=201)
    async def new(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewArticle]
    ) -> Response[Article]:
        """Make a draft."""
        async with relay.db.write() as c:
            made = await make_article(
                c,
                relay,
                title=data.title,
                body=data.body,
                language=data.language,
                actor=actor.name,
                details=data,
            )
        return article_response(made, status=201)

    @get("/{slug:str}", action="knowledge.read")
    async def show(
        self,
        relay: FromRelay,
        actor: FromActor,
        slug: FromPath[str],
        language: _Languages = "",
        rev: _Rev = None,
    ) -> Response[ArticleView]:
        """Return an article in the language that is read best."""
        reader = reader_of(actor)
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug, reader=reader)
            view = await view_of(
                c, relay, found, reader=reader, languages=languages_of(language), rev=rev
            )
        return Response(view, headers={"ETag": etag(found.revision)})

    @post("/{slug:str}/details", action="knowledge.write", status_code=200)
    async def change(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        actor: FromActor,
        slug: FromPath[str],
        data: JSONBody[ArticleDetails],
    ) -> Response[Article]:
        """Change what is said of an article; who reads it is for those who may publish."""
        if data.visibility is not None:
            authorise(actor, "knowledge.publish")
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug)
            check_if_match(request, found.revision)
            await change_article(c, relay, article=found, details=data, actor=actor.name)
            after = await _changed(c, relay, found)
        return article_response(after)

    @post("/{slug:str}/texts", action="knowledge.write", status_code=200)
    async def write(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        actor: FromActor,
        slug: FromPath[str],
        data: JSONBody[NewText],
    ) -> Response[Article]:
        """Add a revision; the same words again add none."""
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug)
            check_if_match(request, found.revision)
            added = await add_text(
                c,
                relay,
                article=found,
                language=data.language,
                title=data.title,
                body=data.body,
                actor=actor.name,
                from_rev=data.from_rev,
                original_sha256=data.original_sha256,
            )
            after = await _changed(c, relay, found) if added else found
        return article_response(after)

    @get("/{slug:str}/texts/{language:str}", action="knowledge.write")
    async def revisions(
        self, relay: FromRelay, slug: FromPath[str], language: FromPath[str]
    ) -> Page[ArticleText]:
        """Return the newest revisions in one language, newest first."""
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug)
            return Page(items=await list_revisions(c, relay.tenant, found, language))

    @post("/{slug:str}/step", action="knowledge.write", status_code=200)
    async def step(
        self,
        request: Request,  # type: ignore[type-arg]
        relay: FromRelay,
        actor: FromActor,
        slug: FromPath[str],
        data: JSONBody[NewStep],
    ) -> Response[Article]:
        """Submit, publish, withdraw, archive or restore."""
        if data.step != "submit":
            authorise(actor, "knowledge.publish")
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug)
            check_if_match(request, found.revision)
            await step_article(c, relay, article=found, step=data.step, actor=actor.name)
            after = await _changed(c, relay, found)
        return article_response(after)

    @post("/{slug:str}/vote", action="knowledge.vote", status_code=200)
    async def vote(
        self, relay: FromRelay, actor: FromActor, slug: FromPath[str], data: JSONBody[NewVote]
    ) -> Article:
        """Say whether it helped; a later word of the same person counts instead."""
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug, reader=_reader_of_vote(actor))
            await vote(c, relay, article=found, voter=actor.account, useful=data.useful)
            return await get_article(c, relay.tenant, found.id)

    @get("/{slug:str}/uses", action="knowledge.write")
    async def uses(
        self, relay: FromRelay, actor: FromActor, slug: FromPath[str]
    ) -> Page[ArticleUse]:
        """Return the newest tickets on which it was used."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug)
            return Page(items=await uses_of(c, relay.tenant, found, sight=sight))

    @post("/{slug:str}/uses", action="knowledge.write", status_code=200)
    async def use(
        self, relay: FromRelay, actor: FromActor, slug: FromPath[str], data: JSONBody[NewUse]
    ) -> Article:
        """Note that it helped on a ticket."""
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug)
            sight = sight_of(actor, "ticket.read")
            ticket = await get_ticket(c, relay.tenant, data.ticket, sight=sight)
            await note_use(
                c, relay, article=found, ticket=ticket.row, kind="used", actor=actor.name
            )
            return await get_article(c, relay.tenant, found.id)

    @post("/{slug:str}/reply", action="ticket.note", status_code=201)
    async def reply(
        self,
        relay: FromRelay,
        actor: FromActor,
        slug: FromPath[str],
        data: JSONBody[NewArticleReply],
    ) -> Message:
        """Answer a requester with an article."""
        authorise(actor, "ticket.reply")
        async with relay.db.write() as c:
            return await reply_with_article(
                c,
                relay,
                slug=slug,
                ticket=data.ticket,
                actor=actor.name,
                sight=sight_of(actor, "ticket.reply"),
                words=data.words,
                form=data.form,
                languages=tuple(languages_of(data.language)),
            )


def _reader_of_vote(actor: Actor) -> Reader:
    return DESK if authorise(actor, "knowledge.vote") == "all" else CUSTOMER


AREA = Area(
    name="knowledge",
    controllers=[ArticleController],
    statuses={
        "article-exists": 409,
        "article-file-invalid": 422,
        "article-file-limit": 409,
        "article-file-too-large": 413,
        "article-language-limit": 409,
        "article-limit": 409,
        "article-not-for-requesters": 409,
        "article-own-review": 409,
        "article-state": 409,
        "collection-limit": 409,
        "vote-limit": 409,
    },
)
