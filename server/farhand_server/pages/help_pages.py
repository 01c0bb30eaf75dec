"""Pages for anybody: where to begin, articles, how the desk is reached, whether all is well."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromPath, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge import picture_response
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.care.notices import Notice, current_notices
from farhand_server.errors import not_found
from farhand_server.knowledge.articles import ArticleFilter, get_article, list_articles
from farhand_server.knowledge.collections import get_collection, list_collections
from farhand_server.knowledge.files import read_file
from farhand_server.knowledge.markdown import render as render_markdown
from farhand_server.knowledge.readers import ANYBODY, CUSTOMER, Reader
from farhand_server.knowledge.searching import MAX_QUERY_CHARS, search_articles
from farhand_server.knowledge.texts import read_text
from farhand_server.knowledge.votes import browser_voter, vote
from farhand_server.pages.opening import card_for, promises_of, special_days, week_of
from farhand_server.pages.routing import Reading, look, see_other
from farhand_server.pages.visitor import language_cookie, read_form
from farhand_server.people.organisations import LOCALES
from farhand_server.relay import Relay

__all__ = ["HelpPages"]

_Anything = Request[Any, Any, Any]
_VOTER_COOKIE: Final = "farhand_voter"
_SHOWN: Final = 50
# `//host` and what browsers take for it (a backslash, a tab in between) would lead elsewhere.
_OUR_PATH: Final = re.compile(r"/(?:[A-Za-z0-9_.~%-]+/?)*\Z")
_HEADING: Final = re.compile(r"<(/?)h([1-5])>")
_A_YEAR_S: Final = 365 * 86_400


def _reader(reading: Reading) -> Reader:
    return ANYBODY if reading.visitor.actor is None else CUSTOMER


def _count(relay: Relay, request: _Anything) -> None:
    relay.service(make_public_rates).reads.take(caller_address(request, relay))


async def _notices(c: AsyncConnection, reading: Reading, person: str | None) -> list[Notice]:
    """Return what is announced, nothing where that is switched off."""
    if "notices" in reading.visitor.off:
        return []
    return await current_notices(c, reading.relay, person=person, of_desk=False)


async def _titles(
    c: AsyncConnection, reading: Reading, slugs: Sequence[str]
) -> list[tuple[str, str]]:
    """Return articles that this reader may see with their titles in her language."""
    tenant, reader, wanted = reading.relay.tenant, _reader(reading), [reading.visitor.language]
    titles = []
    for slug in slugs:
        found = await get_article(c, tenant, slug, reader=reader)
        titles.append(
            (slug, (await read_text(c, tenant, found, reader=reader, wanted=wanted)).title)
        )
    return titles


class HelpPages(Controller):
    """What needs no sign-in."""

    @get(["/", "/help"], action=PUBLIC, include_in_schema=False)
    async def begin(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Return the first page: search, write, call."""
        reading = await look(request, relay)
        actor = reading.visitor.actor
        async with relay.db.read() as c:
            card = await card_for(c, relay, reading.visitor)
            person = actor.person if actor else ""
            notices = await _notices(c, reading, person or None)
        return reading.page("begin", card=card, notices=notices)

    @get("/language/{language:str}", action=PUBLIC, include_in_schema=False)
    async def speak(
        self,
        request: _Anything,
        relay: FromRelay,
        language: FromPath[str],
        to: Annotated[str, QueryParameter(name="to", max_length=300)] = "/",
    ) -> Response[Any]:
        """Remember a language, and go back."""
        if language not in LOCALES:
            raise not_found("language", language)
        back = to if _OUR_PATH.match(to) else "/"
        return see_other(back, [language_cookie(relay, language)])

    @get("/kb", action=PUBLIC, include_in_schema=False)
    async def articles(
        self,
        request: _Anything,
        relay: FromRelay,
        q: Annotated[str, QueryParameter(name="q", max_length=MAX_QUERY_CHARS)] = "",
        after: Annotated[str, QueryParameter(name="after", max_length=80)] = "",
        collection: Annotated[str, QueryParameter(name="collection", max_length=80)] = "",
    ) -> Response[Any]:
        """Return articles, those of a collection in its order, or what answers a question."""
        _count(relay, request)
        reading = await look(request, relay)
        wanted = [reading.visitor.language]
        async with relay.db.read() as c:
            if q.strip():
                hits = await search_articles(
                    c, relay.tenant, query=q, reader=_reader(reading), wanted=wanted, limit=20
                )
                return reading.page("articles", q=q, hits=hits, rows=[], more="", sets=[])
            if collection:
                chosen = await get_collection(c, relay.tenant, collection, reader=_reader(reading))
                titles = await _titles(c, reading, chosen.articles)
                return reading.page("collection", collection=chosen, rows=titles)
            sets = []
            if not after:  # above the first page of all
                sets = await list_collections(c, relay.tenant, reader=_reader(reading))
            found = await list_articles(
                c,
                relay.tenant,
                wanted=ArticleFilter(),
                reader=_reader(reading),
                after=after,
                limit=_SHOWN + 1,
            )
            rows = []
            for one in found[:_SHOWN]:
                text = await read_text(c, relay.tenant, one, reader=_reader(reading), wanted=wanted)
                rows.append((one.slug, text.title))
        more = found[_SHOWN - 1].slug if len(found) > _SHOWN else ""
        return reading.page("articles", q="", hits=[], rows=rows, more=more, sets=sets)

    @get("/kb/{slug:str}", action=PUBLIC, include_in_schema=False)
    async def article(
        self, request: _Anything, relay: FromRelay, slug: FromPath[str]
    ) -> Response[Any]:
        """Return an article."""
        _count(relay, request)
        reading = await look(request, relay)
        reader, wanted = _reader(reading), [reading.visitor.language]
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug, reader=reader)
            text = await read_text(c, relay.tenant, found, reader=reader, wanted=wanted)
        html = render_markdown(text.body, files_at=f"/kb/{found.slug}/files/", articles_at="/kb/")
        # The page's own heading is the article's title; the writer's stand below it.
        html = _HEADING.sub(lambda tag: f"<{tag[1]}h{int(tag[2]) + 1}>", html)
        voted = request.query_params.get("voted") == "1"
        return reading.page("article", article=found, text=text, body=html, voted=voted)

    @get("/kb/{slug:str}/files/{name:str}", action=PUBLIC, include_in_schema=False)
    async def picture(
        self, request: _Anything, relay: FromRelay, slug: FromPath[str], name: FromPath[str]
    ) -> Response[bytes]:
        """Return a picture of an article."""
        _count(relay, request)
        reading = await look(request, relay)
        async with relay.db.read() as c:
            found = await get_article(c, relay.tenant, slug, reader=_reader(reading))
            return picture_response(*await read_file(c, relay.tenant, found, name))

    @post("/kb/{slug:str}/vote", action=PUBLIC, include_in_schema=False)
    async def vote(
        self, request: _Anything, relay: FromRelay, slug: FromPath[str]
    ) -> Response[Any]:
        """Take a vote, one of each browser."""
        form = await read_form(request, relay)
        relay.service(make_public_rates).votes.take(caller_address(request, relay))
        reading = await look(request, relay)
        token = request.cookies.get(_VOTER_COOKIE, "") or secrets.token_urlsafe(32)
        actor = reading.visitor.actor
        async with relay.db.write() as c:
            found = await get_article(c, relay.tenant, slug, reader=_reader(reading))
            voter = browser_voter(token) if actor is None else actor.account
            await vote(c, relay, article=found, voter=voter, useful=form.get("useful") == "yes")
        kept = Cookie(
            key=_VOTER_COOKIE,
            value=token,
            path="/",
            max_age=_A_YEAR_S,
            httponly=True,
            secure=relay.settings.url.startswith("https:"),
            samesite="lax",
        )
        return see_other(f"/kb/{found.slug}?voted=1", [kept])

    @get("/contact", action=PUBLIC, include_in_schema=False)
    async def contact(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Return how the desk is reached."""
        reading = await look(request, relay)
        async with relay.db.read() as c:
            card = await card_for(c, relay, reading.visitor)
            week = await week_of(c, relay, card)
            special = await special_days(c, relay, card)
            promises = await promises_of(c, relay)
        return reading.page("contact", card=card, week=week, special=special, promises=promises)

    @get("/status", action=PUBLIC, include_in_schema=False)
    async def status(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Return whether the relay is well, and what is announced to everybody."""
        reading = await look(request, relay)
        well = True
        for check in (relay.db.ping, relay.bus.ping):
            try:
                await check()
            except FarhandError:
                well = False
        async with relay.db.read() as c:
            notices = await _notices(c, reading, None)
        return reading.page("status", well=well, notices=notices)
