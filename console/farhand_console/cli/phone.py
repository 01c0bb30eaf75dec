"""phone: calls, with a timer, and who calls."""

from __future__ import annotations

import sys

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_fields, show_json, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Me, Page
from farhand_console.relay.channels import Call, CallView, TelephoneToken
from farhand_protocol.errors import UsageError

__all__ = ["register"]

_WAIT_S = 30.0


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    phone = group(root, "phone", "Calls: timed, written on their tickets, and who calls.")
    _register_calls(phone)
    _register_telephone(phone)


def _show(context: Context, call: Call) -> None:
    words = f"{call.id}  {call.state}  {call.name or call.number}  {call.ticket or ''}"
    context.show(call, lambda: line(words.rstrip()))


def _register_calls(phone: click.Group) -> None:
    @command(phone)
    @click.argument("number")
    @click.option("--out", "is_out", is_flag=True, help="You call; else somebody calls you.")
    @click.option("--ticket", help="Where it belongs, if that is known already.")
    def start(context: Context, number: str, is_out: bool, ticket: str | None) -> None:
        """Begin a call; its time runs until `stop`."""
        body = {"direction": "out" if is_out else "in", "number": number, "ticket": ticket}
        _show(context, context.relay.post("/calls", Call, body))

    @command(phone)
    @click.argument("call", required=False)
    @click.option("--note", required=True, help="What was said; for the desk.")
    @click.option("--ticket", help="Where it belongs; without, a ticket is made.")
    @click.option("--title", default="", help="Of the ticket that is made.")
    @click.option("--free", is_flag=True, help="The time is not to be billed.")
    def stop(
        context: Context, call: str | None, note: str, ticket: str | None, title: str, free: bool
    ) -> None:
        """End a call and write it down; without CALL the one that you have now."""
        body = {"note": note, "ticket": ticket, "title": title, "billable": not free}
        mine = call or _current(context)
        _show(context, context.relay.post(segments("calls", mine, "end"), Call, body))

    @command(phone)
    @click.argument("number")
    @click.option("--out", "is_out", is_flag=True, help="You called; else somebody called you.")
    @click.option("--minutes", type=float, required=True, help="How long it took.")
    @click.option("--note", required=True, help="What was said; for the desk.")
    @click.option("--ticket", help="Where it belongs; without, a ticket is made.")
    @click.option("--title", default="", help="Of the ticket that is made.")
    @click.option("--free", is_flag=True, help="The time is not to be billed.")
    def log(
        context: Context,
        number: str,
        is_out: bool,
        minutes: float,
        note: str,
        ticket: str | None,
        title: str,
        free: bool,
    ) -> None:
        """Write down a call that is over."""
        body = {
            "direction": "out" if is_out else "in",
            "number": number,
            "minutes": minutes,
            "note": note,
            "ticket": ticket,
            "title": title,
            "billable": not free,
        }
        _show(context, context.relay.post("/calls/log", Call, body))

    @command(phone, "list")
    @paged
    def list_calls(context: Context, limit: int, cursor: str | None) -> None:
        """List calls, the newest first."""
        page = context.relay.get("/calls", Page[Call], limit=limit, cursor=cursor)
        rows = [
            (one.id, one.began_at, one.direction, one.name or one.number, one.state, one.ticket)
            for one in page.items
        ]
        names = ("call", "began", "direction", "who", "state", "ticket")
        context.show(page, lambda: show_table(names, rows))

    @command(phone)
    @click.argument("call")
    def show(context: Context, call: str) -> None:
        """Show a call, and the last tickets of whoever is at the other end."""
        view = context.relay.get(segments("calls", call), CallView)
        context.show(view, lambda: _show_view(view))


def _show_view(view: CallView) -> None:
    show_fields({name: getattr(view.call, name) for name in view.call.__struct_fields__})
    for ticket in view.tickets:
        line(f"{ticket.number}  {ticket.state}  {ticket.title}")


def _current(context: Context) -> str:
    me = context.relay.get("/me", Me).account.name
    page = context.relay.get("/calls", Page[Call], limit=100)
    mine = [one.id for one in page.items if one.account == me and one.state == "talking"]
    if len(mine) != 1:
        raise UsageError("call-unclear", f"you have {len(mine)} calls; name the one that ends")
    return mine[0]


def _register_telephone(phone: click.Group) -> None:
    @command(phone)
    @click.option("--once", is_flag=True, help="Leave after half a minute, or the first call.")
    def watch(context: Context, once: bool) -> None:
        """Say who calls, as it rings; with --json one object per line."""
        after = ""
        while True:
            page = context.relay.get(
                "/calls/watch", Page[CallView], after=after, wait=_WAIT_S, wait_s=_WAIT_S + 15
            )
            for view in page.items:
                after = max(after, view.call.began_at)
                if context.as_json:
                    show_json(view)
                else:
                    line(f"{view.call.name or 'unknown'}  {view.call.number}  {view.call.id}")
                    for ticket in view.tickets:
                        line(f"  {ticket.number}  {ticket.state}  {ticket.title}")
                sys.stdout.flush()
            if once:
                return

    @command(phone)
    def token(context: Context) -> None:
        """Make the token that a telephone system shows; an older one ends."""
        made = context.relay.post("/calls/hook-token", TelephoneToken, {})
        say("it posts {call, from, to, direction, state} to /api/v1/calls/hook; keep it secret")
        context.show(made, lambda: line(made.token))
