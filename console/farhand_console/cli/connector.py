"""connector: other people's desks, and beginning with a ticket of theirs."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, parse_pairs
from farhand_console.cli.webhook import read_secret
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.desk import Ticket

__all__ = ["register"]

_KINDS = ("zammad", "glpi", "jira", "github", "gitlab", "rt", "mail")


class _Connector(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    base_url: str
    options: dict[str, str]
    allow_private: bool
    enabled: bool
    created_by: str
    created_at: str


class _Foreign(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    title: str
    state: str
    is_done: bool
    requester: str
    url: str
    fixed_in: str


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    connectors = group(root, "connector", "Other people's desks.")

    @command(connectors, "list")
    def list_(context: Context) -> None:
        """List connectors."""
        found = context.relay.get("/connectors", Page[_Connector])
        context.show(found, lambda: _show(found.items))

    @command(connectors)
    @click.argument("name")
    @click.argument("kind", type=click.Choice(_KINDS))
    @click.argument("url", required=False, default="")
    @click.option("--token-file", metavar="FILE", help="- reads standard input.")
    @click.option("--hook-secret-file", metavar="FILE", help="Of that desk's own webhook.")
    @click.option(
        "--option", "options", multiple=True, metavar="NAME=VALUE", help="docs/connectors.md"
    )
    @click.option("--allow-private", is_flag=True, help="It stands in the relay's own network.")
    def add(
        context: Context,
        name: str,
        kind: str,
        url: str,
        token_file: str | None,
        hook_secret_file: str | None,
        options: tuple[str, ...],
        allow_private: bool,
    ) -> None:
        """Add another desk; NAME stands before the colon of its tickets, as in zammad:12345."""
        body: dict[str, Any] = {
            "name": name,
            "kind": kind,
            "base_url": url,
            "options": parse_pairs(options),
            "token": read_secret(token_file),
            "hook_secret": read_secret(hook_secret_file),
            "allow_private": allow_private,
        }
        made = context.relay.post("/connectors", _Connector, body)
        context.show(made, lambda: line(f"connector {made.name} is there"))

    @command(connectors)
    @click.argument("key", metavar="NAME:KEY")
    def test(context: Context, key: str) -> None:
        """Fetch one ticket of another desk, and change nothing."""
        name, _, there = key.partition(":")
        path = segments("connectors", name, "test")
        found = context.relay.post(path, _Foreign, {"key": there})
        context.show(found, lambda: show_fields(msgspec.structs.asdict(found)))

    @command(connectors, "open")
    @click.argument("key", metavar="NAME:KEY")
    @click.option("--device", help="Id or unique name.")
    def open_(context: Context, key: str, device: str | None) -> None:
        """Make our ticket for one of another desk, or find the one that is open."""
        found = context.relay.post("/connectors/open", Ticket, {"key": key, "device": device})
        context.show(found, lambda: _opened(found, key))

    @command(connectors)
    @click.argument("name")
    def remove(context: Context, name: str) -> None:
        """Remove a connector; the keys of its tickets stay as they are."""
        left = context.relay.post(segments("connectors", name, "remove"), Page[_Connector])
        context.show(left, lambda: line(f"{name} is removed"))


def _opened(ticket: Ticket, key: str) -> None:
    line(ticket.number)
    say(f"farhand session open --ticket {key} begins a session for it")


def _show(connectors: list[_Connector]) -> None:
    show_table(
        ("name", "kind", "url", "options"),
        [
            (
                one.name,
                one.kind,
                one.base_url,
                " ".join(f"{name}={value}" for name, value in sorted(one.options.items())),
            )
            for one in connectors
        ],
    )
