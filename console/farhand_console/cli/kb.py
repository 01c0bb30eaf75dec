"""kb: articles, written, translated, found and used; questions and folders have their own files."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from farhand_console.article_files import MAX_FILE_BYTES
from farhand_console.cli import kb_files, kb_questions, ticket_checks
from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import hint, line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.desk import TicketMessage
from farhand_console.relay.knowledge import (
    Article,
    ArticlePicture,
    ArticleText,
    ArticleUse,
    ArticleView,
    Collection,
    Hit,
)
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["register"]

STATES: Final = ("draft", "review", "published", "archived")
VISIBILITIES: Final = ("public", "customers", "internal")
_STEPS: Final = {
    "submit": "Say that a draft is ready to be read by somebody else.",
    "publish": "Show readers the newest words in every language.",
    "withdraw": "Make it a draft again, which readers do not see.",
    "archive": "Put it away; nothing of it is lost.",
    "restore": "Make an archived article a draft again.",
}
_CHECK: Final = "check."


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    kb = group(root, "kb", "What the desk knows: articles, questions, collections.")
    _register_reading(kb)
    _register_writing(kb)
    _register_using(kb)
    _register_collections(kb)
    kb_files.register(kb)
    kb_questions.register(kb)


def _described(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what an article is."""
    for option in (
        click.option("--check", "checks", multiple=True, help="An approved script that it names."),
        click.option("--tag", "tags", multiple=True, help="May be given again."),
        click.option("--review-due", help="2026-12-31: when somebody reads it again."),
        click.option("--owner", help="Whose it is to keep true."),
        click.option("--category"),
        click.option(
            "--visibility", type=click.Choice(VISIBILITIES), help="internal for a new one."
        ),
    ):
        function = option(function)
    return function


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return what was given; of lists, those with something in them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }


def _words(body: str | None, file: Path | None) -> str | None:
    """Return a text as it was given: typed, or in a file."""
    if body is not None and file is not None:
        raise UsageError("usage", "give --body or --file, not both")
    if file is None:
        return body
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise FarhandError("file-unreadable", f"cannot read {file}: {error}") from error


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def _state(article: Article) -> str:
    unseen = any(one.rev != one.published_rev for one in article.languages)
    return (
        f"{article.state} (edited since)"
        if article.state == "published" and unseen
        else (article.state)
    )


def _languages(article: Article) -> str:
    return " ".join(f"{one.language}{' (stale)' if one.stale else ''}" for one in article.languages)


def _show_articles(items: list[Article]) -> None:
    show_table(
        ("article", "title", "state", "for", "languages", "useful", "used in"),
        [
            (
                one.slug,
                one.title,
                _state(one),
                one.visibility,
                _languages(one),
                f"{one.useful}/{one.useful + one.not_useful}",
                one.used_in,
            )
            for one in items
        ],
    )


