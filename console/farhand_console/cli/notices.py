"""notices, notify show, notify set: what the desk tells you, and what you want to be told."""

from __future__ import annotations

import time
from typing import Any

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, printable, show_fields, show_json, show_table
from farhand_console.relay import read_as
from farhand_console.relay.answers import MyNotice, Nothing, Page
from farhand_console.relay.desk import NotifySettings, Window
from farhand_protocol.errors import UsageError

__all__ = ["register"]

_KINDS = ["new", "assigned", "answered", "due-soon", "missed", "csat-low"]
_EVERY_S = 3.0


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    notify = group(root, "notify", "What you want to be told, and how.")

    @command(root)
    @click.option("--wait", is_flag=True, help="Go on showing what comes, until Ctrl-C.")
    @click.option("--all", "everything", is_flag=True, help="What you have seen, too.")
    @paged
    def notices(
        context: Context, wait: bool, everything: bool, limit: int, cursor: str | None
    ) -> None:
        """Show what you were told and have not seen; what is shown counts as seen."""
        unseen = None if everything else "true"
        page = _fetch(context, unseen, limit, cursor)
        if not wait:
            context.show(
                page,
                lambda: show_table(
                    ("at", "what", "ticket", "words"),
                    [(n.at, n.kind, n.ticket, n.words) for n in page.items],
                ),
            )
            _mark(context, page.items)
            return
        while True:
            for one in page.items:
                if context.as_json:
                    show_json(one)
                else:
                    line(f"{one.at} {one.kind}: {printable(one.words)}")
            _mark(context, page.items)
            if len(page.items) < limit:
                time.sleep(_EVERY_S)
            page = _fetch(context, "true", limit, None)

    @command(notify)
    def show(context: Context) -> None:
        """Show what you want to be told."""
        kept = context.relay.get("/me/notify", dict[str, Any])
        context.show(kept, lambda: show_fields(_shown(kept)))

    @command(notify, "set")
    @click.option("--queue", "queues", multiple=True, help="Follow a queue; none for none.")
    @click.option("--mail", multiple=True, type=click.Choice([*_KINDS, "none"]))
    @click.option("--webhook", multiple=True, type=click.Choice([*_KINDS, "none"]))
    @click.option("--console", multiple=True, type=click.Choice([*_KINDS, "none"]))
    @click.option("--webhook-name", help="The webhook that takes yours; an admin makes it.")
    @click.option("--quiet", metavar="HH:MM-HH:MM", help="Send nothing then; off for never.")
    @click.option("--zone", metavar="ZONE", help="Your time zone, such as Europe/Lisbon.")
    @click.option("--digest", type=click.IntRange(0, 86_400), help="Gather so many seconds.")
    def set_notify(
        context: Context,
        queues: tuple[str, ...],
        mail: tuple[str, ...],
        webhook: tuple[str, ...],
        console: tuple[str, ...],
        webhook_name: str | None,
        quiet: str | None,
        zone: str | None,
        digest: int | None,
    ) -> None:
        """Change what you want to be told; what is not given stays."""
        kept = context.relay.get("/me/notify", dict[str, Any])
        lists = {"queues": queues, "mail": mail, "webhook": webhook, "console": console}
        for name, given in lists.items():
            if given:
                kept[name] = [one for one in given if one != "none"]
        for name, value in (("webhook_name", webhook_name), ("zone", zone), ("digest_s", digest)):
            if value is not None:
                kept[name] = value
        if quiet is not None:
            kept["quiet"] = None if quiet == "off" else _minutes(quiet)
        kept = context.relay.post("/me/notify", dict[str, Any], kept)
        context.show(kept, lambda: show_fields(_shown(kept)))


def _fetch(context: Context, unseen: str | None, limit: int, cursor: str | None) -> Page[MyNotice]:
    page: Page[MyNotice] = context.relay.get(
        "/me/notices", Page[MyNotice], limit=limit, cursor=cursor, unseen=unseen
    )
    return page


def _mark(context: Context, shown: list[MyNotice]) -> None:
    if shown:
        context.relay.post("/me/notices/seen", Nothing, {"seq": shown[-1].seq})


def _shown(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the settings in words; what a newer relay has beyond them is shown as it is."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in kept.items()
        if name != "quiet"
    } | {"quiet": _clock(read_as(kept, NotifySettings).quiet)}


def _clock(quiet: Window | None) -> str:
    if quiet is None:
        return "never"
    begin, end = (f"{one // 60:02}:{one % 60:02}" for one in quiet)
    return f"{begin}-{end}"


def _minutes(text: str) -> list[int]:
    found = []
    for part in text.split("-"):
        hours, colon, minutes = part.partition(":")
        plain = hours.isascii() and hours.isdigit() and minutes.isascii() and minutes.isdigit()
        if not (colon and plain) or int(hours) > 24 or int(minutes) > 59:
            raise UsageError("usage", f"{text[:40]!r} is not HH:MM-HH:MM")
        found.append(int(hours) * 60 + int(minutes))
    if len(found) != 2:
        raise UsageError("usage", f"{text[:40]!r} is not HH:MM-HH:MM")
    return found
