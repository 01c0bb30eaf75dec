"""token create: an enrolment token, composed here from this console's own pins."""

from __future__ import annotations

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import hint, line, show_table
from farhand_console.relay.answers import Page, TokenRegistration
from farhand_console.trust.enrolment_tokens import check_group, make_token

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    tokens = group(root, "token", "Enrolment tokens for new devices.")

    @command(tokens)
    @click.option("--group", "device_group", default="default", show_default=True)
    @click.option("--uses", type=click.IntRange(1, 100_000), default=1, show_default=True)
    @click.option(
        "--ttl",
        type=click.IntRange(1, 365 * 86_400),
        default=3600,
        show_default=True,
        help="Seconds.",
    )
    def create(context: Context, device_group: str, uses: int, ttl: int) -> None:
        """Make a token that enrols devices into a group; the relay gets only its registration."""
        check_group(device_group)
        trust = context.trust()  # which pins the root where that was not done yet
        text, expires_at = make_token(
            trust,
            context.signer(),
            context.settings,
            context.relay,
            group=device_group,
            uses=uses,
            ttl_s=ttl,
        )
        answer = {
            "token": text,
            "group": device_group,
            "uses": uses,
            "expires_at": expires_at,
        }

        def readable() -> None:
            line(text)
            hint("on the device: farhand-agent enrol --home DIR TOKEN")

        context.show(answer, readable)

    @command(tokens, "list")
    @paged
    def list_tokens(context: Context, limit: int, cursor: str | None) -> None:
        """List token registrations (never the tokens themselves)."""
        page = context.relay.get("/tokens", Page[TokenRegistration], limit=limit, cursor=cursor)
        context.show(
            page,
            lambda: show_table(
                ("id", "group", "uses left", "expires"),
                [(t.id, t.group, t.uses_left, t.expires_at) for t in page.items],
            ),
        )
