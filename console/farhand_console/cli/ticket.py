"""ticket new, list, show, reply, note, assign, resolve, reopen."""

from __future__ import annotations

from typing import Any

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import printable, show_fields, show_table

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    tickets = group(root, "ticket", "Requests and what became of them.")
    _register_reading(tickets)
    _register_writing(tickets)


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
            "/tickets", state=state, owner=owner, q=q, limit=limit, cursor=cursor
        )
        context.show(
            page,
            lambda: show_table(
                ("number", "state", "title", "requester", "owner", "updated"),
                [
                    (
                        t["number"],
                        t["state"],
                        t["title"],
                        t.get("requester"),
                        t.get("owner"),
                        t["updated_at"],
                    )
                    for t in page["items"]
                ],
            ),
        )

    @command(tickets)
    @click.argument("number")
    def show(context: Context, number: str) -> None:
        """Show a ticket with its thread and its time."""
        ticket = context.relay.get(f"/tickets/{number}")
        for part in ("messages", "time-entries"):
            items = list(context.relay.pages(f"/tickets/{number}/{part}", limit=200))
            ticket[part.replace("-", "_")] = items
        context.show(ticket, lambda: _show_ticket(ticket))


def _show_ticket(ticket: dict[str, Any]) -> None:
    names = ("number", "title", "state", "requester", "owner", "device", "created_at", "updated_at")
    show_fields({name: ticket.get(name) for name in names})
    for message in ticket["messages"]:
        click.echo(f"\n{message['at']}  {printable(message['author'])}  ({message['kind']})")
        for line in str(message["body"]).splitlines():
            click.echo("  " + printable(line, 2000))
    for entry in ticket["time_entries"]:
        minutes = entry["active_s"] / 60
        click.echo(f"\n{entry['started_at']}  {printable(entry['account'])}  {minutes:.1f} min")


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
            {
                "title": title,
                "requester": requester,
                "device": device,
                "external_key": external_key,
                "body": body,
            },
        )
        answer = {"id": made["id"], "number": made["number"]}
        context.show(answer, lambda: click.echo(answer["number"]))

    def message_command(name: str, words: str) -> None:
        @command(tickets, name, help=words)
        @click.argument("number")
        @click.argument("body")
        def add(context: Context, number: str, body: str) -> None:
            answer = context.relay.post(f"/tickets/{number}/messages", {"kind": name, "body": body})
            context.show(answer, lambda: click.echo(f"{name} added"))

    message_command("reply", "Answer the requester.")
    message_command("note", "Add a note that only staff can read.")

    def change_command(name: str, words: str, option: str, *, required: bool) -> None:
        @command(tickets, name, help=words)
        @click.argument("number")
        @click.option(f"--{option}", "value", required=required, default=None if required else "")
        def change(context: Context, number: str, value: str) -> None:
            answer = context.relay.post(f"/tickets/{number}/{name}", {option: value})
            context.show(answer, lambda: click.echo(f"{answer['number']}  {answer['state']}"))

    change_command("assign", "Give the ticket to somebody.", "owner", required=True)
    change_command("resolve", "Resolve the ticket.", "note", required=False)
    change_command("reopen", "Open a resolved ticket again.", "reason", required=False)
