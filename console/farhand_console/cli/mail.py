"""mail: the desk's mailboxes and servers, what came and went, and what nobody understood."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_fields, show_file, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.mail import (
    Mail,
    Mailbox,
    MailServer,
    MailStatus,
    MailTrial,
    ShownMail,
)
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["register"]

P = ParamSpec("P")

_STATES = (
    "kept", "done", "quarantined", "dropped", "queued", "sending", "sent", "partly", "failed",
    "held",
)  # fmt: skip
_COLUMNS = ("id", "", "at", "state", "why", "from", "subject", "ticket")


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    mail = group(root, "mail", "Mail to the desk and from it.")
    _register_mailboxes(mail)
    _register_mails(mail)
    _register_quarantine(group(mail, "quarantine", "Mails that need a person."))


def _server_options(function: Callable[P, None]) -> Callable[P, None]:
    """Add the options that say how a server is reached."""
    for option in (
        click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="A PEM to trust."),
        click.option("--password-stdin", is_flag=True, help="Read the password from stdin."),
        click.option("--password", is_flag=True, help="Ask for the password; nobody sees it."),
        click.option(
            "--oauth", help="A file in the relay's home by which tokens are had (OAuth 2)."
        ),
        click.option("--user", default=None, help="Who signs in there."),
        click.option(
            "--security",
            type=click.Choice(("tls", "starttls", "plain")),
            help="tls from the first byte (default); plain is for this machine only.",
        ),
    ):
        function = option(function)
    return function


def _place(text: str, port: int) -> tuple[str, int]:
    host, colon, given = text.rpartition(":")
    if not colon:
        return text, port
    if not given.isascii() or not given.isdigit() or not 0 < int(given) < 65536:
        raise UsageError("usage", f"{text[:80]!r} is not HOST or HOST:PORT")
    return host.strip("[]"), int(given)


def _server(
    there: MailServer | None,
    *,
    place: str | None,
    port: int,
    security: str | None,
    user: str | None,
    oauth: str | None,
    password: bool,
    password_stdin: bool,
    ca: str | None,
) -> dict[str, object] | None:
    """Return a server as the relay takes it; None where nothing was said of it."""
    is_asked = password or password_stdin
    if is_asked and oauth:
        raise UsageError("usage", "a server is shown a password or a token: give one of them")
    said = (place, security, user, oauth, ca)
    if all(one is None for one in said) and not is_asked:
        return None
    if place is None and there is None:
        raise UsageError("usage", "say where the server is: HOST or HOST:PORT")
    host, number = _place(place, port) if place else (there.host, there.port) if there else ("", 0)
    body: dict[str, object] = {
        "host": host,
        "port": number,
        "security": security or (there.security if there else "tls"),
        "user": user if user is not None else (there.user if there else ""),
        "oauth": oauth if oauth is not None else (there.oauth if there and not is_asked else ""),
        "ca": Path(ca).read_text("utf-8") if ca else (there.ca if there else ""),
    }
    if there is not None and there.folder:
        body |= {"folder": there.folder, "moved_to": there.moved_to}
    if is_asked:
        body["password"] = _password(password_stdin)
    return body


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError(
            "usage", "nobody can be asked for the password", hint="--password-stdin reads it"
        )
    return str(click.prompt("the mail server's password", hide_input=True, err=True))


def _where(server: MailServer | None) -> str:
    if server is None:
        return "none"
    who = f"{server.user}@" if server.user else ""
    return f"{who}{server.host}:{server.port} ({server.security})"


# Mailboxes and servers.


def _register_mailboxes(mail: click.Group) -> None:
    @command(mail)
    @click.argument("name")
    @click.option("--address", required=True, help="The desk's address.")
    @click.option("--queue", default="desk", show_default=True, help="Where its mail goes.")
    @click.option("--title", default="", help="The name beside the address.")
    @click.option("--imap", help="HOST or HOST:PORT (993) to read; none: mail is brought here.")
    @click.option("--folder", help="INBOX without it.")
    @click.option("--moved-to", help="A folder for what was read; without it is marked as seen.")
    @click.option("--resolves", is_flag=True, help="A monitor's recovery resolves its ticket.")
    @_server_options
    def add(context: Context, /, name: str, **given: object) -> None:
        """Make a mailbox of the desk."""
        _put(context, name, None, given)

    @command(mail, "set")
    @click.argument("name")
    @click.option("--address", help="The desk's address.")
    @click.option("--queue", help="Where its mail goes.")
    @click.option("--title", help="The name beside the address.")
    @click.option("--imap", help="HOST or HOST:PORT (993) to read.")
    @click.option("--folder", help="The folder to read.")
    @click.option("--moved-to", help="A folder for what was read.")
    @click.option("--resolves/--no-resolves", default=None, help="For monitors' recoveries.")
    @click.option("--on/--off", "active", default=None, help="Whether mail is taken for it.")
    @_server_options
    def set_(context: Context, /, name: str, **given: object) -> None:
        """Change a mailbox; what is not given stays."""
        there = context.relay.get(segments("mailboxes", name), Mailbox)
        _put(context, name, there, given)

    @command(mail)
    @click.argument("name")
    def remove(context: Context, name: str) -> None:
        """Forget a mailbox and its password; its mails stay."""
        gone = context.relay.post(segments("mailboxes", name, "remove"), Mailbox)
        context.show(gone, lambda: line(f"{gone.name} is forgotten"))

    @command(mail, "outgoing")
    @click.option("--smtp", help="HOST or HOST:PORT (465) that takes what goes out.")
    @click.option("--acknowledge/--no-acknowledge", default=None, help="Answer a new ticket.")
    @click.option("--notify/--no-notify", default=None, help="Write that one was resolved.")
    @_server_options
    def outgoing(
        context: Context,
        /,
        smtp: str | None,
        acknowledge: bool | None,
        notify: bool | None,
        **given: object,
    ) -> None:
        """Say which server takes what goes out, and what the desk writes by itself."""
        status = context.relay.get("/mail/status", MailStatus)
        body: dict[str, object] = {"acknowledge": acknowledge, "notify": notify}
        server = _server(status.smtp, place=smtp, port=465, **given)  # type: ignore[arg-type]
        if server is not None:
            body["smtp"] = server
        status = context.relay.post("/mail/settings", MailStatus, body)
        context.show(status, lambda: _show_status(status))

    @command(mail)
    @click.argument("servers", nargs=-1)
    @click.option("--nobody", is_flag=True, help="Believe every From again.")
    def vouching(context: Context, servers: tuple[str, ...], nobody: bool) -> None:
        """Show or say whose word on senders counts: SERVERS are first words of the
        Authentication-Results that your own mail server writes.
        """
        if servers and nobody:
            raise UsageError("usage", "give either SERVERS or --nobody")
        if servers or nobody:
            status = context.relay.post("/mail/settings", MailStatus, {"authservs": [*servers]})
        else:
            status = context.relay.get("/mail/status", MailStatus)
        context.show(status, lambda: _show_status(status))

    @command(mail, "list")
    def list_mailboxes(context: Context) -> None:
        """List mailboxes; they are few, so all of them."""
        page = context.relay.get("/mailboxes", Page[Mailbox])
        names = ("name", "address", "queue", "imap", "read", "trouble")
        rows = [
            (m.name, m.address, m.queue, _where(m.imap), m.polled_at or "-", m.poll_error)
            for m in page.items
        ]
        context.show(page, lambda: show_table(names, rows))

    @command(mail)
    def status(context: Context) -> None:
        """Show how mail goes: servers, what waits, what nobody understood."""
        found = context.relay.get("/mail/status", MailStatus)
        context.show(found, lambda: _show_status(found))

    @command(mail)
    @click.option("--to", default="", help="Send a mail there as well.")
    def test(context: Context, to: str) -> None:
        """Sign in to every mail server now."""
        trial = context.relay.post("/mail/test", MailTrial, {"to": to}, wait_s=180.0)
        rows = [(one.server, "ok" if one.ok else "FAILED", one.words) for one in trial.items]
        context.show(trial, lambda: show_table(("server", "", "words"), rows))
        if not all(one.ok for one in trial.items):
            raise FarhandError("mail-unreachable", "not every mail server can be used")


def _put(context: Context, name: str, there: Mailbox | None, given: dict[str, object]) -> None:
    folders = {key: given.pop(key) for key in ("folder", "moved_to")}
    mine = ("address", "queue", "title", "resolves", "active")
    body: dict[str, object] = {} if there is None else {key: getattr(there, key) for key in mine}
    body |= {key: given.pop(key) for key in mine if given.get(key) is not None}
    rest = {key: value for key, value in given.items() if key not in (*mine, "imap")}
    place, imap = given.get("imap"), there.imap if there else None
    server = _server(imap, place=place, port=993, **rest)  # type: ignore[arg-type]
    said = {key: value for key, value in folders.items() if value is not None}
    if said and server is None:
        server = _server(imap, place=_again(imap), port=993, **rest)  # type: ignore[arg-type]
    if server is not None:
        body["imap"] = server | said
    made = context.relay.post(segments("mailboxes", name), Mailbox, body)
    context.show(made, lambda: line(f"{made.name}  {made.address}  {_where(made.imap)}"))


def _again(server: MailServer | None) -> str | None:
    return None if server is None else f"{server.host}:{server.port}"


def _show_status(status: MailStatus) -> None:
    show_fields(
        {
            "goes out by": _where(status.smtp),
            "comes in on": status.listening or "IMAP alone",
            "acknowledges": "yes" if status.acknowledge else "no",
            "notifies": "yes" if status.notify else "no",
            "senders vouched for by": ", ".join(status.authservs) or "nobody: From is believed",
            "not read yet": status.waiting_in,
            "not sent yet": status.waiting_out,
            "quarantined": status.quarantined,
            "not delivered": status.failed,
        }
    )
    if status.smtp is None and status.waiting_out:
        say("nothing goes out until a server is named: farhand mail outgoing --smtp HOST")
    rows = [(m.name, m.address, m.poll_error or "ok") for m in status.mailboxes]
    show_table(("mailbox", "address", "reading"), rows)


# Mails.


def _row(one: Mail) -> tuple[object, ...]:
    ticket = f"FH-{one.ticket}" if one.ticket else "-"
    return (
        one.id, one.direction, one.at, one.state, one.reason or one.auto, one.sender, one.subject,
        ticket,
    )  # fmt: skip


def _list(context: Context, query: dict[str, object]) -> None:
    page: Page[Mail] = context.relay.get("/mail/mails", Page[Mail], **query)  # type: ignore[arg-type]
    context.show(page, lambda: show_table(_COLUMNS, [_row(one) for one in page.items]))


def _register_mails(mail: click.Group) -> None:
    @command(mail, "log")
    @click.option("--ticket", help="Those of one ticket; a technician names one.")
    @click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
    @click.option(
        "--direction", type=click.Choice(("in", "out")), help="Only those that came, or went."
    )
    @paged
    def log(
        context: Context,
        ticket: str | None,
        state: str | None,
        direction: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List mails that came and went, newest first."""
        query: dict[str, object] = {"ticket": ticket, "state": state, "direction": direction}
        _list(context, query | {"limit": limit, "cursor": cursor})

    @command(mail)
    @click.argument("mail_id", metavar="ID", type=int)
    @click.option("--raw", is_flag=True, help="Write the whole mail to stdout, as it came.")
    def show(context: Context, mail_id: int, raw: bool) -> None:
        """Show a mail, its recipients, and how it begins."""
        if raw:
            content = context.relay.get_bytes(segments("mail", "mails", str(mail_id), "raw"))
            show_file(content)
            return
        _show(context, mail_id)

    for name, words in (
        ("hold", "Stop a mail that was not sent yet; what it says stays on its ticket."),
        ("send", "Let a held mail go."),
    ):
        _step(mail, name, words)


