"""organisation list, show, set: whom the desk works for, and how long their words are kept."""

from __future__ import annotations

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.people import Organisation
from farhand_protocol.errors import UsageError

__all__ = ["register"]

_NOTHING = "none"


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    organisations = group(root, "organisation", "Organisations that the desk works for or asks.")

    @command(organisations, "list")
    @paged
    def list_organisations(context: Context, limit: int, cursor: str | None) -> None:
        """List organisations by name."""
        page = context.relay.get("/organisations", Page[Organisation], limit=limit, cursor=cursor)
        rows = [
            (one.name, one.title, one.locale, one.zone, one.calendar, one.contract, _kept(one))
            for one in page.items
        ]
        names = ("name", "title", "language", "zone", "calendar", "contract", "words kept")
        context.show(page, lambda: show_table(names, rows))

    @command(organisations)
    @click.argument("name")
    def show(context: Context, name: str) -> None:
        """Show an organisation."""
        found = context.relay.get(segments("organisations", name), Organisation)
        fields = msgspec.to_builtins(found) | {"retention_days": _kept(found)}
        context.show(found, lambda: show_fields(fields))

    @command(organisations, "set")
    @click.argument("name")
    @click.option("--title", help="Its full name.")
    @click.option("--zone", help="Its time zone: Europe/Lisbon, for one; UTC for a new one.")
    @click.option("--language", "locale", help="en, pt, de, ro or ru.")
    @click.option("--calendar", help="In whose hours it is served; always for a new one.")
    @click.option("--contract", help="What its tickets fall under; none for nothing.")
    @click.option("--notes", help="For the desk.")
    @click.option(
        "--retention",
        "retention",
        help="Days after which the words of its closed tickets are erased; none keeps them.",
    )
    def set_organisation(
        context: Context,
        /,
        name: str,
        contract: str | None,
        retention: str | None,
        **given: str | None,
    ) -> None:
        """Make an organisation, or change one; what is not given stays."""
        body: dict[str, object] = {key: text for key, text in given.items() if text is not None}
        if contract is not None:
            body["contract"] = None if contract == _NOTHING else contract
        if retention is not None:
            body["retention_days"] = _days(retention)
        made = context.relay.post(segments("organisations", name), Organisation, body)
        context.show(made, lambda: line(made.name))


def _kept(organisation: Organisation) -> str:
    days = organisation.retention_days
    return "for good" if days is None else f"{days} days"


def _days(text: str) -> int | None:
    if text == _NOTHING:
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError("invalid", f"{text[:40]!r} is neither a number of days nor none")
    return int(text)
