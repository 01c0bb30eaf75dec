"""HTML into the text that a person would read, for search, for folding, for plain answers.

One walk over its tags.  Nothing is fetched, nothing is run; what the HTML hides (scripts, styles,
what it says is not displayed) is left out.  Quoted history becomes `> ` lines, so that it folds as
in plain mail.
"""

from __future__ import annotations

import re
from typing import Final

from farhand_server.mail.html_tokens import Tag, read_tokens
from farhand_server.mail.limits import MAX_HTML_CHARS, MAX_TEXT_CHARS

__all__ = ["html_to_text"]

_SILENT: Final = frozenset(("script", "style", "head", "title", "template", "noscript", "svg"))
_BLOCKS: Final = frozenset(
    (
        "address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset",
        "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "li", "main",
        "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "tr", "ul",
    )
)  # fmt: skip
_SPACED: Final = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "ul"))
_EMPTY: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr")
)
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE
)
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_MAX_QUOTES: Final = 20
_MAX_OPEN: Final = 2000


def html_to_text(html: str) -> str:
    """Return the text of an HTML document; at most `MAX_TEXT_CHARS` and a little more."""
    walker = _Walker()
    for token in read_tokens(html[:MAX_HTML_CHARS]):
        if isinstance(token, str):
            walker.say(token)
        elif token.ends:
            walker.leave(token.name)
        else:
            walker.enter(token)
        if walker.full:
            break
    return walker.text()


class _Walker:
    """Writes lines while it walks; `_open` is the way down to where it is."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._size = 0
        self._blank = True
        self._open: list[tuple[str, bool]] = []
        self._silent = 0
        self._quotes = 0
        self._pre = 0
        self._link = ""
        self._link_text: list[str] = []

    @property
    def full(self) -> bool:
        """Tell whether it has as much as anybody reads."""
        return self._size > MAX_TEXT_CHARS

    def enter(self, tag: Tag) -> None:
        """Take the beginning of an element."""
        name, named = tag.name, tag.attributes
        if name in _EMPTY:
            if not self._silent:
                self._mark(name, named)
            return
        hides = name in _SILENT or "hidden" in named
        hides = hides or _HIDDEN.search(named.get("style", "")[:1000]) is not None
        if len(self._open) < _MAX_OPEN:
            self._open.append((name, hides))
            self._silent += hides
        if self._silent:
            return
        self._break(name)
        if name == "blockquote":
            self._quotes = min(self._quotes + 1, _MAX_QUOTES)
        elif name == "pre":
            self._pre += 1
        elif name == "li":
            self._put("- ")
        elif name == "a":
            self._link, self._link_text = named.get("href", ""), []

    def leave(self, name: str) -> None:
        """Take the end of an element, and of those inside it that nobody ended."""
        if not any(one == name for one, _ in self._open[-50:]):
            if name in ("p", "br") and not self._silent:
                self._end_line()
            return
        while self._open:
            one, hides = self._open.pop()
            was_silent = self._silent > 0
            self._silent -= hides
            if not was_silent:
                self._leave(one)
            if one == name:
                break

    def say(self, data: str) -> None:
        """Take text."""
        if self._silent:
            return
        if self._link and len(self._link_text) < 100:
            self._link_text.append(data[:300])
        if self._pre:
            first, *rest = data.replace("\r\n", "\n").split("\n")
            self._put(first)
            for one in rest:
                self._end_line(force=True)
                self._put(one)
            return
        # Non-breaking blanks are blanks to a reader, and to whoever looks for words.
        self._put(_BLANKS.sub(" ", data).replace("\xa0", " "))

    # What it writes.

    def text(self) -> str:
        """Return all lines, with no more than one empty one between two."""
        self._end_line()
        while self._lines and not self._lines[-1].strip("> "):
            self._lines.pop()
        return "\n".join(self._lines)

    def _mark(self, tag: str, named: dict[str, str]) -> None:
        if tag == "br":
            self._end_line(force=True)
        elif tag == "hr":
            self._end_line()
            self._put("-" * 20)
            self._end_line()
        elif tag == "img" and (alt := " ".join(named.get("alt", "").split())[:80]):
            self._put(f"[{alt}]")

    def _leave(self, tag: str) -> None:
        if tag == "a":
            self._show_link()
        self._break(tag)
        if tag == "blockquote":
            self._quotes = max(self._quotes - 1, 0)
        elif tag == "pre":
            self._pre = max(self._pre - 1, 0)
        elif tag in ("td", "th") and self._line:
            self._put(" ")

    def _show_link(self) -> None:
        said = "".join(self._link_text).strip()
        target, self._link = self._link.strip(), ""
        if not target.lower().startswith(("http://", "https://")) or len(target) > 500:
            return
        plain = target.split("://", 1)[1].rstrip("/")
        if plain not in said and said not in ("", target):
            self._put(f" <{target}>")

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._end_line()
            if tag in _SPACED and self._lines and not self._blank:
                self._write("")

    def _put(self, piece: str) -> None:
        if not self._line:
            piece = piece if self._pre else piece.lstrip(" ")
        elif piece.startswith(" ") and self._line[-1].endswith(" ") and not self._pre:
            piece = piece[1:]
        if piece:
            self._line.append(piece)

    def _end_line(self, *, force: bool = False) -> None:
        line = "".join(self._line).rstrip(" ")
        self._line.clear()
        if line or (force and not self._blank):
            self._write(line)

    def _write(self, line: str) -> None:
        mark = "> " * self._quotes if line else ">" * bool(self._quotes)
        self._lines.append(f"{mark}{line}")
        self._size += len(mark) + len(line) + 1
        self._blank = not line
