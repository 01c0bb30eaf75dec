"""Who reads a page: her language, and her sign-in, which is a cookie that no script can read.

The cookie holds an API token, but the API itself takes tokens from its header only, so another site
can make a browser post to these pages and to nothing else; and here a POST is refused unless it
comes from a page of ours (`Origin`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, tzinfo
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from litestar import Request
from litestar.datastructures import Cookie

from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_server.accounts.authorisation import Actor
from farhand_server.accounts.tokens import make_tokens
from farhand_server.pages.wording import Wording, choose_language, wording_in
from farhand_server.people.people import get_person
from farhand_server.relay import Relay

__all__ = [
    "MAX_FORM_BYTES",
    "SESSION_COOKIE",
    "Visitor",
    "check_origin",
    "language_cookie",
    "read_form",
    "session_cookie",
    "stranger",
    "visitor_of",
]

SESSION_COOKIE: Final = "farhand_session"
_LANGUAGE_COOKIE: Final = "farhand_language"
_A_YEAR_S: Final = 365 * 86_400
MAX_FORM_BYTES: Final = 256 * 1024
_MAX_FIELDS: Final = 20


class Visitor:
    """Who reads, as far as that is known.

    Attributes:
        actor: who is signed in; None where nobody is.
        words: the texts in her language.
        zone: the time zone in which she reads times.
        path: of this page, for the links to other languages.
        organisation: hers, by id, where one is known.
        chose_zone: whether the zone is her own choice.
        has_questions: whether public questions are open, once that was looked up.
        off: the parts of the desk that are switched off, and to which no page leads.
    """

    def __init__(self, actor: Actor | None, words: Wording, zone: tzinfo, path: str) -> None:
        self.actor = actor
        self.words = words
        self.zone = zone
        self.path = path
        self.organisation: str | None = None
        self.chose_zone = False
        self.has_questions = False
        self.off: Collection[str] = ()

    @property
    def language(self) -> str:
        """Return the language's tag."""
        return self.words.language

    def signed_in(self) -> Actor:
        """Return who is signed in.

        Raises:
            FarhandError: `not-signed-in`.
        """
        if self.actor is None:
            raise FarhandError("not-signed-in", "sign in first")
        return self.actor


async def visitor_of(request: Request[Any, Any, Any], relay: Relay) -> Visitor:
    """Return who sent a request; a cookie that is worth nothing any more is none."""
    actor = None
    token = request.cookies.get(SESSION_COOKIE, "")
    if token and len(token) <= 200:
        try:
            actor = await relay.service(make_tokens).actor_of(token.encode())
        except FarhandError as error:
            if error.code != "not-signed-in":
                raise
    locale = ""
    organisation = None
    zone: tzinfo | None = None
    if actor is not None and actor.person:
        async with relay.db.read() as c:
            person = await get_person(c, relay.tenant, actor.person)
        locale, organisation = person.locale, person.organisation
        if person.zone:
            zone = ZoneInfo(person.zone)
    visitor = Visitor(actor, _words(request, locale), zone or UTC, request.url.path)
    visitor.organisation, visitor.chose_zone = organisation, zone is not None
    return visitor


def stranger(request: Request[Any, Any, Any]) -> Visitor:
    """Return who sent a request as far as that is known without asking the store."""
    return Visitor(None, _words(request, ""), UTC, request.scope["path"])


def _words(request: Request[Any, Any, Any], locale: str) -> Wording:
    chosen = [request.query_params.get("lang"), request.cookies.get(_LANGUAGE_COOKIE), locale]
    return wording_in(choose_language(chosen, request.headers.get("accept-language", "")))


def session_cookie(relay: Relay, token: str, max_age_s: int) -> Cookie:
    """Return the cookie of a sign-in; an empty token ends it."""
    return Cookie(
        key=SESSION_COOKIE,
        value=token,
        path="/",
        max_age=max_age_s if token else 0,
        httponly=True,
        secure=relay.settings.url.startswith("https:"),
        samesite="lax",
    )


def language_cookie(relay: Relay, language: str) -> Cookie:
    """Return the cookie that remembers a chosen language."""
    return Cookie(
        key=_LANGUAGE_COOKIE,
        value=language,
        path="/",
        max_age=_A_YEAR_S,
        httponly=True,
        secure=relay.settings.url.startswith("https:"),
        samesite="lax",
    )


def check_origin(request: Request[Any, Any, Any], relay: Relay) -> None:
    """Refuse a form that another site had this browser send.

    Raises:
        RefusedError: `origin-foreign`.
    """
    origin = request.headers.get("origin")
    if origin is None:
        # Browsers send it with every POST; whoever does not is none and has no cookie to abuse.
        is_ours = SESSION_COOKIE not in request.cookies
    else:
        # Behind a proxy that writes its own Host, the relay's address is what browsers were shown.
        ours = {request.headers.get("host", ""), urlsplit(relay.settings.url).netloc}
        is_ours = urlsplit(origin).netloc in ours - {""}
    if not is_ours:
        raise RefusedError("origin-foreign", "this form does not come from a page of this relay")


async def read_form(request: Request[Any, Any, Any], relay: Relay) -> dict[str, str]:
    """Return the fields of a form, the last of each name; checks where it comes from.

    Raises:
        FarhandError: `origin-foreign`, `invalid`, `body-too-large`.
    """
    check_origin(request, relay)
    data = await request.body()
    if len(data) > MAX_FORM_BYTES:
        raise FarhandError("body-too-large", "the form is too large")
    try:
        pairs = parse_qsl(data.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise UsageError("invalid", "the form cannot be read") from error
    return dict(pairs)
