"""token create: an enrolment token, composed here from this console's own pins."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import hint, line, show_table
from farhand_console.relay.answers import Nothing, Page, TokenRegistration
from farhand_console.trust.signing import check_may_sign
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.placements import is_group
from farhand_protocol.tokens import EnrolmentToken, Token, format_enrolment_token

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    tokens = group(root, "token", "Enrolment tokens for new devices.")

    @command(tokens)
    @click.option("--group", "device_group", default="default", show_default=True)
    @click.option("--uses", type=click.IntRange(1, 100_000), default=1, show_default=True)
    @click.option(
        "--ttl",
        type=click.IntRange(1, 365 * 86_400),
        default=3600,
        show_default=True,
        help="Seconds.",
    )
    def create(context: Context, device_group: str, uses: int, ttl: int) -> None:
        """Make a token that enrols devices into a group; the relay gets only its registration."""
        if not is_group(device_group):
            raise UsageError(
                "usage", f"{device_group[:80]!r} is not a group's name: small letters, digits, ._-"
            )
        trust = context.trust()
        admin = context.signer()
        check_may_sign(trust, admin.public_key, "targets")
        settings = context.settings
        seed = secrets.token_bytes(32)
        now = datetime.now(UTC).replace(microsecond=0)
        statement = Token(
            tenant=settings.tenant,
            id=make_id("t", secrets.token_bytes(10)),
            key=SeedSigner(seed).public_key,
            group=device_group,
            uses=uses,
            created_at=format_instant(now),
            expires=format_instant(now + timedelta(seconds=ttl)),
        )
        body = {"envelope": encode_envelope(seal(statement, admin))}
        context.relay.post("/tokens", Nothing, body)
        text = format_enrolment_token(
            EnrolmentToken(
                url=settings.url,
                relay_key=bytes.fromhex(settings.relay_key),
                tls_sha256=bytes.fromhex(settings.tls_sha256),
                tenant=settings.tenant,
                token=statement.id,
                group=device_group,
                root_version=settings.root_version,
                root_sha256=bytes.fromhex(settings.root_sha256),
                targets_version=trust.targets_version,
                seed=seed,
            )
        )
        answer = {
            "token": text,
            "group": device_group,
            "uses": uses,
            "expires_at": statement.expires,
        }

        def readable() -> None:
            line(text)
            hint("on the device: farhand-agent enrol --home DIR TOKEN")

        context.show(answer, readable)

    @command(tokens, "list")
    @paged
    def list_tokens(context: Context, limit: int, cursor: str | None) -> None:
        """List token registrations (never the tokens themselves)."""
        page = context.relay.get("/tokens", Page[TokenRegistration], limit=limit, cursor=cursor)
        context.show(
            page,
            lambda: show_table(
                ("id", "group", "uses left", "expires"),
                [(t.id, t.group, t.uses_left, t.expires_at) for t in page.items],
            ),
        )
