"""webhook, hook: where events go, and where other programs bring messages and alerts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group
from farhand_console.output import line, say, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_protocol.errors import UsageError

__all__ = ["read_secret", "register"]

_MAX_SECRET_BYTES = 2000


class _Webhook(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    url: str
    events: list[str]
    allow_private: bool
    enabled: bool
    last_status: str
    last_at: str | None
    created_by: str
    created_at: str
    secret: str | None = None


class _Hook(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    purpose: str
    queue: str
    enabled: bool
    last_at: str | None
    created_by: str
    created_at: str
    secret: str | None = None


class _Tried(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    words: str


def read_secret(path: str | None) -> str:
    """Return a secret from the first line of a file, `-` for standard input; empty without one.

    It is never an argument, where every user of the machine could read it.
    """
    if path is None:
        return ""
    if path == "-":
        text = sys.stdin.readline(_MAX_SECRET_BYTES)
    else:
        with Path(path).open(encoding="utf-8") as file:
            text = file.readline(_MAX_SECRET_BYTES)
    if not text.strip():
        raise UsageError("usage", "the file of the secret is empty")
    return text.strip()


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    _register_webhooks(group(root, "webhook", "Programs that are told what happens."))
    _register_hooks(group(root, "hook", "Programs that bring messages and alerts."))


def _register_webhooks(webhooks: click.Group) -> None:
    @command(webhooks, "list")
    def list_(context: Context) -> None:
        """List webhooks, and what their servers answered last."""
        found = context.relay.get("/webhooks", Page[_Webhook])
        context.show(found, lambda: _show_webhooks(found))

    @command(webhooks)
    @click.argument("name")
    @click.argument("url")
    @click.option("--event", "events", multiple=True, help="Such as ticket.created; all without.")
    @click.option("--secret-file", metavar="FILE", help="- reads standard input; drawn without.")
    @click.option("--allow-private", is_flag=True, help="It stands in the relay's own network.")
    def add(
        context: Context,
        name: str,
        url: str,
        events: tuple[str, ...],
        secret_file: str | None,
        allow_private: bool,
    ) -> None:
        """Tell a program of events: https://, or http:// on the relay's own machine."""
        body: dict[str, Any] = {
            "name": name,
            "url": url,
            "events": list(events) or ["*"],
            "secret": read_secret(secret_file),
            "allow_private": allow_private,
        }
        made = context.relay.post("/webhooks", _Webhook, body)
        context.show(made, lambda: _show_secret("webhook", made.name, made.secret))

    @command(webhooks)
    @click.argument("name")
    def test(context: Context, name: str) -> None:
        """Send a delivery that means nothing, and show what came of it."""
        tried = context.relay.post(segments("webhooks", name, "test"), _Tried)
        context.show(tried, lambda: line(f"{tried.status or 'no answer'}: {tried.words}"))

    for name, enabled, words in (
        ("on", True, "Tell it again of what happens."),
        ("off", False, "Tell it of nothing for now."),
    ):
        _add_switch(webhooks, name, enabled, words)

    @command(webhooks)
    @click.argument("name")
    def remove(context: Context, name: str) -> None:
        """Remove a webhook."""
        left = context.relay.post(segments("webhooks", name, "remove"), Page[_Webhook])
        context.show(left, lambda: line(f"{name} is removed"))


def _add_switch(webhooks: click.Group, name: str, enabled: bool, words: str) -> None:
    @command(webhooks, name, help=words)
    @click.argument("webhook")
    def switch(context: Context, webhook: str) -> None:
        path = segments("webhooks", webhook, "enabled")
        found = context.relay.post(path, _Webhook, {"enabled": enabled})
        context.show(found, lambda: line(f"{found.name} is {'on' if found.enabled else 'off'}"))


def _register_hooks(hooks: click.Group) -> None:
    @command(hooks, "list")
    def list_(context: Context) -> None:
        """List hooks, and when each was heard last."""
        found = context.relay.get("/hooks", Page[_Hook])
        context.show(found, lambda: _show_hooks(found))

    @command(hooks)
    @click.argument("name")
    @click.option(
        "--for",
        "purpose",
        type=click.Choice(("messages", "alerts")),
        default="messages",
        show_default=True,
        help="What it brings.",
    )
    @click.option("--queue", default="desk", show_default=True, help="Of its tickets.")
    @click.option("--resolves", is_flag=True, help="The end of an alert resolves its ticket.")
    @click.option("--secret-file", metavar="FILE", help="- reads standard input; drawn without.")
    def add(
        context: Context,
        name: str,
        purpose: str,
        queue: str,
        resolves: bool,
        secret_file: str | None,
    ) -> None:
        """Let a program bring messages or alerts to /api/v1/hooks/NAME."""
        body = {
            "name": name,
            "purpose": purpose,
            "queue": queue,
            "resolves": resolves,
            "secret": read_secret(secret_file),
        }
        made = context.relay.post("/hooks", _Hook, body)
        context.show(made, lambda: _show_secret("hook", made.name, made.secret))

    @command(hooks)
    @click.argument("name")
    def remove(context: Context, name: str) -> None:
        """Remove a hook; its tickets stay."""
        left = context.relay.post(segments("hooks", name, "remove"), Page[_Hook])
        context.show(left, lambda: line(f"{name} is removed"))


def _show_secret(kind: str, name: str, secret: str | None) -> None:
    if secret is None:
        line(f"{kind} {name} is there")
        return
    line(secret)
    say(f"the secret of {kind} {name}; nothing shows it again")


def _show_webhooks(found: Page[_Webhook]) -> None:
    show_table(
        ("name", "url", "events", "on", "last answer", "at"),
        [
            (
                one.name,
                one.url,
                " ".join(one.events),
                "yes" if one.enabled else "no",
                one.last_status,
                (one.last_at or "")[:19],
            )
            for one in found.items
        ],
    )


def _show_hooks(found: Page[_Hook]) -> None:
    show_table(
        ("name", "brings", "queue", "heard last"),
        [(one.name, one.purpose, one.queue, (one.last_at or "never")[:19]) for one in found.items],
    )
