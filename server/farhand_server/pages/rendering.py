"""Turns a template and values into a page that loads nothing from elsewhere.

Jinja2 with autoescape; values are never templates.  Text that a person wrote as Markdown goes
through `knowledge.markdown`, which lets no HTML through.  A page may run one of our own files
(`script`), hold another page of ours (`frames`) or be held by one (`framed`); without those words
it may not, and never may it run what stands in the page itself.
"""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response

from farhand_server.contracts.formats import format_day, format_duration, format_money
from farhand_server.pages.looks import Branding
from farhand_server.pages.visitor import Visitor
from farhand_server.pages.wording import LANGUAGE_NAMES

__all__ = ["KIND_WORDS", "STATE_WORDS", "render"]

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}

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


def _policy(*, script: bool, frames: bool, framed: bool) -> str:
    """Return the page's Content-Security-Policy (W3C, CSP level 3)."""
    parts = [
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'",
        "frame-ancestors 'self'" if framed else "frame-ancestors 'none'",
    ]
    if script:
        parts.append("script-src 'self'; connect-src 'self'")
    if frames:
        parts.append("frame-src 'self'")
    return "; ".join(parts)


def render(
    visitor: Visitor,
    branding: Branding,
    template: str,
    *,
    status: int = 200,
    script: bool = False,
    frames: bool = False,
    framed: bool = False,
    **values: Any,
) -> Response[str]:
    """Return a page.

    Args:
        visitor: who reads it, and in which language.
        branding: how it looks.
        template: its name without the ending.
        status: of the answer.
        script: whether it names a script file of ours.
        frames: whether it holds another page of ours.
        framed: whether a page of ours may hold it.
        **values: what the template wants.
    """
    words = visitor.words
    made = _environment.get_template(f"{template}.html").render(
        _=words,
        many=words.many,
        size=words.size,
        when=lambda at: words.when(at, visitor.zone),
        day=lambda at: format_day(at, words.language),
        money=lambda minor, currency: format_money(minor, currency, words.language),
        lasting=lambda seconds: format_duration(seconds, words.language),
        visitor=visitor,
        branding=branding,
        languages=LANGUAGE_NAMES,
        **values,
    )
    policy = _policy(script=script, frames=frames, framed=framed)
    headers = {"Content-Security-Policy": policy, **_HEADERS}
    return Response(made, status_code=status, media_type="text/html", headers=headers)
