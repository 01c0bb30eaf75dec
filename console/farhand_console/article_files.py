"""Articles as a folder of Markdown files, for teams that keep them under version control.

    FOLDER/SLUG/LANG.md            one text each; the original holds what is said of the article
    FOLDER/SLUG/files/NAME.png     its pictures
    FOLDER/_collections/NAME.md    a collection: its articles, one in each line

A file begins with plain `name: value` lines between two lines of `---`.  Pure functions: text in,
structs out, and back; what was written reads the same.  Slugs, languages and names become paths, so
all of them are judged here, whoever they come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from farhand_protocol.errors import UsageError

__all__ = [
    "COLLECTIONS",
    "MAX_FILE_BYTES",
    "ArticleFile",
    "CollectionFile",
    "check_name",
    "parse_article",
    "parse_collection",
    "write_article",
    "write_collection",
]

COLLECTIONS: Final = "_collections"
# Of one Markdown file, and of one picture.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024

_RULE: Final = "---"
_NAMES: Final = {
    "slug": re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z"),
    "language": re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?\Z"),
    "picture": re.compile(r"[a-z0-9][a-z0-9_-]{0,59}\.(?:png|jpg|jpeg|gif|webp)\Z"),
}
_MAX_NAME_CHARS: Final = 80
_LISTS: Final = frozenset({"tags", "checks"})
# What only an original says, in the order in which it is written.
_OF_ARTICLE: Final = (
    "state",
    "visibility",
    "category",
    "owner",
    "review_due",
    "tags",
    "checks",
)


class ArticleFile(msgspec.Struct, frozen=True, kw_only=True):
    """One text; `original` says that it is the one that others were translated from.

    `original_sha256` is the relay's digest of the original that a translation was made of, empty
    for the newest one.  The rest is there in an original only.
    """

    title: str
    body: str
    original: bool = False
    original_sha256: str = ""
    state: str = "draft"
    visibility: str = "internal"
    category: str = ""
    owner: str = ""
    review_due: str = ""
    tags: list[str] = []
    checks: list[str] = []


class CollectionFile(msgspec.Struct, frozen=True, kw_only=True):
    """One collection."""

    title: str
    description: str
    articles: list[str]


def check_name(kind: str, name: str) -> str:
    """Return a name that may stand in a path.

    Args:
        kind: slug, language or picture.
        name: as it came.

    Raises:
        UsageError: `article-file-malformed`.
    """
    if len(name) > _MAX_NAME_CHARS or not _NAMES[kind].match(name):
        raise _malformed(f"{name[:80]!r} is no {kind}")
    return name


def _malformed(words: str) -> UsageError:
    return UsageError("article-file-malformed", words, hint="farhand kb export shows the form")


def _one_line(value: str) -> str:
    return " ".join(value.split())


def _written(head: Mapping[str, str], body: str) -> str:
    lines = [f"{name}: {value}" for name, value in head.items() if value]
    return "\n".join((_RULE, *lines, _RULE, "", body.strip("\n"), ""))


def _parsed(text: str) -> tuple[dict[str, str], str]:
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != _RULE or _RULE not in [line.strip() for line in lines[1:]]:
        raise _malformed("a file begins with name: value lines between two lines of ---")
    end = next(n for n, line in enumerate(lines[1:], 1) if line.strip() == _RULE)
    head: dict[str, str] = {}
    for line in lines[1:end]:
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or name.strip() in head:
            raise _malformed(f"{line[:80]!r} is not one name: value")
        head[name.strip()] = value.strip()
    return head, "\n".join(lines[end + 1 :]).strip()


def write_article(article: ArticleFile) -> str:
    """Return the text of a file."""
    head = {"title": _one_line(article.title)}
    if article.original:
        head["original"] = "yes"
        for name in _OF_ARTICLE:
            value = getattr(article, name)
            head[name] = ", ".join(value) if name in _LISTS else _one_line(value)
    else:
        head["original_sha256"] = article.original_sha256
    return _written(head, article.body)


def parse_article(text: str) -> ArticleFile:
    """Read a file.

    Raises:
        UsageError: `article-file-malformed`.
    """
    head, body = _parsed(text)
    unknown = head.keys() - {"title", "original", "original_sha256", *_OF_ARTICLE}
    if unknown or not head.get("title") or not body:
        about = f"what is {sorted(unknown)[0]!r}?" if unknown else "a title and a text are needed"
        raise _malformed(about)
    original = head.pop("original", "no").lower() == "yes"
    if not original and head.keys() & set(_OF_ARTICLE):
        raise _malformed("only the original (original: yes) says what the article is")
    plain = {name: value for name, value in head.items() if name not in _LISTS}
    listed = {
        name: [part.strip() for part in head.get(name, "").split(",") if part.strip()]
        for name in _LISTS
    }
    return ArticleFile(
        body=body, original=original, tags=listed["tags"], checks=listed["checks"], **plain
    )


def write_collection(collection: CollectionFile) -> str:
    """Return the text of a collection's file."""
    items = "\n".join(f"- {slug}" for slug in collection.articles)
    head = {"title": _one_line(collection.title), "about": _one_line(collection.description)}
    return _written(head, items)


def parse_collection(text: str) -> CollectionFile:
    """Read a collection's file.

    Raises:
        UsageError: `article-file-malformed`.
    """
    head, body = _parsed(text)
    if head.keys() - {"title", "about"} or not head.get("title"):
        raise _malformed("a collection has a title, and says in one line what it is about")
    slugs = [line.strip().removeprefix("-").strip() for line in body.splitlines() if line.strip()]
    return CollectionFile(
        title=head["title"], description=head.get("about", ""), articles=_slugs(slugs)
    )


def _slugs(names: Sequence[str]) -> list[str]:
    return [check_name("slug", name) for name in names]