def _register_reading(kb: click.Group) -> None:
    @command(kb, "list")
    @click.option("--state", type=click.Choice(STATES), help="All but archived without.")
    @click.option("--visibility", type=click.Choice(VISIBILITIES))
    @click.option("--category")
    @click.option("--tag")
    @click.option("--owner")
    @click.option("--language", help="Those that are written in it.")
    @click.option("--stale", is_flag=True, help="With a translation of an older original.")
    @paged
    def list_articles(
        context: Context, stale: bool, limit: int, cursor: str | None, **wanted: Any
    ) -> None:
        """List articles."""
        page = context.relay.get(
            "/knowledge/articles",
            Page[Article],
            stale="true" if stale else None,
            limit=limit,
            cursor=cursor,
            **wanted,
        )
        context.show(page, lambda: _show_articles(page.items))

    @command(kb)
    @click.argument("slug")
    @click.option("--language", help="de, or several, best first: pt-BR,en.")
    @click.option("--rev", type=click.IntRange(1), help="An older revision.")
    @click.option("--revisions", is_flag=True, help="List the revisions in one language.")
    def show(
        context: Context, slug: str, language: str | None, rev: int | None, revisions: bool
    ) -> None:
        """Show an article, in the language that is read best."""
        at = segments("knowledge", "articles", slug)
        view = context.relay.get(at, ArticleView, language=language, rev=rev)
        if revisions:
            page = context.relay.get(f"{at}/texts/{view.text.language}", Page[ArticleText])
            rows = [(one.rev, one.at, one.author, one.title, one.from_rev) for one in page.items]
            names = ("revision", "at", "by", "title", "made of")
            context.show(page, lambda: show_table(names, rows))
            return
        context.show(view, lambda: _show_article(view))

    @command(kb)
    @click.argument("words", nargs=-1, required=True)
    @click.option("--language", help="The one that is read best.")
    @click.option("--limit", type=click.IntRange(1, 50), default=20, show_default=True)
    def search(context: Context, words: tuple[str, ...], language: str | None, limit: int) -> None:
        """Find articles that answer a question; stems and parts of words are found as well."""
        page = context.relay.get(
            "/knowledge/search", Page[Hit], q=" ".join(words), language=language, limit=limit
        )
        rows = [(one.slug, one.language, one.title, one.snippet) for one in page.items]
        context.show(page, lambda: show_table(("article", "in", "title", "says"), rows))

    @command(kb)
    @click.argument("slug", required=False)
    @click.option("--due", help="Read: the next time is 2027-06-30; none for never.")
    @click.option("--before", help="Due by then; today without.")
    @click.option("--owner", help="Whose.")
    @paged
    def review(
        context: Context,
        slug: str | None,
        due: str | None,
        before: str | None,
        owner: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List the articles that somebody should read again, or say when to read one next."""
        if (slug is None) != (due is None):
            raise UsageError("usage", "name an article and --due together, or neither")
        if slug is not None:
            at = segments("knowledge", "articles", slug, "details")
            body = {"review_due": "" if due == "none" else due}
            article = context.relay.post(at, Article, body)
            context.show(article, lambda: line(f"{article.slug}  {article.review_due or 'never'}"))
            return
        page = context.relay.get(
            "/knowledge/articles",
            Page[Article],
            due_before=before or datetime.now(UTC).date().isoformat(),
            owner=owner,
            limit=limit,
            cursor=cursor,
        )
        rows = [(one.review_due, one.slug, one.title, one.owner) for one in page.items]
        context.show(page, lambda: show_table(("due", "article", "title", "owner"), rows))


def _show_article(view: ArticleView) -> None:
    fields: dict[str, object] = {
        "article": view.slug,
        "title": view.text.title,
        "state": _state(view),
        "for": view.visibility,
        "language": f"{view.text.language} (of {_languages(view)})",
        "owner": view.owner,
    }
    more = {
        "category": view.category,
        "tags": view.tags,
        "checks": view.checks,
        "review due": view.review_due,
        "pictures": [one.name for one in view.files],
    }
    fields |= {name: value for name, value in more.items() if value}
    fields["useful"] = f"{view.useful} yes, {view.not_useful} no; used in {view.used_in} tickets"
    show_fields(fields)
    if view.text.stale:
        line("a translation of an older original")
    line("")
    for words in view.text.body.splitlines():
        line(words, 4000)


def _register_writing(kb: click.Group) -> None:
    @command(kb)
    @click.option("--title", required=True)
    @click.option("--body", help="Markdown.")
    @click.option("--file", type=_FILE, help="Markdown in a file.")
    @click.option("--language", default="en", show_default=True)
    @click.option("--slug", help="Its name in addresses; made of the title without.")
    @_described
    def new(context: Context, body: str | None, file: Path | None, **options: Any) -> None:
        """Write an article: a draft that the desk alone reads, until it is published."""
        words = _words(body, file)
        if words is None:
            raise UsageError("usage", "what does it say?", hint="--body or --file")
        article = context.relay.post(
            "/knowledge/articles", Article, {**_given(options), "body": words}
        )
        context.show(article, lambda: line(article.slug))

    @command(kb)
    @click.argument("slug")
    @click.option("--title")
    @click.option("--body", help="Markdown.")
    @click.option("--file", type=_FILE, help="Markdown in a file.")
    @click.option("--language", help="Of the words; the original's without.")
    @click.option("--rename", help="A new slug; the old one leads nowhere.")
    @_described
    def edit(
        context: Context,
        slug: str,
        title: str | None,
        body: str | None,
        file: Path | None,
        language: str | None,
        rename: str | None,
        **options: Any,
    ) -> None:
        """Change an article; new words are a revision, which readers see once it is published."""
        options["slug"] = rename
        details, words = _given(options), _words(body, file)
        if not details and title is None and words is None:
            raise UsageError("usage", "nothing was given to change", hint="farhand kb edit -h")
        at = segments("knowledge", "articles", slug)
        before = context.relay.get(at, ArticleView, language=language)
        article: Article = before
        if title is not None or words is not None:
            tag = language or before.language
            if before.text.language != tag:
                raise UsageError(
                    "usage", f"{slug} is not there in {tag}", hint="farhand kb translate"
                )
            text = {"language": tag, "title": title or before.text.title}
            text["body"] = words if words is not None else before.text.body
            article = context.relay.post(f"{at}/texts", Article, text, if_match=before.revision)
        if details:
            article = context.relay.post(
                f"{at}/details", Article, details, if_match=article.revision
            )
        context.show(article, lambda: line(f"{article.slug}  {_state(article)}"))

    @command(kb)
    @click.argument("slug")
    @click.argument("language")
    @click.option("--title", required=True)
    @click.option("--body", help="Markdown.")
    @click.option("--file", type=_FILE, help="Markdown in a file.")
    @click.option("--from-rev", type=click.IntRange(1), help="Of the original; its newest without.")
    def translate(
        context: Context,
        slug: str,
        language: str,
        title: str,
        body: str | None,
        file: Path | None,
        from_rev: int | None,
    ) -> None:
        """Say in another language what an article says; it is stale once the original goes on."""
        words = _words(body, file)
        if words is None:
            raise UsageError("usage", "what does it say?", hint="--body or --file")
        text = {"language": language, "title": title, "body": words}
        given = text if from_rev is None else {**text, "from_rev": from_rev}
        at = segments("knowledge", "articles", slug, "texts")
        article = context.relay.post(at, Article, given)
        context.show(article, lambda: line(f"{article.slug}  {_languages(article)}"))

    def step_command(name: str, words: str) -> None:
        @command(kb, name, help=words)
        @click.argument("slug")
        def step(context: Context, slug: str) -> None:
            at = segments("knowledge", "articles", slug, "step")
            article = context.relay.post(at, Article, {"step": name})
            context.show(article, lambda: line(f"{article.slug}  {article.state}"))

    for name, words in _STEPS.items():
        step_command(name, words)

    @command(kb)
    @click.argument("slug")
    @click.argument("file", required=False, type=_FILE)
    @click.option("--name", help="The file's by default.")
    @click.option("--remove", help="Take this one away.")
    def picture(
        context: Context, slug: str, file: Path | None, name: str | None, remove: str | None
    ) -> None:
        """Add a picture, shown by ![what it shows](NAME.png); without a file, list them."""
        at = segments("knowledge", "articles", slug, "files")
        if remove is not None:
            there = segments("knowledge", "articles", slug, "files", remove, "remove")
            page = context.relay.post(there, Page[ArticlePicture])
        elif file is not None:
            with file.open("rb") as opened:
                content = base64.b64encode(opened.read(MAX_FILE_BYTES + 1)).decode()
            context.relay.post(at, ArticlePicture, {"name": name or file.name, "content": content})
            page = context.relay.get(at, Page[ArticlePicture])
        else:
            page = context.relay.get(at, Page[ArticlePicture])
        rows = [(one.name, one.media_type, one.size_bytes) for one in page.items]
        context.show(page, lambda: show_table(("picture", "type", "bytes"), rows))


def _register_using(kb: click.Group) -> None:
    @command(kb)
    @click.argument("slug")
    @click.option("--useful/--not-useful", default=True, show_default=True)
    def vote(context: Context, slug: str, useful: bool) -> None:
        """Say whether an article helped; a later word of yours counts instead."""
        at = segments("knowledge", "articles", slug, "vote")
        article = context.relay.post(at, Article, {"useful": useful})
        context.show(article, lambda: line(f"{article.useful} yes, {article.not_useful} no"))

    @command(kb)
    @click.argument("slug")
    @click.argument("number")
    @click.option("--words", default="", help="Said before it.")
    @click.option("--link", is_flag=True, help="Its title and address instead of its text.")
    @click.option("--language", default="", help="The ticket's without.")
    def reply(
        context: Context, slug: str, number: str, words: str, link: bool, language: str
    ) -> None:
        """Answer the requester of a ticket with an article that she may read."""
        at = segments("knowledge", "articles", slug, "reply")
        body = {"ticket": number, "words": words, "language": language}
        body["form"] = "link" if link else "text"
        said = context.relay.post(at, TicketMessage, body)
        context.show(said, lambda: say("reply added"))

    @command(kb)
    @click.argument("slug")
    @click.option("--ticket", help="Note that it helped there.")
    def used(context: Context, slug: str, ticket: str | None) -> None:
        """List the tickets on which an article was used, or note one."""
        at = segments("knowledge", "articles", slug, "uses")
        if ticket is not None:
            context.relay.post(at, Article, {"ticket": ticket})
        page = context.relay.get(at, Page[ArticleUse])
        rows = [(one.ticket, one.kind, one.actor, one.at) for one in page.items]
        context.show(page, lambda: show_table(("ticket", "as", "by", "at"), rows))

    @command(kb)
    @click.argument("number")
    @click.option("--message", type=int, help="Its seq; the desk's last answer without.")
    @click.option("--title", help="The ticket's without.")
    @click.option("--language", help="The ticket's without, else en.")
    @click.option("--slug", help="Its name in addresses; made of the title without.")
    @_described
    def promote(context: Context, number: str, **options: Any) -> None:
        """Make a draft of something that was said on a ticket."""
        body = {**_given(options), "ticket": number}
        article = context.relay.post("/knowledge/promote", Article, body)
        context.show(article, lambda: line(article.slug))
        if not context.as_json:
            hint("names and passwords of the ticket do not belong in it: farhand kb edit")

    @command(kb)
    @click.argument("slug")
    @click.argument("number")
    @click.option("--device", help="Id or unique name, where the ticket names none.")
    @click.option("--ttl", type=click.IntRange(60, 86_400), default=900, show_default=True)
    def run(context: Context, slug: str, number: str, device: str | None, ttl: int) -> None:
        """Order the approved checks that an article names on a ticket's device, as ticket check."""
        article = context.relay.get(segments("knowledge", "articles", slug), Article)
        checks = tuple(one for one in article.checks if one.startswith(_CHECK))
        for other in article.checks:
            if other not in checks:
                hint(f"{other} is no check: farhand run {other} --device D --ticket {number}")
        if not checks:
            raise FarhandError("script-unknown", f"{article.slug} names no check")
        at = segments("knowledge", "articles", slug, "uses")
        context.relay.post(at, Article, {"ticket": number})
        holder = click.Group()
        ticket_checks.register(holder)
        click.get_current_context().invoke(
            holder.commands["check"],
            number=number,
            checks=checks,
            pack=None,
            device=device,
            ttl=ttl,
            home=str(context.home.folder),
            as_json=context.as_json,
        )


def _register_collections(kb: click.Group) -> None:
    collections = group(kb, "collections", "Articles in an order, to be read one after the other.")

    @command(collections, "list")
    def list_collections(context: Context) -> None:
        """List collections; they are few, so all of them."""
        page = context.relay.get("/knowledge/collections", Page[Collection])
        rows = [(one.name, one.title, len(one.articles)) for one in page.items]
        context.show(page, lambda: show_table(("collection", "title", "articles"), rows))

    @command(collections)
    @click.argument("name")
    def show(context: Context, name: str) -> None:
        """Show a collection."""
        found = context.relay.get(segments("knowledge", "collections", name), Collection)
        context.show(found, lambda: _show_collection(found))

    @command(collections, "set")
    @click.argument("name")
    @click.argument("articles", nargs=-1)
    @click.option("--title", help="The name by default.")
    @click.option("--description", default="")
    def set_one(
        context: Context, name: str, articles: tuple[str, ...], title: str | None, description: str
    ) -> None:
        """Make a collection of these articles in this order, or put them in place of others."""
        body = {"title": title or name, "description": description, "articles": list(articles)}
        made = context.relay.post(segments("knowledge", "collections", name), Collection, body)
        context.show(made, lambda: _show_collection(made))

    @command(collections)
    @click.argument("name")
    def remove(context: Context, name: str) -> None:
        """Take a collection away; its articles stay."""
        at = segments("knowledge", "collections", name, "remove")
        page = context.relay.post(at, Page[Collection])
        context.show(page, lambda: say(f"{name} is gone"))


def _show_collection(found: Collection) -> None:
    show_fields({"collection": found.name, "title": found.title, "about": found.description})
    for place, slug in enumerate(found.articles, 1):
        line(f"{place}. {slug}")
