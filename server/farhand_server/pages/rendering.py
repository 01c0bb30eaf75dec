"""Turns a template and values into a page that runs nothing and loads nothing from elsewhere.

Jinja2 with autoescape; values are never templates.  Text that a person wrote as Markdown goes
through `knowledge.markdown`, which lets no HTML through.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.pages.visitor import Visitor
from farhand_server.pages.wording import LANGUAGE_NAMES
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay

__all__ = [
    "BRANDING",
    "KIND_WORDS",
    "STATE_WORDS",
    "Branding",
    "branding_of",
    "check_branding",
    "render",
]

BRANDING: Final = "pages.branding"
_CSP: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")

STATE_WORDS: Final = {
    "new": "New",
    "open": "We are at it",
    "waiting": "Waiting",
    "resolved": "Solved, we think",
    "closed": "Over",
    "merged": "Goes on in another request",
    "spam": "Put away",
}
KIND_WORDS: Final = {
    "incident": "Something does not work",
    "question": "A question",
    "request": "I need something",
    "complaint": "A complaint",
    "suggestion": "A suggestion",
}

_environment = Environment(
    loader=PackageLoader("farhand_server.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals |= {"state_words": STATE_WORDS, "kind_words": KIND_WORDS}


class Branding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the pages look: a name (the organisation's without), one colour, a logo.

    `logo` is the SHA-256 of a file that is kept, empty without.
    """

    name: str = ""
    colour: str = "#1f5f8b"
    logo: str = ""


def check_branding(branding: Branding) -> bool:
    """Tell whether a branding can be used: a colour as #rrggbb, a logo by its SHA-256."""
    is_logo = not branding.logo or re.fullmatch(r"[0-9a-f]{64}", branding.logo) is not None
    return _COLOUR.match(branding.colour) is not None and is_logo


async def branding_of(c: AsyncConnection, relay: Relay) -> Branding:
    """Return how the pages look, with the organisation's name where none was set."""
    kept = await get_setting(c, relay.tenant, BRANDING, Branding, default=Branding())
    return kept if kept.name else msgspec.structs.replace(kept, name=relay.settings.org)


def render(
    visitor: Visitor, branding: Branding, template: str, *, status: int = 200, **values: Any
) -> Response[str]:
    """Return a page.

    Args:
        visitor: who reads it, and in which language.
        branding: how it looks.
        template: its name without the ending.
        status: of the answer.
        **values: what the template wants.
    """
    made = _environment.get_template(f"{template}.html").render(
        _=visitor.words,
        when=lambda at: visitor.words.when(at, visitor.zone),
        visitor=visitor,
        branding=branding,
        languages=LANGUAGE_NAMES,
        **values,
    )
    return Response(made, status_code=status, media_type="text/html", headers=dict(_HEADERS))
