"""account add, list, disable, set, password: who may sign in to the relay (the first lock)."""

from __future__ import annotations

import click
import msgspec

from farhand_console.cli import account_care, factors
from farhand_console.cli.base import Context, command, group, paged
from farhand_console.cli.typed import type_secret
from farhand_console.output import hint, line, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Account, AddedAccount, Nothing, Page
from farhand_protocol.errors import FarhandError
from farhand_protocol.tokens import format_signin_token, parse_signin_token

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    accounts = group(root, "account", "Who may sign in to the relay.")
    account_care.register(accounts)
    factors.register(accounts)

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
                ("name", "role", "tier", "disabled"),
                [(a.name, a.role, a.tier, a.disabled_at) for a in page.items],
            ),
        )

    @command(accounts)
    @click.argument("name")
    def disable(context: Context, name: str) -> None:
        """Disable an account and end its sign-ins at once."""
        context.relay.post(segments("accounts", name, "disable"), Nothing)
        answer = {"name": name, "disabled": True}
        context.show(answer, lambda: show_fields(answer))

    @command(accounts, "set")
    @click.argument("name")
    @click.option(
        "--tier",
        required=True,
        type=click.IntRange(1, 3),
        help="Of a technician; what needs a tier is a setting.",
    )
    def set_account(context: Context, name: str, tier: int) -> None:
        """Set a technician's tier."""
        body = {"tier": tier}
        account = context.relay.post(segments("accounts", name, "tier"), Account, body)
        answer = {"name": account.name, "role": account.role, "tier": account.tier}
        context.show(answer, lambda: show_fields(answer))

    @command(accounts)
    def password(context: Context) -> None:
        """Set your own password, for `farhand login URL --name NAME`."""
        current = type_secret("current password (empty if there is none)", may_be_empty=True)
        new = type_secret("new password", confirm=True)
        body = {"password": new, "current": current or None}
        context.relay.post("/me/password", Nothing, body)
        answer = {"changed": True}
        context.show(answer, lambda: show_fields(answer))


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
