"""person list, show, add, set, merge, address, verify: who asks for help, how she is reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec

from farhand_console.cli import privacy
from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.people import Person, PersonView, Proof
from farhand_protocol.errors import UsageError

__all__ = ["register"]

KINDS = ("user", "staff", "vendor", "system")
ADDRESS_KINDS = ("mail", "phone", "chat")
_NOTHING = "none"


def _described(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say who somebody is."""
    for option in (
        click.option("--notes", help="For the desk."),
        click.option("--kind", type=click.Choice(KINDS), help="user for a new one."),
        click.option("--zone", help="Her time zone; her organisation's without."),
        click.option("--language", "locale", help="en, pt, de, ro or ru; her organisation's."),
        click.option("--organisation", help="Its name or id; none for nowhere."),
    ):
        function = option(function)
    return function


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    people = group(root, "person", "People who ask for help, or are asked.")
    _register_reading(people)
    _register_writing(people)
    _register_addresses(people)
    privacy.register(people)


def _register_reading(people: click.Group) -> None:
    @command(people, "list")
    @click.option("--organisation", help="Only those of this one.")
    @click.option("--kind", type=click.Choice(KINDS))
    @click.option("--query", "q", help="Words in the name.")
    @paged
    def list_people(
        context: Context,
        organisation: str | None,
        kind: str | None,
        q: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List people."""
        page = context.relay.get(
            "/people",
            Page[Person],
            organisation=organisation,
            kind=kind,
            q=q,
            limit=limit,
            cursor=cursor,
        )
        rows = [
            (one.id, one.name, one.kind, one.organisation, one.account, _is_active(one))
            for one in page.items
        ]
        names = ("id", "name", "kind", "organisation", "account", "active")
        context.show(page, lambda: show_table(names, rows))

    @command(people)
    @click.argument("person")
    def show(context: Context, person: str) -> None:
        """Show a person; by id, account or mail address."""
        found = context.relay.get(segments("people", person), PersonView)
        context.show(found, lambda: show_person(found))


def _is_active(person: Person) -> str:
    return "yes" if person.active else "no"


def show_person(found: PersonView) -> None:
    """Write a person and her addresses."""
    fields = msgspec.to_builtins(found) | {"active": _is_active(found)}
    addresses = fields.pop("addresses")
    show_fields(fields)
    for one in addresses:
        said = f"verified {one['verified_at']}" if one["verified_at"] else "claimed, not verified"
        line(f"{one['kind']}  {one['value']}  {said}")


def _register_writing(people: click.Group) -> None:
    @command(people)
    @click.argument("name")
    @click.option("--mail", multiple=True, help="A mail address; may be given again.")
    @click.option("--phone", multiple=True, help="A number; may be given again.")
    @_described
    def add(
        context: Context, name: str, mail: tuple[str, ...], phone: tuple[str, ...], **given: Any
    ) -> None:
        """Make a person; her addresses are claimed until they are verified."""
        body = _body(given) | {"name": name}
        body["addresses"] = [
            *({"kind": "mail", "value": one} for one in mail),
            *({"kind": "phone", "value": one} for one in phone),
        ]
        made = context.relay.post("/people", PersonView, body)
        context.show(made, lambda: line(made.id))

    @command(people, "set")
    @click.argument("person")
    @click.option("--name", help="As she is addressed.")
    @click.option("--account", help="The account that is hers; none for no account.")
    @click.option("--active/--inactive", default=None, help="Whether she may ask for help.")
    @_described
    def set_person(
        context: Context, person: str, account: str | None, active: bool | None, **given: Any
    ) -> None:
        """Change a person; what is not given stays."""
        body = _body(given)
        if active is not None:
            body["active"] = active
        if account is not None:
            body["account"] = None if account == _NOTHING else account
        if not body:
            raise UsageError("invalid", "there is nothing to change")
        made = context.relay.post(segments("people", person), PersonView, body)
        context.show(made, lambda: show_person(made))

    @command(people)
    @click.argument("person")
    @click.argument("into")
    def merge(context: Context, person: str, into: str) -> None:
        """Make two people one: PERSON is INTO from now on; both must be verified."""
        path = segments("people", person, "merge")
        made = context.relay.post(path, PersonView, {"into": into})
        context.show(made, lambda: show_person(made))


def _body(given: dict[str, Any]) -> dict[str, Any]:
    body = {key: value for key, value in given.items() if value is not None}
    if body.get("organisation") == _NOTHING:
        body["organisation"] = None
    return body


def _register_addresses(people: click.Group) -> None:
    @command(people)
    @click.argument("person")
    @click.argument("value")
    @click.option("--kind", type=click.Choice(ADDRESS_KINDS), default="mail", show_default=True)
    @click.option("--remove", is_flag=True, help="Take it from her.")
    def address(context: Context, person: str, value: str, kind: str, remove: bool) -> None:
        """Give somebody an address, or take it from her."""
        parts = ("people", person, "addresses", *(("remove",) if remove else ()))
        body = {"kind": kind, "value": value}
        made = context.relay.post(segments(*parts), PersonView, body)
        context.show(made, lambda: show_person(made))

    @command(people)
    @click.argument("person")
    @click.argument("value")
    @click.option("--kind", type=click.Choice(ADDRESS_KINDS), default="mail", show_default=True)
    @click.option("--confirm", help="Ask nobody; say how it was recognised that it is hers.")
    def verify(context: Context, person: str, value: str, kind: str, confirm: str | None) -> None:
        """Mail a link to an address, which is hers once she opens it; or confirm it by hand."""
        body = {"kind": kind, "value": value}
        if confirm is not None:
            path = segments("people", person, "addresses", "confirm")
            made = context.relay.post(path, PersonView, body | {"reason": confirm})
            context.show(made, lambda: show_person(made))
            return
        asked = context.relay.post(segments("people", person, "addresses", "ask"), Proof, body)
        context.show(asked, lambda: line(f"{asked.address} asked, until {asked.expires_at}"))
