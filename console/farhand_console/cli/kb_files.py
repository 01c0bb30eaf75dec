"""kb import, kb export: articles as a folder of Markdown files, there and back.

What was exported and is imported again changes nothing: the relay adds a revision only for words
that differ.  An import never deletes; what a folder does not name stays.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from farhand_console.article_files import (
    COLLECTIONS,
    MAX_FILE_BYTES,
    ArticleFile,
    CollectionFile,
    check_name,
    parse_article,
    parse_collection,
    write_article,
    write_collection,
)
from farhand_console.cli.base import Context, command
from farhand_console.output import say, show_table
from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Page
from farhand_console.relay.knowledge import (
    Article,
    ArticlePicture,
    ArticleText,
    ArticleView,
    Collection,
)
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["export_folder", "import_folder", "register"]

_PICTURES: Final = "files"
_DETAILS: Final = ("visibility", "category", "owner", "review_due", "tags", "checks")


def register(kb: click.Group) -> None:
    """Add the commands of this file to `farhand kb`."""

    @command(kb, "export")
    @click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
    def export_all(context: Context, folder: Path) -> None:
        """Write every article, its translations and pictures into a folder."""
        items = export_folder(context.relay, folder)
        answer = {"folder": str(folder), "items": items, "next": None}
        context.show(answer, lambda: say(f"{len(items)} articles are in {folder}"))

    @command(kb, "import")
    @click.argument("folder", required=False, type=click.Path(exists=True, path_type=Path))
    @click.option("--starter", is_flag=True, help="The articles that come with Farhand.")
    def import_all(context: Context, folder: Path | None, starter: bool) -> None:
        """Make or change the articles that a folder holds; nothing is deleted."""
        if (folder is None) != starter:
            raise UsageError("usage", "name a folder, or --starter")
        if folder is None:
            with as_file(files("farhand_console") / "articles") as shipped:
                items = import_folder(context.relay, shipped)
        else:
            items = import_folder(context.relay, folder)
        answer = {"items": items, "next": None}
        rows = [(one["slug"], one["done"], ", ".join(one["languages"])) for one in items]
        context.show(answer, lambda: show_table(("article", "what was done", "languages"), rows))


# Out.


def export_folder(relay: Relay, folder: Path) -> list[dict[str, Any]]:
    """Write what the relay holds; returns what was written.

    Raises:
        FarhandError: `file-unwritable`, `article-file-malformed` for names that are no file's, and
            the relay's.
    """
    items = []
    for state in (None, "archived"):
        for article in relay.pages("/knowledge/articles", Article, limit=100, state=state):
            items.append(_export_article(relay, folder, article))
    for one in relay.get("/knowledge/collections", Page[Collection]).items:
        name = check_name("slug", one.name)
        kept = CollectionFile(
            title=one.title,
            description=one.description,
            articles=[check_name("slug", slug) for slug in one.articles],
        )
        _write(folder / COLLECTIONS / f"{name}.md", write_collection(kept).encode())
    return items


def _export_article(relay: Relay, folder: Path, article: Article) -> dict[str, Any]:
    slug = check_name("slug", article.slug)
    languages = [check_name("language", one.language) for one in article.languages]
    revisions: dict[int, str] = {}
    at = segments("knowledge", "articles", slug, "texts", article.language)
    for text in relay.get(at, Page[ArticleText]).items:
        revisions[text.rev] = text.sha256
    for language in languages:
        view = relay.get(segments("knowledge", "articles", slug), ArticleView, language=language)
        made_from = revisions.get(view.text.from_rev or 0, "0" * 64)
        if language == article.language:
            kept = ArticleFile(
                title=view.text.title,
                body=view.text.body,
                original=True,
                state=article.state,
                visibility=article.visibility,
                category=article.category,
                owner=article.owner,
                review_due=article.review_due or "",
                tags=article.tags,
                checks=article.checks,
            )
        else:
            kept = ArticleFile(
                title=view.text.title, body=view.text.body, original_sha256=made_from
            )
        _write(folder / slug / f"{language}.md", write_article(kept).encode())
    pictures = relay.get(segments("knowledge", "articles", slug, "files"), Page[ArticlePicture])
    for picture in pictures.items:
        name = check_name("picture", picture.name)
        content = relay.get_bytes(segments("knowledge", "articles", slug, "files", name))
        _write(folder / slug / _PICTURES / name, content)
    return {"slug": slug, "languages": languages, "pictures": len(pictures.items)}


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise FarhandError("file-unwritable", f"cannot write {path}: {error.strerror}") from error


# In.


def import_folder(relay: Relay, folder: Path) -> list[dict[str, Any]]:
    """Bring the relay what a folder holds; returns what was done, by article.

    Raises:
        FarhandError: `article-file-malformed`, `file-unreadable`, and the relay's.
    """
    read = {slug: _read_article(folder / slug) for slug in _folders(folder)}
    items = [_import_article(relay, folder / slug, slug, texts) for slug, texts in read.items()]
    for path in sorted((folder / COLLECTIONS).glob("*.md")):
        name = check_name("slug", path.stem)
        kept = parse_collection(_read(path).decode())
        relay.post(segments("knowledge", "collections", name), Collection, kept)
    return items


def _folders(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != COLLECTIONS and any(path.glob("*.md")):
            yield check_name("slug", path.name)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FarhandError("file-unreadable", f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UsageError("article-file-malformed", f"{path} is too large")
    return content


def _read_article(folder: Path) -> dict[str, ArticleFile]:
    """Return the texts of one article by language, the original first."""
    found: dict[str, ArticleFile] = {}
    for path in sorted(folder.glob("*.md")):
        try:
            found[check_name("language", path.stem)] = parse_article(_read(path).decode())
        except UnicodeDecodeError as error:
            raise UsageError("article-file-malformed", f"{path} is not UTF-8") from error
        except UsageError as error:
            raise UsageError(error.code, f"{path}: {error.message}", hint=error.hint) from error
    originals = [language for language, one in found.items() if one.original]
    if len(originals) != 1:
        raise UsageError("article-file-malformed", f"{folder}: one file says original: yes")
    return {originals[0]: found.pop(originals[0]), **found}


def _import_article(
    relay: Relay, folder: Path, slug: str, texts: dict[str, ArticleFile]
) -> dict[str, Any]:
    at = segments("knowledge", "articles", slug)
    language, original = next(iter(texts.items()))
    details: dict[str, Any] = {name: getattr(original, name) for name in _DETAILS}
    before = _there(relay, slug)
    if before is None:
        new = {"slug": slug, "language": language, "title": original.title, "body": original.body}
        article = relay.post("/knowledge/articles", Article, details | new)
    else:
        article = before
        if before.language != language:
            raise UsageError(
                "article-file-malformed", f"{slug} was written in {before.language}, not {language}"
            )
        same = msgspec.to_builtins(before) | {"review_due": before.review_due or ""}
        details = {name: value for name, value in details.items() if value}
        if any(sorted(same[name]) != sorted(value) for name, value in details.items()):
            article = relay.post(
                segments("knowledge", "articles", slug, "details"), Article, details
            )
    for tag, text in texts.items():
        body = {"language": tag, "title": text.title, "body": text.body}
        if not text.original and text.original_sha256:
            body["original_sha256"] = text.original_sha256
        article = relay.post(f"{at}/texts", Article, body)
    _import_pictures(relay, slug, folder / _PICTURES)
    article = _into_state(relay, slug, article, original.state)
    changed = before is None or before.revision != article.revision
    done = "made" if before is None else "changed" if changed else "as it was"
    return {"slug": slug, "done": done, "state": article.state, "languages": list(texts)}


def _there(relay: Relay, slug: str) -> Article | None:
    try:
        return relay.get(segments("knowledge", "articles", slug), Article)
    except FarhandError as error:
        if error.code != "not-found":
            raise
        return None


def _import_pictures(relay: Relay, slug: str, folder: Path) -> None:
    if not folder.is_dir():
        return
    at = segments("knowledge", "articles", slug, "files")
    there = {one.name: one.sha256 for one in relay.get(at, Page[ArticlePicture]).items}
    for path in sorted(folder.iterdir()):
        name, content = check_name("picture", path.name), _read(path)
        if there.get(name) != hashlib.sha256(content).hexdigest():
            body = {"name": name, "content": base64.b64encode(content).decode()}
            relay.post(at, ArticlePicture, body)


def _into_state(relay: Relay, slug: str, article: Article, wanted: str) -> Article:
    """Take the steps that lead to the state that the folder names."""
    steps: list[str] = []
    unseen = any(one.rev != one.published_rev for one in article.languages)
    if article.state == "archived" and wanted != "archived":
        steps.append("restore")
    elif article.state != "draft" and wanted in ("draft", "review") and article.state != wanted:
        steps.append("withdraw")
    if wanted == "published" and (article.state != "published" or unseen):
        steps.append("publish")
    elif wanted == "review" and article.state != "review":
        steps.append("submit")
    elif wanted == "archived" and article.state != "archived":
        steps.append("archive")
    for step in steps:
        at = segments("knowledge", "articles", slug, "step")
        article = relay.post(at, Article, {"step": step})
    return article
