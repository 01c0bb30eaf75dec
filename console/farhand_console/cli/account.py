"""account add, list, disable, password: who may sign in to the relay (the first lock)."""

from __future__ import annotations

import sys

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import hint, line, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Account, AddedAccount, Nothing, Page
from farhand_protocol.errors import FarhandError
from farhand_protocol.tokens import format_signin_token, parse_signin_token

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    accounts = group(root, "account", "Who may sign in to the relay.")

    @command(accounts)
    @click.argument("name")
    @click.option(
        "--role",
        required=True,
        type=click.Choice(["technician", "admin", "auditor", "requester"]),
    )
    def add(context: Context, name: str, role: str) -> None:
        """Add an account and print its one-use sign-in token."""
        made = context.relay.post("/accounts", AddedAccount, {"name": name, "role": role})
        answer = {
            "id": made.id,
            "name": made.name,
            "role": made.role,
            "signin_token": _pinned(context, made.signin_token),
        }

        def readable() -> None:
            show_fields({k: answer[k] for k in ("name", "role")})
            line(answer["signin_token"])
            hint(f"{name} runs: farhand login {context.settings.url} --token TOKEN")

        context.show(answer, readable)

    @command(accounts, "list")
    @paged
    def list_accounts(context: Context, limit: int, cursor: str | None) -> None:
        """List accounts."""
        page = context.relay.get("/accounts", Page[Account], limit=limit, cursor=cursor)
        context.show(
            page,
            lambda: show_table(
                ("name", "role", "disabled"),
                [(a.name, a.role, a.disabled_at) for a in page.items],
            ),
        )

    @command(accounts)
    @click.argument("name")
    def disable(context: Context, name: str) -> None:
        """Disable an account and end its sign-ins at once."""
        context.relay.post(segments("accounts", name, "disable"), Nothing)
        answer = {"name": name, "disabled": True}
        context.show(answer, lambda: show_fields(answer))

    @command(accounts)
    def password(context: Context) -> None:
        """Set your own password, for `farhand login URL --name NAME`."""
        current = _ask("current password (empty if there is none)", confirm=False)
        new = _ask("new password", confirm=True)
        body = {"password": new, "current": current or None}
        context.relay.post("/me/password", Nothing, body)
        answer = {"changed": True}
        context.show(answer, lambda: show_fields(answer))


def _ask(words: str, *, confirm: bool) -> str:
    """Ask on the terminal, or read one line of stdin where there is none."""
    if sys.stdin.isatty():
        return str(
            click.prompt(
                words,
                hide_input=True,
                confirmation_prompt=confirm,
                default=None if confirm else "",
                show_default=False,
                err=True,
            )
        )
    return sys.stdin.readline(1024).rstrip("\n")


def _pinned(context: Context, text: str) -> str:
    """Put this console's own pins into a sign-in token that the relay made."""
    try:
        token = parse_signin_token(text)
    except FarhandError as error:
        raise FarhandError("relay-answer", "the relay's sign-in token cannot be read") from error
    settings = context.settings
    if token.relay_key.hex() != settings.relay_key or token.tenant != settings.tenant:
        raise FarhandError("relay-key-mismatch", "the relay put another key into the token")
    try:
        context.trust()
    except FarhandError as error:
        if error.code != "no-trust-root":
            raise
    settings = context.home.settings()
    return format_signin_token(
        msgspec.structs.replace(
            token,
            root_version=settings.root_version,
            root_sha256=bytes.fromhex(settings.root_sha256),
        )
    )
