"""A stranger's HTML made fit to be shown: sanitised when it is shown, so that a better rule also
protects old mails.

Three layers, each of which would do alone for most of it: nh3 with our own list of tags (its own
keeps remote pictures, and with them who read when), no address but of links and of pictures of the
mail itself, and a Content-Security-Policy for whoever serves it, under which nothing runs and
nothing is fetched.

nh3's parser is a browser's, and as there some nesting takes quadratic time or grows without bound;
what is nested like that is shown as text.
"""

from __future__ import annotations

import html as html_entities
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

import nh3

from farhand_server.mail.html_text import html_to_text
from farhand_server.mail.html_tokens import read_tokens

__all__ = [
    "CSP",
    "CSP_WITH_DATA",
    "CSP_WITH_PICTURES",
    "MAX_RENDERED_CHARS",
    "MAX_RENDERED_PICTURES",
    "render_html",
]

CSP: Final = "default-src 'none'; img-src 'none'; style-src 'unsafe-inline'; sandbox"
# For a page whose `cids` lead to the origin that serves it, or to `data:`.
CSP_WITH_PICTURES: Final = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox"
)
# For a page that holds its pictures itself.
CSP_WITH_DATA: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
MAX_RENDERED_CHARS: Final = 400_000
# Of all addresses of pictures in a page, which may be the pictures themselves.
MAX_RENDERED_PICTURES: Final = 8 * 1024 * 1024

_MAX_OPEN: Final = 300
_MAX_REOPENED: Final = 50_000
_MAX_ATTRIBUTES: Final = 60

_TAGS: Final = frozenset(
    (
        "a", "abbr", "b", "bdi", "big", "blockquote", "br", "caption", "center", "cite", "code",
        "col", "colgroup", "dd", "del", "div", "dl", "dt", "em", "font", "h1", "h2", "h3", "h4",
        "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s",
        "samp", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot",
        "th", "thead", "tr", "tt", "u", "ul", "var",
    )
)  # fmt: skip
_SIZED: Final = frozenset(("width", "height", "align", "valign", "bgcolor"))
_ATTRIBUTES: Final = {
    "*": {"dir", "lang", "style", "title"},
    "a": {"href"},
    "col": {"span", "width"},
    "font": {"color", "size"},
    "img": {"alt", "height", "src", "width"},
    "li": {"value"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing", *_SIZED},
    "td": {"colspan", "rowspan", *_SIZED},
    "th": {"colspan", "rowspan", *_SIZED},
    "tr": {*_SIZED},
}
# Nothing here can carry an address, cover the page or hide anything.
_STYLES: Final = frozenset(
    (
        "background-color", "border-bottom", "border-collapse", "border-left", "border-right",
        "border-top", "color", "font-family", "font-size", "font-style", "font-variant",
        "font-weight", "line-height", "list-style-type", "padding", "padding-bottom",
        "padding-left", "padding-right", "padding-top", "text-align", "text-decoration",
        "text-indent", "vertical-align", "white-space", "word-break",
    )
)  # fmt: skip
_WITHOUT_CONTENT: Final = frozenset(
    (
        "applet", "audio", "embed", "frameset", "head", "iframe", "math", "noembed", "noframes",
        "noscript", "object", "script", "select", "style", "svg", "template", "textarea", "title",
        "video", "xmp",
    )
)  # fmt: skip
_LINK = re.compile(r"(?:https?|mailto|tel):\S", re.IGNORECASE)
_STYLE_ADDRESS = re.compile(r"url|image|expression|import|\\|/\*|@", re.IGNORECASE)
_FORMATTING: Final = frozenset(
    (
        "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong",
        "tt", "u",
    )
)  # fmt: skip
# These end by themselves, so that many of them nest nothing.
_ENDING: Final = frozenset(
    (
        "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link",
        "meta", "optgroup", "option", "p", "param", "source", "tbody", "td", "tfoot", "th",
        "thead", "tr", "track", "wbr",
    )
)  # fmt: skip


def render_html(markup: str, cids: Mapping[str, str] | None = None) -> str:
    """Return a fragment that a page under `CSP` may show.

    Args:
        markup: what came.
        cids: addresses for the mail's own pictures, by Content-ID without brackets; a caller's,
            so they are taken as they are.  Pictures without one lose their source.
    """
    if len(markup) > MAX_RENDERED_CHARS or not _is_simple(markup):
        return f"<pre>{html_entities.escape(html_to_text(markup))}</pre>"
    pictures = {cid.lower(): address for cid, address in (cids or {}).items()}

    room = MAX_RENDERED_PICTURES

    def take(address: str | None) -> str | None:
        # One picture that is named ten thousand times is written out so often.
        nonlocal room
        room -= len(address or "")
        return address if room >= 0 else None

    def keep(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return value if tag == "a" and _LINK.match(value.strip()) else None
        if name == "src":
            known = value.strip().lower().startswith("cid:")
            return take(pictures.get(value.strip()[4:].lower())) if known else None
        if name == "style":
            return None if _STYLE_ADDRESS.search(value) else value
        return value

    return nh3.clean(
        markup,
        tags=set(_TAGS),
        clean_content_tags=set(_WITHOUT_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=keep,
        filter_style_properties=set(_STYLES),
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        url_relative="pass_through",
    )


def _is_simple(markup: str) -> bool:
    """Tell whether the tree that a browser would make of it stays small."""
    opened: Counter[str] = Counter()
    depth = formatting = reopened = 0
    for token in read_tokens(markup):
        if isinstance(token, str):
            continue
        if len(token.attributes) > _MAX_ATTRIBUTES:
            return False
        if token.name not in _FORMATTING:
            # A block that begins or ends inside of formatting begins that anew.
            reopened += formatting
            if reopened > _MAX_REOPENED:
                return False
        if token.name in _ENDING:
            continue
        step = -1 if token.ends else 1
        if token.ends and not opened[token.name]:
            continue
        opened[token.name] += step
        depth += step
        formatting += step * (token.name in _FORMATTING)
        if depth > _MAX_OPEN:
            return False
    return True
