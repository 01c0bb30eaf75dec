"""Enrolment tokens, composed here from this console's own pins; the relay gets the registration."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from farhand_console.home import Settings
from farhand_console.relay import Relay
from farhand_console.relay.answers import Nothing
from farhand_console.trust.signing import check_may_sign
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner, Signer
from farhand_protocol.placements import is_group
from farhand_protocol.tokens import EnrolmentToken, Token, format_enrolment_token

__all__ = ["check_group", "make_token"]


def check_group(group: str) -> None:
    """Check a group's name as it was typed.

    Raises:
        UsageError: `usage`.
    """
    if not is_group(group):
        raise UsageError(
            "usage", f"{group[:80]!r} is not a group's name: small letters, digits, ._-"
        )


def make_token(
    trust: VerifiedTrust,
    admin: Signer,
    settings: Settings,
    relay: Relay,
    *,
    group: str,
    uses: int,
    ttl_s: int,
) -> tuple[str, str]:
    """Register a token and return it, with the time at which it expires.

    Args:
        trust: verified metadata, whose version the device will not go below.
        admin: the key that signs the token's group and expiry.
        settings: this console's pins.
        relay: keeps the registration; it never sees the token's secret.
        group: into which devices enrol.
        uses: how many devices.
        ttl_s: seconds until it expires.

    Raises:
        UsageError: `usage` for a group that cannot be one.
        RefusedError: what `check_may_sign` raises.
    """
    check_group(group)
    check_may_sign(trust, admin.public_key, "targets")
    seed = secrets.token_bytes(32)
    now = datetime.now(UTC).replace(microsecond=0)
    statement = Token(
        tenant=settings.tenant,
        id=make_id("t", secrets.token_bytes(10)),
        key=SeedSigner(seed).public_key,
        group=group,
        uses=uses,
        created_at=format_instant(now),
        expires=format_instant(now + timedelta(seconds=ttl_s)),
    )
    relay.post("/tokens", Nothing, {"envelope": encode_envelope(seal(statement, admin))})
    text = format_enrolment_token(
        EnrolmentToken(
            url=settings.url,
            relay_key=bytes.fromhex(settings.relay_key),
            tls_sha256=bytes.fromhex(settings.tls_sha256),
            tenant=settings.tenant,
            token=statement.id,
            group=group,
            root_version=settings.root_version,
            root_sha256=bytes.fromhex(settings.root_sha256),
            targets_version=trust.targets_version,
            seed=seed,
        )
    )
    return text, statement.expires
