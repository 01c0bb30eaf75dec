"""login, whoami, doctor, key show."""

from __future__ import annotations

import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click

from farhand_console.audit import keep_head
from farhand_console.cli.base import Context, command, group
from farhand_console.cli.elsewhere import sign_in_elsewhere
from farhand_console.cli.typed import type_secret
from farhand_console.home import Settings, write_private
from farhand_console.keys import create_key, read_public_key
from farhand_console.output import hint, line, printable, say, show_fields, show_table
from farhand_console.relay import Relay, check_url, fetch_certificate
from farhand_console.relay.answers import Me, SignedIn, SignInAnswer
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import key_fingerprint, public_key_line
from farhand_protocol.tokens import parse_signin_token

__all__ = ["register"]

# Grants and orders hold for ten minutes of skew.
_CLOCK_S = 300
# A terminal is asked so often; the relay ends the sign-in after five.
_FACTOR_TRIES = 3


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    keys = group(root, "key", "The operator's own key.")

    @command(root)
    @click.argument("url")
    @click.option("--token", help="The sign-in token you were given (fhl1:...).")
    @click.option("--name", help="Sign in by account name and password instead.")
    @click.option("--oidc", is_flag=True, help="Sign in with an account elsewhere, by browser.")
    @click.option("--no-browser", is_flag=True, help="With --oidc: the browser is elsewhere.")
    @click.option("--key", type=click.Path(dir_okay=False), help="Use this operator key file.")
    def login(
        context: Context,
        url: str,
        token: str | None,
        name: str | None,
        oidc: bool,
        no_browser: bool,
        key: str | None,
    ) -> None:
        """Sign in to a relay and make the operator's key if there is none."""
        if no_browser and not oidc:
            raise UsageError("usage", "--no-browser is for --oidc")
        way = _Way(token=token, name=name, oidc=oidc, with_browser=not no_browser)
        settings = _sign_in(context, check_url(url), way, key)
        file = (
            Path(settings.key_file) if settings.key_file else context.home.folder / "operator.key"
        )
        public = create_key(file, f"{settings.account}@{settings.organisation}")
        answer = {
            "url": settings.url,
            "account": settings.account,
            "role": settings.role,
            "organisation": settings.organisation,
            "key": public_key_line(public),
            "fingerprint": key_fingerprint(public),
        }
        context.show(answer, lambda: show_fields(answer))

    @command(root)
    def whoami(context: Context) -> None:
        """Show who is signed in, where, and with which key."""
        me = context.relay.get("/me", Me).account
        public = read_public_key(context.home.key_file())
        answer = {
            "account": me.name,
            "role": me.role,
            "url": context.settings.url,
            "organisation": context.settings.organisation,
            "key": public_key_line(public),
            "fingerprint": key_fingerprint(public),
        }
        context.show(answer, lambda: show_fields(answer))

    @command(root)
    def doctor(context: Context) -> None:
        """Check this console: home, key, relay, clock, trust."""
        checks = _doctor(context)
        answer = {"items": checks, "next": None}
        context.show(
            answer,
            lambda: show_table(
                ("check", "state", "words"), [(c["id"], c["state"], c["summary"]) for c in checks]
            ),
        )
        if any(check["state"] == "failed" for check in checks):
            raise FarhandError("doctor-failed", "something here needs attention")

    @command(keys)
    def show(context: Context) -> None:
        """Show the operator's public key, to give to an admin."""
        public = read_public_key(context.home.key_file())
        answer = {
            "key": public_key_line(public),
            "fingerprint": key_fingerprint(public),
            "path": str(context.home.key_file()),
        }

        def readable() -> None:
            line(answer["key"])  # alone on stdout: it goes into a file
            say(f"fingerprint {answer['fingerprint']}: the admin who adds you compares it")

        context.show(answer, readable)


class _Way(NamedTuple):
    """How somebody wants to sign in."""

    token: str | None
    name: str | None
    oidc: bool
    with_browser: bool