def _show(context: Context, mail_id: int) -> None:
    shown = context.relay.get(segments("mail", "mails", str(mail_id)), ShownMail)
    context.show(shown, lambda: _show_mail(shown))


def _show_mail(shown: ShownMail) -> None:
    show_fields(
        {
            "id": shown.id,
            "state": shown.state,
            "why": shown.reason,
            "from": shown.sender,
            "subject": shown.subject,
            "message-id": shown.message_id,
            "ticket": f"FH-{shown.ticket}" if shown.ticket else "-",
            "at": shown.at,
        }
    )
    if shown.recipients:
        rows = [(one.address, one.part, one.state, one.words) for one in shown.recipients]
        show_table(("to", "", "state", "words"), rows)
    for text in shown.beginning.splitlines():
        line(text)


def _step(parent: click.Group, name: str, words: str) -> None:
    @command(parent, name, help=words)
    @click.argument("mail_id", metavar="ID", type=int)
    def step(context: Context, mail_id: int) -> None:
        shown = context.relay.post(segments("mail", "mails", str(mail_id), name), ShownMail)
        context.show(shown, lambda: line(f"{shown.id}  {shown.state}"))


def _register_quarantine(quarantine: click.Group) -> None:
    @command(quarantine, "list")
    @paged
    def list_(context: Context, limit: int, cursor: str | None) -> None:
        """List mails that could not be understood, or were not taken."""
        _list(context, {"state": "quarantined", "limit": limit, "cursor": cursor})

    @command(quarantine)
    @click.argument("mail_id", metavar="ID", type=int)
    def show(context: Context, mail_id: int) -> None:
        """Show one, with why it is here and how it begins."""
        _show(context, mail_id)

    for name, words in (
        ("release", "Read one anew, as after an upgrade."),
        ("drop", "Throw one away, but for its row."),
    ):
        _step(quarantine, name, words)
