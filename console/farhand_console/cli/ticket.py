"""ticket new, list, show, reply, note, assign, resolve, reopen; check has its own file."""

from __future__ import annotations

import click
import msgspec

from farhand_console.cli import ticket_checks
from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Created, Page, Ticket, TicketMessage, TimeEntry
from farhand_protocol.errors import FarhandError

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    tickets = group(root, "ticket", "Requests and what became of them.")
    _register_reading(tickets)
    _register_writing(tickets)
    ticket_checks.register(tickets)


def _register_reading(tickets: click.Group) -> None:
    @command(tickets, "list")
    @click.option("--state")
    @click.option("--owner")
    @click.option("--query", "q", help="Words in the title.")
    @paged
    def list_tickets(
        context: Context,
        state: str | None,
        owner: str | None,
        q: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List tickets, newest first."""
        page = context.relay.get(
            "/tickets", Page[Ticket], state=state, owner=owner, q=q, limit=limit, cursor=cursor
        )
        context.show(
            page,
            lambda: show_table(
                ("number", "state", "title", "requester", "owner", "updated"),
                [
                    (t.number, t.state, t.title, t.requester, t.owner, t.updated_at)
                    for t in page.items
                ],
            ),
        )

    @command(tickets)
    @click.argument("number")
    def show(context: Context, number: str) -> None:
        """Show a ticket with its thread and its time."""
        relay = context.relay
        ticket = relay.get(segments("tickets", number), Ticket)
        path = segments("tickets", ticket.id, "messages")
        messages = list(relay.pages(path, TicketMessage))
        times = _time_entries(context, ticket.id)
        answer = msgspec.to_builtins(ticket) | {"messages": messages, "time_entries": times}
        context.show(answer, lambda: _show_ticket(ticket, messages, times))


def _time_entries(context: Context, ticket: str) -> list[TimeEntry]:
    """Return the time spent; none for requesters, who may not see it."""
    try:
        return list(context.relay.pages(segments("tickets", ticket, "time-entries"), TimeEntry))
    except FarhandError as error:
        if error.code != "not-permitted":
            raise
        return []


def _show_ticket(ticket: Ticket, messages: list[TicketMessage], times: list[TimeEntry]) -> None:
    names = ("number", "title", "state", "requester", "owner", "device", "created_at", "updated_at")
    show_fields({name: getattr(ticket, name) for name in names})
    for message in messages:
        line("")
        line(f"{message.at}  {message.author}  ({message.kind})")
        for words in message.body.splitlines():
            line("  " + words, 4000)
    for entry in times:
        line("")
        line(f"{entry.started_at}  {entry.account}  {entry.active_s / 60:.1f} min  {entry.note}")


def _register_writing(tickets: click.Group) -> None:
    @command(tickets)
    @click.option("--title", required=True)
    @click.option("--requester")
    @click.option("--device")
    @click.option("--external-key", help="The ticket's key in somebody else's desk.")
    @click.option("--body", default="", help="The request in the requester's words.")
    def new(
        context: Context,
        title: str,
        requester: str | None,
        device: str | None,
        external_key: str | None,
        body: str,
    ) -> None:
        """Open a ticket."""
        made = context.relay.post(
            "/tickets",
            Created,
            {
                "title": title,
                "requester": requester,
                "device": device,
                "external_key": external_key,
                "body": body or None,
            },
        )
        answer = {"id": made.id, "number": made.number}
        context.show(answer, lambda: line(answer["number"]))

    def message_command(name: str, words: str) -> None:
        @command(tickets, name, help=words)
        @click.argument("number")
        @click.argument("body")
        def add(context: Context, number: str, body: str) -> None:
            path = segments("tickets", number, "messages")
            answer = context.relay.post(path, TicketMessage, {"kind": name, "body": body})
            context.show(answer, lambda: say(f"{name} added"))

    message_command("reply", "Answer the requester.")
    message_command("note", "Add a note that only staff can read.")

    def change_command(name: str, words: str, option: str, default: str | None = None) -> None:
        @command(tickets, name, help=words)
        @click.argument("number")
        @click.option(f"--{option}", "value", required=default is None, default=default)
        def change(context: Context, number: str, value: str) -> None:
            path = segments("tickets", number, name)
            answer = context.relay.post(path, Ticket, {option: value})
            context.show(answer, lambda: line(f"{answer.number}  {answer.state}"))

    change_command("assign", "Give the ticket to somebody.", "owner")
    change_command("resolve", "Resolve the ticket.", "note", "Resolved.")
    change_command("reopen", "Open a resolved ticket again.", "reason", "Opened again.")
