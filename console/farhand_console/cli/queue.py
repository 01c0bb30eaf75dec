"""queue list, set: where tickets wait, and how long a resolved one may come back."""

from __future__ import annotations

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.output import line, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.desk import Queue

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    queues = group(root, "queue", "Where tickets wait.")

    @command(queues, "list")
    def list_queues(context: Context) -> None:
        """List queues; they are few, so all of them."""
        page = context.relay.get("/queues", Page[Queue])
        rows = [(one.name, one.title, one.reopen_days, one.close_days) for one in page.items]
        names = ("name", "title", "days to reopen", "days to close")
        context.show(page, lambda: show_table(names, rows))

    @command(queues, "set")
    @click.argument("name")
    @click.option("--title", help="The name by default.")
    @click.option("--reopen-days", type=click.IntRange(0, 365), default=7, show_default=True)
    @click.option("--close-days", type=click.IntRange(0, 365), default=7, show_default=True)
    def set_queue(
        context: Context, name: str, title: str | None, reopen_days: int, close_days: int
    ) -> None:
        """Make a queue, or change its terms."""
        body = {"title": title or name, "reopen_days": reopen_days, "close_days": close_days}
        made = context.relay.post(segments("queues", name), Queue, body)
        context.show(made, lambda: line(made.name))