def _sign_in(context: Context, url: str, way: _Way, key: str | None) -> Settings:
    before = context.home.settings_or_none()
    token, name = way.token, way.name
    body: dict[str, str] = {}
    if token:
        pinned = parse_signin_token(token)
        body = {"token": token}
        relay_key, fingerprint, tenant = pinned.relay_key, pinned.tls_sha256, pinned.tenant
        root_version, root_sha256 = pinned.root_version, pinned.root_sha256.hex()
    elif (name or way.oidc) and before and before.url == url:
        if name and not way.oidc:
            body = {"name": name, "password": type_secret("password")}
        relay_key, fingerprint = bytes.fromhex(before.relay_key), bytes.fromhex(before.tls_sha256)
        tenant = before.tenant
        root_version, root_sha256 = before.root_version, before.root_sha256
    elif before and before.url != url:
        raise UsageError(
            "usage",
            f"this home is signed in at {printable(before.url, 200)}; another address needs "
            "--token",
            hint="farhand-server signin NAME prints one on the relay's host; for another relay "
            "use a folder of its own: --home DIR",
        )
    elif before:
        raise UsageError("usage", "give --name NAME, for a password, --oidc or --token")
    else:
        raise UsageError(
            "usage",
            "the first sign-in on this home needs --token",
            hint="ask an admin for one: farhand account add NAME --role ROLE",
        )
    if before and before.relay_key != relay_key.hex():
        raise FarhandError(
            "relay-key-mismatch",
            "this home is signed in to another relay",
            hint="use a folder of its own for each relay: --home DIR",
        )
    certificate = None
    if url.startswith("https:") and fingerprint:
        write_private(context.home.certificate_file, fetch_certificate(url, fingerprint).encode())
        certificate = context.home.certificate_file
    relay = Relay(url, None, certificate)
    try:
        if body:
            first = relay.post("/sign-in", SignInAnswer, body)
        else:
            first = sign_in_elsewhere(relay, with_browser=way.with_browser)
        answer = _finish(relay, first)
    finally:
        relay.close()
    if answer.relay_key != relay_key or answer.organisation.tenant != tenant:
        raise FarhandError("relay-key-mismatch", "the relay is not the one that the token names")
    settings = Settings(
        url=url,
        relay_key=relay_key.hex(),
        tls_sha256=fingerprint.hex(),
        tenant=tenant,
        organisation=answer.organisation.name,
        account=answer.account.name,
        role=answer.account.role,
        api_token=answer.token,
        root_version=(before.root_version if before else 0) or root_version,
        root_sha256=(before.root_sha256 if before else "") or root_sha256,
        key_file=_key_file(key) if key else (before.key_file if before else ""),
    )
    with context.home.locked("home"):
        context.home.save(settings)
    keep_head(context.home, answer.audit_head, relay_key)
    return settings


def _finish(relay: Relay, answer: SignInAnswer) -> SignedIn:
    """Ask for the second factor where one is due."""
    for left in reversed(range(_FACTOR_TRIES)):
        if not answer.pending:
            break
        if not {"totp", "recovery"} & set(answer.factors):
            raise FarhandError(
                "factor-browser",
                "this account has a security key only, which works in a browser",
                hint="add an authenticator app there, or sign in with --oidc",
            )
        code = type_secret("code of your authenticator app, or a recovery code")
        body = {"pending": answer.pending, "code": code}
        try:
            answer = relay.post("/sign-in/second", SignInAnswer, body)
        except FarhandError as error:
            # What is read from a pipe is not asked for again.
            if error.code != "factor-wrong" or not left or not sys.stdin.isatty():
                raise
            say(error.message)
    done = answer.signed_in()
    if done is None:
        raise FarhandError("relay-answer", "the relay's answer to the sign-in cannot be read")
    if answer.needs_factor:
        hint("your role needs a second factor: farhand account factor add, then sign in again")
    return done


def _key_file(text: str) -> str:
    """Return the private key's path; a public key names the one in an ssh-agent."""
    path = Path(text).absolute()
    return str(path.with_suffix("") if path.suffix == ".pub" else path)


def _doctor(context: Context) -> list[dict[str, str]]:
    checks: list[dict[str, str]] = []

    def add(name: str, state: str, words: str) -> None:
        checks.append({"id": name, "state": state, "summary": words})

    folder = context.home.folder
    free = shutil.disk_usage(folder if folder.is_dir() else Path.home()).free
    state = "ok" if free > 100 * 1024 * 1024 else "failed"
    add("disk", state, f"{free // (1024 * 1024)} MiB free")
    try:
        public = read_public_key(context.home.key_file())
        add("key", "ok", key_fingerprint(public))
    except FarhandError as error:
        add("key", "failed", error.message)
    try:
        before = time.monotonic()
        me = context.relay.get("/me", Me).account
        took_ms = (time.monotonic() - before) * 1000
        add("relay", "ok", f"signed in as {me.name} ({me.role}), {took_ms:.0f} ms")
    except FarhandError as error:
        add("relay", "failed", f"{error.code}: {error.message}")
        return checks
    drift_s = abs(context.relay.clock_offset_s or 0)
    add("clock", "ok" if drift_s < _CLOCK_S else "failed", f"{drift_s:.0f} s from the relay's")
    try:
        trust = context.trust()
        left = trust.targets.signed.expires - datetime.now(UTC)
        add("trust", "ok" if left.days >= 7 else "warning", f"targets valid for {left.days} days")
    except FarhandError as error:
        add("trust", "warning" if error.code == "no-trust-root" else "failed", error.message)
    return checks
