"""account factor: one's own second factors; `reset` is an admin's."""

from __future__ import annotations

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.cli.typed import type_secret
from farhand_console.output import hint, line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Factors, NewTotp, Nothing, RecoveryCodes

__all__ = ["register"]

_CODE = "a code of your authenticator app, or a recovery code"


def register(accounts: click.Group) -> None:
    """Add the commands of this file."""
    factors = group(accounts, "factor", "Your second factors.")

    @command(factors, "list")
    def list_factors(context: Context) -> None:
        """List your second factors."""
        found = context.relay.get("/me/factors", Factors)

        def readable() -> None:
            show_table(
                ("id", "kind", "label", "added", "used"),
                [(f.id, f.kind, f.label, f.created_at, f.used_at) for f in found.items],
            )
            say(f"{found.recovery_left} recovery codes are left")

        context.show(found, readable)

    @command(factors)
    @click.option("--label", default="authenticator", show_default=True, help="What you call it.")
    def add(context: Context, label: str) -> None:
        """Add an authenticator app (TOTP): shows its secret, asks for its first code.

        Whoever has a second factor already is asked for a code of that one first.
        """
        wish = {"label": label}
        if context.relay.get("/me/factors", Factors).items:
            wish["code"] = type_secret(_CODE)
        made = context.relay.post("/me/factors/totp", NewTotp, wish)
        say("give this to your authenticator app, as a QR code or by hand; it is shown once:")
        say(made.uri)
        say(f"secret {made.secret}")
        code = type_secret("the code that the app shows now")
        path = segments("me", "factors", "totp", made.id, "confirm")
        codes = context.relay.post(path, RecoveryCodes, {"code": code}).recovery_codes
        answer = {"id": made.id, "label": label, "recovery_codes": codes}
        context.show(answer, lambda: _show_codes(codes, f"added {made.id}"))

    @command(factors)
    def recovery(context: Context) -> None:
        """Make new recovery codes; the old ones end."""
        body = {"code": type_secret(_CODE)}
        made = context.relay.post("/me/factors/recovery", RecoveryCodes, body)
        context.show(made, lambda: _show_codes(made.recovery_codes, "the old codes have ended"))

    @command(factors)
    @click.argument("factor")
    def remove(context: Context, factor: str) -> None:
        """Remove one of your second factors."""
        body = {"code": type_secret(_CODE)}
        context.relay.post(segments("me", "factors", factor, "remove"), Nothing, body)
        answer = {"id": factor, "removed": True}
        context.show(answer, lambda: show_fields(answer))

    @command(factors)
    @click.argument("name")
    def reset(context: Context, name: str) -> None:
        """Take all second factors from the account NAME, whose owner lost hers."""
        context.relay.post(segments("accounts", name, "factors", "reset"), Nothing)
        answer = {"name": name, "reset": True}
        context.show(answer, lambda: show_fields(answer))


def _show_codes(codes: list[str], words: str) -> None:
    say(words)
    for code in codes:
        line(code)
    if codes:
        hint("keep these recovery codes apart from the app; each works once, none is shown again")
