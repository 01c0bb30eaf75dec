"""canned, checklist, filter, form: what a desk keeps ready for its tickets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Nothing, Page
from farhand_console.relay.desk import CannedReply, Checklist, Listing, SavedFilter, TicketForm
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["register"]

_MAX_FILE_BYTES = 1024 * 1024
_FILTERS = ("state", "owner", "queue", "kind", "priority", "device", "q")
_SORTS = ("newest", "oldest", "priority", "due", "updated")


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    _register_canned(group(root, "canned", "Replies that are written already."))
    _register_checklists(group(root, "checklist", "What is to be done for a kind of request."))
    _register_filters(group(root, "filter", "Lists of tickets kept under a name."))
    _register_forms(group(root, "form", "What a kind of ticket is asked."))


def _register_canned(canned: click.Group) -> None:
    @command(canned, "list")
    @paged
    def list_canned(context: Context, limit: int, cursor: str | None) -> None:
        """List canned replies, each language of them."""
        page = context.relay.get("/canned-replies", Page[CannedReply], limit=limit, cursor=cursor)
        rows = [(one.key, one.language, one.title, one.changed_by) for one in page.items]
        context.show(page, lambda: show_table(("key", "language", "title", "by"), rows))

    @command(canned, "set")
    @click.argument("key")
    @click.argument("body")
    @click.option("--language", required=True, help="de, or pt-BR.")
    @click.option("--title", default="", help="What it is for; the key by default.")
    def set_canned(context: Context, key: str, body: str, language: str, title: str) -> None:
        """Write a reply in one language: Markdown, with variables such as {ticket.number}.

        Further: ticket.title, .state, .priority, .queue and .due_at, requester.name, agent.name,
        device.name, organisation.name, and param.NAME for what is said when it is sent.
        """
        given = {"language": language, "title": title, "body": body}
        made = context.relay.post(segments("canned-replies", key), CannedReply, given)
        context.show(made, lambda: line(f"{made.key}  {made.language}"))

    @command(canned)
    @click.argument("key")
    @click.option("--language", help="Only this one.")
    def drop(context: Context, key: str, language: str | None) -> None:
        """Take a reply away."""
        path = segments("canned-replies", key, "drop")
        context.relay.post(path, Nothing, {"language": language})
        context.show({"key": key, "language": language}, lambda: say(f"{key} is gone"))


def _register_checklists(checklists: click.Group) -> None:
    @command(checklists, "list")
    def list_checklists(context: Context) -> None:
        """List checklists; they are few, so all of them."""
        page = context.relay.get("/checklists", Page[Checklist])
        rows = [
            (one.name, one.kind, len(one.items), "yes" if one.holds_back else "no", one.title)
            for one in page.items
        ]
        names = ("name", "given to", "items", "holds back", "title")
        context.show(page, lambda: show_table(names, rows))

    @command(checklists, "set")
    @click.argument("name")
    @click.option("--item", "items", multiple=True, help="WORDS, or SCRIPT::WORDS.")
    @click.option("--optional", "optional", multiple=True, help="As --item, not required.")
    @click.option("--kind", help="Each new ticket of this kind gets it.")
    @click.option("--title", default="", help="The name by default.")
    @click.option(
        "--holds-back/--never-holds-back",
        default=True,
        show_default=True,
        help="Whether a ticket is resolved only when the required items are done.",
    )
    def set_checklist(
        context: Context,
        name: str,
        items: tuple[str, ...],
        optional: tuple[str, ...],
        kind: str | None,
        title: str,
        holds_back: bool,
    ) -> None:
        """Make a checklist, or replace it for tickets to come."""
        body = {
            "items": [_item(one, True) for one in items] + [_item(one, False) for one in optional],
            "kind": kind,
            "title": title,
            "holds_back": holds_back,
        }
        made = context.relay.post(segments("checklists", name), Checklist, body)
        context.show(made, lambda: line(f"{made.name}  {len(made.items)} items"))

    @command(checklists)
    @click.argument("name")
    def drop(context: Context, name: str) -> None:
        """Take a checklist away; tickets that have it keep it."""
        context.relay.post(segments("checklists", name, "drop"), Page[Checklist])
        context.show({"name": name}, lambda: say(f"{name} is gone"))


def _item(words: str, required: bool) -> dict[str, Any]:
    script, separator, rest = words.partition("::")
    if not separator:
        return {"words": words, "required": required}
    return {"words": rest, "required": required, "script": script}


def _register_filters(filters: click.Group) -> None:
    @command(filters, "list")
    def list_filters(context: Context) -> None:
        """List one's own lists and those that others share."""
        page = context.relay.get("/ticket-filters", Page[SavedFilter])
        rows = [
            (one.name, one.owner, "yes" if one.shared else "no", _told(one.listing))
            for one in page.items
        ]
        context.show(page, lambda: show_table(("name", "of", "shared", "list"), rows))

    @command(filters)
    @click.argument("name")
    @click.option("--state")
    @click.option("--owner", help="Whose; none for nobody's.")
    @click.option("--queue")
    @click.option("--kind")
    @click.option("--priority", type=click.Choice(["urgent", "high", "normal", "low"]))
    @click.option("--device", help="The device's id.")
    @click.option("--query", "q", help="Words in the title.")
    @click.option("--tier", type=click.IntRange(1, 3))
    @click.option("--late", is_flag=True, help="Something was due, and is not done.")
    @click.option("--sort", type=click.Choice(_SORTS), default="newest", show_default=True)
    @click.option("--columns", help="number,title,... as the list shows and writes them.")
    @click.option("--shared", is_flag=True, help="For everybody of the desk.")
    def save(
        context: Context,
        /,
        name: str,
        tier: int | None,
        late: bool,
        sort: str,
        columns: str | None,
        shared: bool,
        **given: str | None,
    ) -> None:
        """Keep a list under a name: farhand ticket list --filter NAME."""
        wanted: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if tier is not None:
            wanted["tier"] = tier
        if late:
            wanted["late"] = True
        listing: dict[str, Any] = {"wanted": wanted, "sort": sort}
        if columns is not None:
            listing["columns"] = [one.strip() for one in columns.split(",")]
        body = {"listing": listing, "shared": shared}
        kept = context.relay.post(segments("ticket-filters", name), SavedFilter, body)
        context.show(kept, lambda: line(f"{kept.name}  {_told(kept.listing)}"))

    @command(filters)
    @click.argument("name")
    def drop(context: Context, name: str) -> None:
        """Forget one's own list."""
        context.relay.post(segments("ticket-filters", name, "drop"), Page[SavedFilter])
        context.show({"name": name}, lambda: say(f"{name} is gone"))


def _told(listing: Listing) -> str:
    parts = [f"{key}={value}" for key, value in listing.wanted.items() if value is not None]
    return " ".join([*parts, listing.sort])


def _register_forms(forms: click.Group) -> None:
    @command(forms, "list")
    def list_forms(context: Context) -> None:
        """List what each kind of ticket is asked."""
        page = context.relay.get("/ticket-forms", Page[TicketForm])
        rows = [
            (form.kind, name, field.get("type"), "required" if name in form.required else "")
            for form in page.items
            for name, field in form.fields.items()
        ]
        context.show(page, lambda: show_table(("kind", "field", "type", ""), rows))

    @command(forms, "set")
    @click.argument("kind")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    def set_form(context: Context, kind: str, file: Path) -> None:
        """Replace the form of a kind of ticket by the JSON Schema in FILE; {} takes it away."""
        made = context.relay.post(segments("ticket-forms", kind), TicketForm, _schema(file))
        context.show(made, lambda: line(f"{made.kind}  {len(made.fields)} fields"))


def _schema(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        data = opened.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise FarhandError("form-invalid", f"{file} is too large for a form")
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UsageError("form-invalid", f"{file} is no JSON object: {error}") from error
