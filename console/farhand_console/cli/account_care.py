"""account sessions, sign-out, reset, use-reset, forgot, settings: around signing in."""

from __future__ import annotations

from typing import Any

import click

from farhand_console.cli.base import Context, command, parse_pairs
from farhand_console.cli.typed import type_secret
from farhand_console.output import hint, line, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import (
    Nothing,
    Page,
    ResetToken,
    SignInLine,
    SignInSettings,
)
from farhand_protocol.errors import UsageError

__all__ = ["register"]

_ROLES = ["technician", "admin", "auditor", "requester"]


def register(accounts: click.Group) -> None:
    """Add the commands of this file."""

    @command(accounts)
    @click.argument("name", required=False)
    def sessions(context: Context, name: str | None) -> None:
        """List where you are signed in; an admin may name somebody else."""
        page = context.relay.get(_sign_ins(name), Page[SignInLine])
        context.show(
            page,
            lambda: show_table(
                ("id", "how", "from", "made", "last used", ""),
                [
                    (s.id, s.how, s.address, s.created_at, s.last_used_at, _mark(s))
                    for s in page.items
                ],
            ),
        )

    @command(accounts, "sign-out")
    @click.argument("which", required=False)
    @click.option("--all", "everywhere", is_flag=True, help="Everywhere, this console included.")
    @click.option("--name", help="Somebody else's sign-ins; for admins.")
    def sign_out(context: Context, which: str | None, everywhere: bool, name: str | None) -> None:
        """End the sign-in WHICH of the list, with --all each; without either this one."""
        if which is not None and everywhere:
            raise UsageError("usage", "give one sign-in, or --all")
        if which is None and not everywhere:
            if name is not None:
                raise UsageError("usage", "give one sign-in of hers, or --all")
            context.relay.post("/sign-out", Nothing)
        else:
            chosen = "all" if everywhere else which
            context.relay.post(_sign_ins(name) + segments(chosen, "end"), Nothing)
        answer = {"ended": which or ("all" if everywhere else "this")}
        context.show(answer, lambda: show_fields(answer))

    @command(accounts)
    @click.argument("name")
    def reset(context: Context, name: str) -> None:
        """Print a link with which NAME sets a new password, once and within an hour."""
        made = context.relay.post(segments("accounts", name, "reset"), ResetToken)

        def readable() -> None:
            line(made.token)
            hint(f"{name} runs: farhand account use-reset TOKEN, or opens {made.url}")

        context.show(made, readable)

    @command(accounts, "use-reset")
    @click.argument("token")
    def use_reset(context: Context, token: str) -> None:
        """Set a new password with the TOKEN that was mailed or handed to you."""
        new = type_secret("new password", confirm=True)
        context.relay.post("/sign-in/reset", Nothing, {"token": token, "password": new})
        answer = {"changed": True}
        context.show(answer, lambda: show_fields(answer))

    @command(accounts)
    @click.argument("name")
    def forgot(context: Context, name: str) -> None:
        """Have a link mailed to the verified address of NAME, to set a new password."""
        context.relay.post("/sign-in/forgot", Nothing, {"name": name})
        answer = {"sent": "if there is somebody to write to"}
        context.show(answer, lambda: show_fields(answer))

    @command(accounts)
    @click.option(
        "--factor-role",
        "factor_roles",
        multiple=True,
        type=click.Choice([*_ROLES, "none"]),
        help="A role that must have a second factor; none for none. Several times.",
    )
    @click.option(
        "--links",
        "links_for",
        type=click.Choice(["nobody", "known", "anyone"]),
        help="Who may sign in by a link in a mail.",
    )
    @click.option(
        "--tier-right",
        "tier_rights",
        multiple=True,
        metavar="ACTION=TIER",
        help="What needs a tier, such as order.create:R2=2; none=1 for nothing. Several times.",
    )
    def settings(
        context: Context,
        factor_roles: tuple[str, ...],
        links_for: str | None,
        tier_rights: tuple[str, ...],
    ) -> None:
        """Show how people sign in here, or change what is given."""
        body: dict[str, Any] = {}
        if factor_roles:
            body["factor_roles"] = [role for role in factor_roles if role != "none"]
        if links_for:
            body["links_for"] = links_for
        if tier_rights:
            body["tier_rights"] = _tiers(tier_rights)
        path = "/sign-in-settings"
        if body:
            kept = context.relay.post(path, SignInSettings, body)
        else:
            kept = context.relay.get(path, SignInSettings)

        def readable() -> None:
            rights = ", ".join(f"{name}={tier}" for name, tier in kept.tier_rights.items())
            show_fields(
                {
                    "second factor needed by": ", ".join(kept.factor_roles) or "nobody",
                    "links by mail for": kept.links_for,
                    "needs a tier": rights or "nothing",
                }
            )

        context.show(kept, readable)

    @command(accounts)
    @click.option("--issuer", help="Address of the OpenID provider; off switches it off.")
    @click.option("--client-id", help="What the relay is called there.")
    @click.option("--secret-file", help="File in the relay's home with the client's secret.")
    @click.option("--domain", "domains", multiple=True, help="A domain of mail that may sign in.")
    @click.option(
        "--make-requesters/--no-make-requesters", default=None, help="Let unknown people in."
    )
    @click.option(
        "--own-factor/--no-own-factor", default=None, help="Ask for our second factor as well."
    )
    def oidc(
        context: Context,
        issuer: str | None,
        client_id: str | None,
        secret_file: str | None,
        domains: tuple[str, ...],
        make_requesters: bool | None,
        own_factor: bool | None,
    ) -> None:
        """Show or change with which accounts elsewhere people sign in."""
        path = "/sign-in-settings/oidc"
        kept = context.relay.get(path, dict[str, Any])
        given = {
            "issuer": "" if issuer == "off" else issuer,
            "client_id": client_id,
            "secret_file": secret_file,
            "domains": list(domains) or None,
            "makes_requesters": make_requesters,
            "asks_own_factor": own_factor,
        }
        if any(value is not None for value in given.values()):
            changed = {name: value for name, value in given.items() if value is not None}
            kept = context.relay.post(path, dict[str, Any], {**kept, **changed})
        context.show(kept, lambda: show_fields(kept))


def _sign_ins(name: str | None) -> str:
    return "/me/sign-ins" if name is None else segments("accounts", name, "sign-ins")


def _mark(one: SignInLine) -> str:
    if one.is_this:
        return "this one"
    return "may only add a second factor" if one.is_enrolling else ""


def _tiers(pairs: tuple[str, ...]) -> dict[str, int]:
    tiers = {}
    for name, text in parse_pairs(pairs).items():
        if not text.isascii() or not text.isdigit():
            raise UsageError("usage", f"{text[:20]!r} is no tier; tiers are 1 to 3")
        if name != "none":
            tiers[name] = int(text)
    return tiers
