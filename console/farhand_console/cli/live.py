"""live: people who wait in a chat, and talking with them; their words are the ticket's thread."""

from __future__ import annotations

import sys
import threading

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.output import line, say, show_json, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.channels import LiveChat, Words
from farhand_protocol.errors import FarhandError

__all__ = ["register"]

_WAIT_S = 25.0
_MAX_TEXT_CHARS = 64_000


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    live = group(root, "live", "People who wait in a chat.")
    _register_watching(live)
    _register_talking(live)


def _register_watching(live: click.Group) -> None:
    @command(live, "list")
    @click.option("--limit", type=click.IntRange(1, 500), default=100, help="Page length.")
    @click.option("--cursor", help="Go on where an earlier page ended.")
    def list_chats(context: Context, limit: int, cursor: str | None) -> None:
        """List chats, those that wait longest first; you are at the desk while you ask."""
        page = context.relay.get("/chats", Page[LiveChat], limit=limit, cursor=cursor)
        rows = [(one.ticket, one.state, one.began_at, one.answered_at) for one in page.items]
        names = ("ticket", "state", "began", "answered")
        context.show(page, lambda: show_table(names, rows))

    @command(live)
    @click.option("--once", is_flag=True, help="Leave after half a minute, or the first chat.")
    def watch(context: Context, once: bool) -> None:
        """Say who waits for a first answer, as they come; with --json one object per line."""
        told: set[str] = set()
        while True:
            page = context.relay.get(
                "/chats/watch", Page[LiveChat], wait=_WAIT_S, wait_s=_WAIT_S + 15
            )
            for one in page.items:
                if one.ticket in told:
                    continue
                told.add(one.ticket)
                if context.as_json:
                    show_json(one)
                else:
                    line(f"{one.ticket} waits since {one.began_at[11:19]}")
                sys.stdout.flush()
            if once:
                return
            if page.items:
                # Those who still wait would be answered at once, for ever.
                threading.Event().wait(2.0)


def _register_talking(live: click.Group) -> None:
    @command(live, "say")
    @click.argument("ticket")
    @click.argument("text")
    def say_words(context: Context, ticket: str, text: str) -> None:
        """Say something in a chat."""
        path = segments("chats", ticket, "messages")
        said = context.relay.post(path, Words, {"text": text})
        context.show(said, lambda: line(f"{said.ticket}  {said.seq}"))

    @command(live)
    @click.argument("ticket")
    @click.option("--after", type=int, default=0, help="Only what was said after this message.")
    @click.option("--follow", is_flag=True, help="Show what is said, as it comes.")
    def show(context: Context, ticket: str, after: int, follow: bool) -> None:
        """Show what was said in a chat."""
        page = _said(context, ticket, after, 0.0)
        if not follow:
            context.show(page, lambda: _lines(page.items))
            return
        while True:
            for one in page.items:
                after = max(after, one.seq)
                if context.as_json:
                    show_json(one)
                else:
                    _lines([one])
            sys.stdout.flush()
            page = _said(context, ticket, after, _WAIT_S)

    @command(live)
    @click.argument("ticket")
    def talk(context: Context, ticket: str) -> None:
        """Talk in a chat: what is typed is sent; Ctrl-D leaves, and the ticket stays."""
        say("type, then Enter; Ctrl-D leaves, and the ticket stays")
        stopped = threading.Event()
        listening = threading.Thread(target=_listen, args=(context, ticket, stopped), daemon=True)
        listening.start()
        path = segments("chats", ticket, "messages")
        for typed in sys.stdin:
            if typed.strip():
                context.relay.post(path, Words, {"text": typed.rstrip("\n")[:_MAX_TEXT_CHARS]})
        stopped.set()


def _listen(context: Context, ticket: str, stopped: threading.Event) -> None:
    """Show the other side's words, and where they can be heard no more."""
    after = 0
    try:
        while not stopped.is_set():
            for one in _said(context, ticket, after, _WAIT_S).items:
                after = one.seq
                _lines([one])
            sys.stdout.flush()
    except FarhandError as error:
        say(f"farhand: error: {error.code}: {error.message}")


def _said(context: Context, ticket: str, after: int, wait: float) -> Page[Words]:
    path = segments("chats", ticket, "messages")
    return context.relay.get(path, Page[Words], after=after, wait=wait, wait_s=wait + 15)


def _lines(said: list[Words]) -> None:
    for one in said:
        # Whoever talks in a chat must see what the other side does not.
        mark = "" if one.public else "(note) "
        for words in one.body.splitlines():
            line(f"{one.at[11:16]}  {mark}{one.author}: {words}", _MAX_TEXT_CHARS + 80)
