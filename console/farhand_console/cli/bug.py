"""bug: one fault that many tickets are about, its issue elsewhere, and the day it is fixed."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page

__all__ = ["register"]


class _Bug(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    state: str
    fixed_in: str
    external_key: str | None
    external_url: str
    notes: str
    tickets: int
    created_by: str
    created_at: str
    changed_at: str
    revision: int


class _BugView(_Bug, frozen=True, kw_only=True):
    linked: list[str]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    bugs = group(root, "bug", "Faults that many tickets are about.")

    @command(bugs)
    @click.argument("title")
    @click.option("--notes", default="", help="What is known; it goes to the makers, too.")
    @click.option("--ticket", help="One that is about it.")
    @click.option("--issue", metavar="NAME:KEY", help="An issue that there is, as github:17.")
    @click.option("--tracker", metavar="NAME", help="Make an issue with this connector.")
    def new(
        context: Context,
        title: str,
        notes: str,
        ticket: str | None,
        issue: str | None,
        tracker: str | None,
    ) -> None:
        """Make a bug; title and notes name nobody, since strangers may read them."""
        body = {
            "title": title,
            "notes": notes,
            "ticket": ticket,
            "issue": issue,
            "tracker": tracker,
        }
        made = context.relay.post("/bugs", _Bug, body)
        context.show(made, lambda: line(f"{made.id} {made.external_key or ''}".strip()))

    @command(bugs, "list")
    @click.option("--state", type=click.Choice(("open", "fixed", "rejected")), help="Only these.")
    @paged
    def list_(context: Context, state: str | None, limit: int, cursor: str | None) -> None:
        """List bugs, newest first."""
        found = context.relay.get("/bugs", Page[_Bug], state=state, limit=limit, cursor=cursor)
        context.show(found, lambda: _show(found.items))

    @command(bugs)
    @click.argument("bug")
    def show(context: Context, bug: str) -> None:
        """Show a bug and its tickets."""
        found = context.relay.get(segments("bugs", bug), _BugView)
        context.show(found, lambda: show_fields(msgspec.structs.asdict(found)))

    @command(bugs)
    @click.argument("bug")
    @click.argument("ticket")
    @click.option("--undo", is_flag=True, help="It is not about it after all.")
    def link(context: Context, bug: str, ticket: str, undo: bool) -> None:
        """Say that a ticket is about a bug."""
        path = segments("bugs", bug, "unlink" if undo else "link")
        found = context.relay.post(path, _Bug, {"ticket": ticket})
        context.show(found, lambda: line(f"{found.id} has {found.tickets} tickets"))

    @command(bugs)
    @click.argument("bug")
    @click.argument("issue", metavar="NAME:KEY")
    def issue(context: Context, bug: str, issue: str) -> None:
        """Say where its makers keep it; the day it is closed there, the bug is fixed."""
        found = context.relay.post(segments("bugs", bug, "issue"), _Bug, {"issue": issue})
        context.show(found, lambda: line(f"{found.id} {found.external_url}".strip()))

    @command(bugs)
    @click.argument("bug")
    @click.option("--in", "version", default="", help="The version in which it is.")
    def fixed(context: Context, bug: str, version: str) -> None:
        """Say that it is fixed: its tickets get a note and a draft that nobody has sent."""
        _change(context, bug, {"state": "fixed", "fixed_in": version})

    @command(bugs)
    @click.argument("bug")
    def reject(context: Context, bug: str) -> None:
        """Say that it is none."""
        _change(context, bug, {"state": "rejected"})

    @command(bugs)
    @click.argument("bug")
    def reopen(context: Context, bug: str) -> None:
        """Say that it is there after all."""
        _change(context, bug, {"state": "open"})


def _change(context: Context, bug: str, body: dict[str, Any]) -> None:
    found = context.relay.post(segments("bugs", bug, "state"), _Bug, body)
    context.show(found, lambda: _changed(found))


def _changed(bug: _Bug) -> None:
    line(f"{bug.id} is {bug.state}" + (f" in {bug.fixed_in}" if bug.fixed_in else ""))
    if bug.tickets:
        say(f"noted on {bug.tickets} tickets; nothing was sent to anybody")


def _show(bugs: list[_Bug]) -> None:
    show_table(
        ("id", "state", "fixed in", "tickets", "issue", "title"),
        [
            (
                one.id,
                one.state,
                one.fixed_in,
                str(one.tickets),
                one.external_key or "",
                one.title,
            )
            for one in bugs
        ],
    )
