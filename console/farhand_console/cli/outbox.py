"""outbox: what the relay has to send, what nobody took, and another try."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_protocol.errors import UsageError

__all__ = ["register"]


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kind: str
    key: str
    state: str
    tries: int
    next_at: str
    last_error: str
    created_at: str
    ended_at: str | None


class _Retried(msgspec.Struct, frozen=True, kw_only=True):
    retried: int


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    boxes = group(root, "outbox", "What the relay has to send, and what nobody took.")

    @command(boxes, "list")
    @click.option(
        "--state",
        type=click.Choice(("waiting", "taken", "done", "dead")),
        help="Without it, all that are not done.",
    )
    @click.option("--kind", help="Such as mail, webhook or connector.")
    @paged
    def list_(
        context: Context, state: str | None, kind: str | None, limit: int, cursor: str | None
    ) -> None:
        """List what is to go out, newest first."""
        found = context.relay.get(
            "/outbox", Page[_Item], state=state, kind=kind, limit=limit, cursor=cursor
        )
        context.show(found, lambda: _show(found))

    @command(boxes)
    @click.argument("item", required=False)
    @click.option("--all", "all_dead", is_flag=True, help="Every dead one.")
    @click.option("--kind", help="With --all: only those of this kind.")
    def retry(context: Context, item: str | None, all_dead: bool, kind: str | None) -> None:
        """Try an item again now, or all that are dead."""
        if (item is None) == (not all_dead) or (kind is not None and not all_dead):
            raise UsageError("usage", "give an item, or --all with or without --kind")
        if item is not None:
            again = context.relay.post(segments("outbox", item, "retry"), _Item)
            context.show(again, lambda: line(f"{again.id} is {again.state}"))
            return
        body: dict[str, Any] = {"kind": kind}
        done = context.relay.post("/outbox/retry", _Retried, body)
        context.show(done, lambda: line(f"{done.retried} tried again"))


def _show(found: Page[_Item]) -> None:
    show_table(
        ("id", "kind", "state", "tries", "next", "why"),
        [
            (
                one.id,
                one.kind,
                one.state,
                str(one.tries),
                one.next_at[:19] if one.state == "waiting" else "",
                one.last_error,
            )
            for one in found.items
        ],
    )
