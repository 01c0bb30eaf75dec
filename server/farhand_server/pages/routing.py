"""What the routes of the pages share: the page of an error, and answers that lead elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException

from farhand_protocol.errors import FarhandError
from farhand_server.knowledge.questions import QUESTIONS_OPEN
from farhand_server.mail.rendering import CSP_WITH_DATA
from farhand_server.pages.looks import Branding, branding_of
from farhand_server.pages.opening import zone_of
from farhand_server.pages.rendering import render
from farhand_server.pages.visitor import Visitor, stranger, visitor_of
from farhand_server.people.modules import make_modules
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay

__all__ = ["PAGE_ERRORS", "Reading", "look", "mail_response", "outside_pages", "see_other"]

_log = logging.getLogger(__name__)

_STATUSES: Final = {
    "not-found": 404,
    "module-off": 404,
    "not-permitted": 403,
    "origin-foreign": 403,
    "questions-off": 404,
    "rate-limited": 429,
    "link-over": 410,
    "proof-invalid": 410,
    "reset-over": 410,
    "survey-over": 410,
    "survey-answered": 409,
    "ticket-state": 409,
    "revision-mismatch": 409,
    "reopen-too-late": 409,
    "body-too-large": 413,
    "upload-too-large": 413,
    "blob-too-large": 413,
    "factor-wrong": 403,
    "sign-in-failed": 410,
    "questions-full": 503,
    "factors-full": 409,
    "factor-taken": 409,
    "invalid": 422,
    "password-length": 422,
    "store-busy": 503,
    "store-unreachable": 503,
}
_WORDS: Final = {
    "not-found": "There is nothing here.",
    "module-off": "There is nothing here.",
    "not-permitted": "You may not do this.",
    "origin-foreign": "This form did not come from this site. Open the page again and repeat it.",
    "rate-limited": "That was too often. Wait a minute, then try again.",
    "link-over": "This link was used, or is too old. Ask for another one.",
    "proof-invalid": "This link was used, or is too old. Ask for another one.",
    "reset-over": "This link was used, or is too old. Ask for another one.",
    "sign-in-failed": "This took too long, or was tried too often. Begin again.",
    "factor-wrong": "The code is wrong, too old, or was used before.",
    "upload-too-large": "These are too many files, or one is too large.",
    "body-too-large": "This is too large.",
    "blob-too-large": "These are too many files, or one is too large.",
    "survey-over": "This link is too old.",
    "survey-answered": "You have answered this already. Thank you.",
    "reopen-too-late": "This request is over. Write a new one.",
    "password-length": "The password must have 12 to 256 characters.",
    "invalid": "Something in the form cannot be read. Go back and look at it again.",
}
_SOMETHING = "This did not work. Try again in a minute, or call us."


class Reading:
    """A request for a page: who reads it, how pages look, and how one is answered."""

    def __init__(self, relay: Relay, visitor: Visitor, branding: Branding) -> None:
        self.relay = relay
        self.visitor = visitor
        self.branding = branding

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response[Any]:
        """Return a page; see `rendering.render`."""
        return render(self.visitor, self.branding, template, status=status, **values)


async def look(request: Request[Any, Any, Any], relay: Relay) -> Reading:
    """Find out who reads, and how the pages look."""
    visitor = await visitor_of(request, relay)
    async with relay.db.read() as c:
        branding = await branding_of(c, relay)
        if not visitor.chose_zone:
            visitor.zone = await zone_of(c, relay, visitor.organisation)
        are_open = await get_setting(c, relay.tenant, QUESTIONS_OPEN, bool, default=False)
    visitor.off = relay.service(make_modules).off
    visitor.has_questions = are_open and not {"questions", "knowledge"} & set(visitor.off)
    return Reading(relay, visitor, branding)


def see_other(path: str, cookies: Sequence[Cookie] = ()) -> Response[Any]:
    """Lead to another page after a form was taken (RFC 9110, 15.4.4)."""
    headers = {"Location": path, "Cache-Control": "no-store"}
    return Response(b"", status_code=303, headers=headers, cookies=list(cookies))


def mail_response(markup: str) -> Response[Any]:
    """Answer with a mail's own HTML as a document of nobody's, for a frame on a page of ours."""
    headers = {
        "Content-Security-Policy": f"{CSP_WITH_DATA}; frame-ancestors 'self'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(markup, media_type="text/html", headers=headers)


# Litestar asks for the page of an error without waiting, so it is made without the store: nobody is
# signed in on it, and it is in the house's plain looks.


def _of_ours(request: Request[Any, Any, Any], error: FarhandError) -> Response[Any]:
    if error.code == "not-signed-in":
        return see_other("/sign-in")
    status = _STATUSES.get(error.code, 400)
    return _error_page(request, status, _WORDS.get(error.code, _SOMETHING))


def _of_the_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    known = {404: "not-found", 405: "not-found", 413: "body-too-large"}.get(error.status_code, "")
    words = _WORDS.get(known, _SOMETHING)
    return _error_page(request, error.status_code, words)


def outside_pages(handlers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the application's handlers; a browser that strayed from every route gets a page.

    Args:
        handlers: what answers everybody else, and everybody below `/api`.
    """
    others = handlers[HTTPException]

    def stray(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        is_api = f"{request.scope['path']}/".startswith("/api/")
        wanted = request.headers.get("accept", "").lower()
        if is_api or error.status_code not in (404, 405) or "text/html" not in wanted:
            answer: Response[Any] = others(request, error)
            return answer
        return _of_the_framework(request, error)

    return {**handlers, HTTPException: stray}


def _bug(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    _log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    return _error_page(request, 500, _SOMETHING)


def _error_page(request: Request[Any, Any, Any], status: int, words: str) -> Response[Any]:
    relay: Relay = request.app.state.relay
    branding = Branding(name=relay.settings.org)
    visitor = stranger(request)
    visitor.off = relay.service(make_modules).off
    return render(visitor, branding, "error", status=status, words=words)


PAGE_ERRORS: Final[dict[Any, Any]] = {
    FarhandError: _of_ours,
    HTTPException: _of_the_framework,
    Exception: _bug,
}
