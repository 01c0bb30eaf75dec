"""time: work on tickets that no session counted, and what it comes to."""

from __future__ import annotations

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.cli.contract import money
from farhand_console.cli.durations import hours, read_minutes
from farhand_console.output import show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.contracts import Corrected, TimeEntry

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    times = group(root, "time", "Work on tickets, and what it comes to.")

    @command(times)
    @click.argument("ticket")
    @click.option("--minutes", "worked", required=True, help="25, 25m or 1h30m.")
    @click.option("--note", default="", help="What was done.")
    @click.option("--activity", default="", help="A word for what kind of work it was.")
    @click.option("--started", help="RFC 3339; without it the work ended just now.")
    @click.option("--not-billable", is_flag=True, help="It comes to nothing.")
    @click.option("--show/--hide", default=None, help="Whether the customer is shown it.")
    def add(
        context: Context,
        ticket: str,
        worked: str,
        note: str,
        activity: str,
        started: str | None,
        not_billable: bool,
        show: bool | None,
    ) -> None:
        """Note work on a ticket; it is taken from the contract at once."""
        body = {
            "active_s": read_minutes(worked),
            "note": note,
            "activity": activity,
            "billable": not not_billable,
            "customer_visible": show,
            "started_at": started,
        }
        made = context.relay.post(segments("tickets", ticket, "time-entries"), TimeEntry, body)
        context.show(made, lambda: _show([made]))

    @command(times, "list")
    @click.argument("ticket")
    @paged
    def list_times(context: Context, ticket: str, limit: int, cursor: str | None) -> None:
        """List the time on a ticket, and what each entry comes to."""
        path = segments("tickets", ticket, "time-entries")
        page = context.relay.get(path, Page[TimeEntry], limit=limit, cursor=cursor)
        context.show(page, lambda: _show(page.items))

    @command(times)
    @click.argument("entry")
    @click.option("--reason", required=True, help="Why it was wrong; stands on the statement.")
    @click.option("--minutes", "worked", help="What it should have been.")
    @click.option("--note", help="Of the right entry.")
    @click.option("--activity", help="Of the right entry.")
    @click.option("--billable/--not-billable", default=None, help="Whether it is charged.")
    @click.option("--show/--hide", default=None, help="Whether the customer is shown it.")
    def correct(
        context: Context,
        entry: str,
        reason: str,
        worked: str | None,
        note: str | None,
        activity: str | None,
        billable: bool | None,
        show: bool | None,
    ) -> None:
        """Take an entry back by its opposite, and note what is right.

        What is not named stays as it was; with nothing named, nothing is noted instead.
        """
        right = {
            "active_s": None if worked is None else read_minutes(worked),
            "note": note,
            "activity": activity,
            "billable": billable,
            "customer_visible": show,
        }
        is_empty = all(value is None for value in right.values())
        made = context.relay.post(
            segments("time-entries", entry, "reverse"),
            Corrected,
            {"reason": reason, "right": None if is_empty else right},
        )

        def readable() -> None:
            _show([made.reversal, *([made.right] if made.right else [])])

        context.show(made, readable)


def _show(entries: list[TimeEntry]) -> None:
    rows = []
    for one in entries:
        charge = one.charge
        rows.append(
            (
                one.id,
                one.started_at,
                one.account,
                hours(one.active_s),
                None if charge is None else charge.contract,
                None if charge is None else hours(charge.billed_s),
                None if charge is None else hours(charge.debited_s),
                None if charge is None else money(charge.amount_minor, charge.currency),
                one.note[:60],
            )
        )
    names = ("entry", "started", "who", "worked", "contract", "billed", "from balance", "amount")
    show_table((*names, "note"), rows)
