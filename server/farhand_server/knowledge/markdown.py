"""Markdown as articles hold it: made into HTML, plain text, steps and passages.

What it is: pure functions over one text.  What it is not: a way to bring HTML in; none passes.
Nothing is ever loaded from elsewhere: a picture is the name of one of the article's own files, and
any other is left as its words.  Links go to http, https, mailto, tel, or `article:SLUG`.

    ![the blue window](window.png)          a picture of the article's own
    [more](article:what-is-a-code)          another article
    ```video https://example.org/v Title    a film elsewhere: a link, and below it
    what is said in it                      its words, which are searched
    ```

A tutorial is an ordered list: each item a step, with its pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = [
    "FILE_NAME",
    "Passage",
    "Picture",
    "Step",
    "file_names",
    "passages",
    "plain_text",
    "render",
    "steps",
]

# What the name of an article's file looks like.
FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}\.(?:png|jpg|jpeg|gif|webp)\Z")
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}\Z")
_SCHEMES: Final = frozenset({"http", "https", "mailto", "tel", "article"})
_VIDEO: Final = "video"
# Timing lines and headers of caption files say nothing.
_TIMING: Final = re.compile(r"\s*(?:WEBVTT.*|\d+|[\d:.,]+\s*-->.*)\Z")
_MAX_NESTING: Final = 20


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a step: the article's file, and what it shows in words."""

    file: str
    caption: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a tutorial."""

    text: str
    pictures: list[Picture]


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an article that stands below one heading, as plain text."""

    heading: str
    text: str


def _link_allowed(url: str) -> bool:
    """Tell whether a link, or a picture's place, means something that we show."""
    if FILE_NAME.match(url):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme.lower() not in _SCHEMES:
        return False
    return parts.scheme != "article" or _SLUG.match(parts.path) is not None


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = _link_allowed  # type: ignore[method-assign]
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link)
    parser.add_render_rule("fence", _fence)
    return parser


def render(body: str, *, files_at: str, articles_at: str) -> str:
    """Return the HTML of a text; safe to show, and it loads nothing but the article's own files.

    Args:
        body: Markdown, bounded by the caller.
        files_at: address in front of a file's name, such as `/kb/what-is-a-code/files/`.
        articles_at: address in front of another article's slug.
    """
    parser = _parser()
    env = {"files_at": files_at, "articles_at": articles_at}
    return str(parser.renderer.render(parser.parse(body, env), parser.options, env))


def _image(_self: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    name, words = str(tokens[index].attrGet("src") or ""), escape(_words_of([tokens[index]]))
    if not FILE_NAME.match(name):
        return f"<em>{words}</em>"
    return f'<img src="{escape(env["files_at"] + name)}" alt="{words}">'


def _link(_self: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    url = str(tokens[index].attrGet("href") or "")
    if url.lower().startswith("article:"):
        return f'<a href="{escape(env["articles_at"] + url[8:])}">'
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">'


def _video(info: str) -> tuple[str, str] | None:
    """Return address and title of a film; None where it is none."""
    kind, _, rest = info.strip().partition(" ")
    url, _, title = rest.strip().partition(" ")
    if kind != _VIDEO or not url.startswith("https://") or not _link_allowed(url):
        return None
    return url, title.strip() or url


def _captions(content: str) -> str:
    return "\n".join(one for one in content.splitlines() if not _TIMING.match(one)).strip()


def _fence(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    video = _video(token.info)
    if video is None:
        return f"<pre><code>{escape(token.content)}</code></pre>\n"
    url, title = video
    link = f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">{escape(title)}</a>'
    said = escape(_captions(token.content))
    return f'<figure class="video">{link}<figcaption>{said}</figcaption></figure>\n'


# Words.


def _words_of(tokens: Sequence[Token]) -> str:
    """Return the words of tokens, without marks; blocks are parted by line ends."""
    found: list[str] = []
    for token in tokens:
        if token.type == "image":
            found.append(_words_of(token.children or []))
        elif token.type in ("text", "code_inline", "text_special"):
            found.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            found.append("\n")
        elif token.type == "fence" and (video := _video(token.info)) is not None:
            found.append(f"{video[1]}\n{_captions(token.content)}\n")
        elif token.type in ("fence", "code_block"):
            found.append(token.content)
        elif token.children:
            found.append(_words_of(token.children))
        if token.type == "inline":
            found.append("\n")
        elif token.type.endswith(("td_close", "th_close")):
            found.append(" ")
    return "".join(found)


def plain_text(body: str) -> str:
    """Return the words of a text without its marks; what films say is among them."""
    return _words_of(_parser().parse(body)).strip()


def passages(body: str) -> list[Passage]:
    """Return the parts of a text below its headings; those without words are left out."""
    tokens = _parser().parse(body)
    found: list[Passage] = []
    heading, part = "", list[Token]()

    def close() -> None:
        if words := _words_of(part).strip():
            found.append(Passage(heading=heading, text=words))

    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            close()
            part = []
            heading = _words_of([tokens[index + 1]]).strip()
        elif not (index and tokens[index - 1].type == "heading_open"):
            part.append(token)
    close()
    return found


def steps(body: str) -> list[Step]:
    """Return the steps of a tutorial: the items of the text's first ordered list, if any."""
    found: list[Step] = []
    for item in _items(_parser().parse(body)):
        pictures = [
            Picture(file=str(one.attrGet("src")), caption=_words_of([one]).strip())
            for one in _images(item)
            if FILE_NAME.match(str(one.attrGet("src")))
        ]
        words = _words_of(list(_without_images(item))).strip()
        found.append(Step(text=words, pictures=pictures))
    return found


def _items(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of each item of the first ordered list on the top level."""
    begin = next(
        (n for n, one in enumerate(tokens) if one.type == "ordered_list_open" and one.level == 0),
        None,
    )
    if begin is None:
        return
    item: list[Token] = []
    for token in tokens[begin + 1 :]:
        if token.type == "ordered_list_close" and token.level == 0:
            return
        if token.type == "list_item_close" and token.level == 1:
            yield item
            item = []
        else:
            item.append(token)


def _images(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type == "image":
            yield token
        elif token.children:
            yield from _images(token.children)


def _without_images(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type == "inline":
            children = [one for one in token.children or [] if one.type != "image"]
            yield token.copy(children=children)
        else:
            yield token


def file_names(body: str) -> list[str]:
    """Return the article's own files that a text shows, each once."""
    found = (str(one.attrGet("src")) for one in _images(_parser().parse(body)))
    return list(dict.fromkeys(name for name in found if FILE_NAME.match(name)))
