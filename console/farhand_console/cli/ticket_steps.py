"""ticket assign, wait, resume, escalate, resolve, reopen, close, spam, merge, link, participant."""

from __future__ import annotations

import click

from farhand_console.cli.base import Context, command
from farhand_console.cli.ticket_care import propose_owners
from farhand_console.output import line, say, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.desk import Ticket, TicketLink, TicketParticipant

__all__ = ["register"]


def register(tickets: click.Group) -> None:
    """Add the commands of this file to `ticket`."""
    _register_steps(tickets)
    _register_ends(tickets)
    _register_belongings(tickets)


def _step(context: Context, number: str, name: str, **body: object) -> None:
    """Take a step and show where the ticket is now."""
    given = {key: value for key, value in body.items() if value is not None}
    answer = context.relay.post(segments("tickets", number, name), Ticket, given)
    context.show(answer, lambda: line(f"{answer.number}  {answer.state}"))


def _register_steps(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.option("--owner", help="Who has it from now on.")
    @click.option("--skill", help="Propose who could have it, instead.")
    def assign(context: Context, number: str, owner: str | None, skill: str | None) -> None:
        """Give the ticket to somebody, or propose who could have it."""
        if (owner is None) == (skill is None):
            raise click.UsageError("give one of --owner and --skill")
        if skill is not None:
            propose_owners(context, number, skill)
            return
        _step(context, number, "assign", owner=owner)

    @command(tickets)
    @click.argument("number")
    @click.option(
        "--for",
        "reason",
        required=True,
        type=click.Choice(["customer", "vendor", "visit", "change", "reminder"]),
    )
    @click.option("--until", help="When to go on at the latest, 2026-12-01T09:00:00Z.")
    @click.option("--note", help="For the desk.")
    def wait(
        context: Context, number: str, reason: str, until: str | None, note: str | None
    ) -> None:
        """Wait for somebody else, or for a day to come."""
        _step(context, number, "wait", reason=reason, until=until, note=note)

    @command(tickets)
    @click.argument("number")
    @click.option("--note", help="For the desk.")
    def resume(context: Context, number: str, note: str | None) -> None:
        """Go on with a ticket that waited."""
        _step(context, number, "resume", note=note)

    @command(tickets)
    @click.argument("number")
    @click.option("--reason", required=True, help="Why the next tier must have it.")
    @click.option("--handover", required=True, help="What was found, and what was tried.")
    @click.option("--owner", help="Who has it there; nobody without.")
    def escalate(
        context: Context, number: str, reason: str, handover: str, owner: str | None
    ) -> None:
        """Hand the ticket to the next tier."""
        _step(context, number, "escalate", reason=reason, handover=handover, owner=owner)


def _register_ends(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.option("--note", default="Resolved.", help="What it came to, for the desk.")
    def resolve(context: Context, number: str, note: str) -> None:
        """Resolve the ticket."""
        _step(context, number, "resolve", note=note)

    @command(tickets)
    @click.argument("number")
    @click.option("--reason", default="Opened again.")
    def reopen(context: Context, number: str, reason: str) -> None:
        """Open an ended ticket again."""
        _step(context, number, "reopen", reason=reason)

    @command(tickets)
    @click.argument("number")
    def close(context: Context, number: str) -> None:
        """Close a resolved ticket for good; silence does it too, after the queue's days."""
        _step(context, number, "close")

    @command(tickets)
    @click.argument("number")
    @click.option("--reason", default="Spam.")
    def spam(context: Context, number: str, reason: str) -> None:
        """Put the ticket away as spam."""
        _step(context, number, "spam", reason=reason)

    @command(tickets)
    @click.argument("number")
    @click.argument("into", required=False)
    @click.option("--undo", is_flag=True, help="Take the merge back, within seven days.")
    def merge(context: Context, number: str, into: str | None, undo: bool) -> None:
        """Merge the ticket into another one, which shows the threads of both."""
        if undo is (into is not None):
            raise click.UsageError("name the ticket to merge into, or --undo")
        if undo:
            _step(context, number, "unmerge")
        else:
            _step(context, number, "merge", into=into)


def _register_belongings(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.argument("other")
    @click.option(
        "--kind",
        type=click.Choice(["relates", "parent", "duplicate-of", "blocked-by"]),
        default="relates",
        help="What the first is to the other.",
    )
    @click.option("--remove", is_flag=True, help="They have nothing to do with each other.")
    def link(context: Context, number: str, other: str, kind: str, remove: bool) -> None:
        """Say what a ticket is to another one."""
        path = segments("tickets", number, "unlink" if remove else "links")
        body = {"other": other} if remove else {"other": other, "kind": kind}
        answer = context.relay.post(path, Page[TicketLink], body)
        rows = [(one.kind, one.ticket, one.state, one.title) for one in answer.items]
        context.show(answer, lambda: show_table(("kind", "ticket", "state", "title"), rows))

    @command(tickets)
    @click.argument("number")
    @click.argument("name")
    @click.option("--part", type=click.Choice(["cc", "follower", "vendor"]), default="cc")
    @click.option("--read-only", is_flag=True, help="Sees the thread and cannot answer.")
    @click.option("--remove", is_flag=True, help="Takes part no more.")
    def participant(
        context: Context, number: str, name: str, part: str, read_only: bool, remove: bool
    ) -> None:
        """Let somebody take part in the ticket: an account, or a mail address."""
        path = segments("tickets", number, "dismiss" if remove else "participants")
        body: dict[str, object] = {"name": name}
        if not remove:
            body |= {"part": part, "can_post": not read_only}
        answer = context.relay.post(path, Page[TicketParticipant], body)
        if not answer.items:
            context.show(answer, lambda: say("nobody else takes part"))
            return
        rows = [(one.name, one.part, "yes" if one.can_post else "no") for one in answer.items]
        context.show(answer, lambda: show_table(("name", "part", "may answer"), rows))
