"""HTML cut into tags and text, in one walk that never looks back.

Not a parser: it builds no tree and repairs nothing, and nothing that it lets through is shown as
HTML (that is `mail.rendering`).  The standard library's `html.parser` takes quadratic time for tags
and comments that nobody closes, which a stranger's mail may well hold; here what is not closed ends
the document, as it does in a browser.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Tag", "read_tokens", "unescape"]

# Their content is no markup up to their own end.
_RAW: Final = ("script", "style", "title", "textarea", "xmp", "noframes", "iframe", "noembed")
_NAME = re.compile(r"[A-Za-z][^\s/>]{0,60}")
# A quotation mark that nobody closes is tried once in a document, since none follows it.
_ATTRIBUTE = re.compile(r"([^\s/>=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"'][^\s>]*))?)?")
_GAP = re.compile(r"[\s/=]*")
# int() of thousands of digits is refused by Python.
_GIANT = re.compile(r"&#[0-9]{8,}|&#[xX][0-9a-fA-F]{7,}")
_MAX_ATTRIBUTES: Final = 100


class Tag(NamedTuple):
    """A tag: its name in lower case, whether it ends an element, its attributes when it begins."""

    name: str
    ends: bool
    attributes: dict[str, str]


def unescape(text: str) -> str:
    """Return text with its character references undone."""
    return html.unescape(_GIANT.sub("\ufffd", text)) if "&" in text else text


def read_tokens(markup: str) -> Iterator[Tag | str]:
    """Yield tags and the text between them, its character references undone."""
    lowered = markup.lower() if markup.isascii() else None
    at = 0
    while at < len(markup):
        start = markup.find("<", at)
        if start < 0:
            yield unescape(markup[at:])
            return
        if start > at:
            yield unescape(markup[at:start])
        follows = markup[start + 1 : start + 2]
        if follows in ("!", "?"):
            at = _declaration_end(markup, start)
        elif follows == "/":
            name = _NAME.match(markup, start + 2)
            at = markup.find(">", start) + 1
            if at and name is not None:
                yield Tag(name[0].lower(), True, {})
        elif (name := _NAME.match(markup, start + 1)) is not None:
            attributes, at = _attributes(markup, name.end())
            if at:
                tag = Tag(name[0].lower(), False, attributes)
                yield tag
                if tag.name in _RAW:
                    at = _raw_end(markup, lowered, tag.name, at)
        else:
            yield "<"
            at = start + 1
        if not at:
            return


def _declaration_end(markup: str, start: int) -> int:
    if markup.startswith("<!--", start):
        if markup.startswith(("<!-->", "<!--->"), start):
            return markup.index(">", start) + 1
        end = markup.find("-->", start + 4)
        return end + 3 if end >= 0 else 0
    return markup.find(">", start) + 1


def _attributes(markup: str, at: int) -> tuple[dict[str, str], int]:
    named: dict[str, str] = {}
    while True:
        gap = _GAP.match(markup, at)
        at = gap.end() if gap is not None else at
        if markup[at : at + 1] == ">":
            return named, at + 1
        match = _ATTRIBUTE.match(markup, at)
        if match is None:
            # The document ends inside of it, so it was no tag.
            return named, 0
        at = match.end()
        if len(named) < _MAX_ATTRIBUTES:
            value = match[2] or match[3] or match[4] or ""
            named.setdefault(match[1].lower()[:60], unescape(value))


def _raw_end(markup: str, lowered: str | None, name: str, at: int) -> int:
    # Lower case may change the length of other than ASCII text, so that needs a search of its own.
    if lowered is not None:
        end = lowered.find(f"</{name}", at)
        return end if end >= 0 else 0
    found = re.compile(f"</{name}", re.IGNORECASE | re.ASCII).search(markup, at)
    return found.start() if found is not None else 0
