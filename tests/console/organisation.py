"""A small organisation for the console's own tests: trust documents, one device, no relay.

`FakeTrust` stands in for `VerifiedTrust` with the documents already verified; that the metadata
themselves are verified is tested against a real relay (tests/integration).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from farhand_console.home import Home, Settings
from farhand_protocol.envelopes import Envelope, encode_envelope, seal
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import Manifest
from farhand_protocol.placements import Placements
from farhand_protocol.tokens import Confirmation, Enrolment, Token
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    PERMISSIONS,
    Operator,
    Policy,
    Revocation,
    Revocations,
    Roster,
)

TENANT = "n-testtesttesttest"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def signer() -> SeedSigner:
    """Return a fresh key."""
    return SeedSigner(os.urandom(32))


@dataclass
class FakeTrust:
    """What an organisation's verified documents say."""

    roster: Roster
    policy: Policy = field(
        default_factory=lambda: Policy(tenant=TENANT, approvals=dict(DEFAULT_APPROVALS), groups={})
    )
    placements: Placements = field(default_factory=lambda: Placements(tenant=TENANT, groups={}))
    revocations: Revocations = field(default_factory=lambda: Revocations(tenant=TENANT, revoked=[]))
    targets_version: int = 7

    def revoke(self, kind: Any, subject: str) -> None:
        """Revoke a device or a script."""
        entry = Revocation(kind=kind, subject=subject, reason="test", at=format_instant(NOW))
        self.revocations.revoked.append(entry)


class Organisation:
    """An admin, a technician, and the statements that make a device theirs."""

    def __init__(self) -> None:
        self.admin, self.technician = signer(), signer()
        self.trust: Any = FakeTrust(
            Roster(
                tenant=TENANT,
                operators=[
                    Operator(
                        name="ada", keys=[self.admin.public_key], permissions=list(PERMISSIONS)
                    ),
                    Operator(
                        name="tess",
                        keys=[self.technician.public_key],
                        permissions=["order", "author", "approve:read", "session:*@*"],
                    ),
                ],
            )
        )
        self.token_key, self.device_key = signer(), signer()

    def token(self, by: SeedSigner | None = None, **changes: Any) -> bytes:
        """Return the token statement, by the admin unless said otherwise."""
        statement = Token(
            tenant=TENANT,
            id="t-aaaaaaaaaaaaaaaa",
            key=self.token_key.public_key,
            group="office",
            uses=1,
            created_at=format_instant(NOW),
            expires=format_instant(NOW + timedelta(hours=1)),
        )
        statement = msgspec.structs.replace(statement, **changes)
        return encode_envelope(seal(statement, by or self.admin))

    def enrolment(self, *by: SeedSigner, **changes: Any) -> bytes:
        """Return the enrolment, by token key and device key unless said otherwise."""
        statement = Enrolment(
            tenant=TENANT,
            token="t-aaaaaaaaaaaaaaaa",
            device=device_id(self.device_key.public_key),
            device_key=self.device_key.public_key,
            group="office",
            name="reception",
            at=format_instant(NOW),
        )
        statement = msgspec.structs.replace(statement, **changes)
        return encode_envelope(seal(statement, *(by or (self.token_key, self.device_key))))

    def confirmation(self, by: SeedSigner | None = None, **changes: Any) -> bytes:
        """Return an admin's confirmation."""
        statement = Confirmation(
            tenant=TENANT,
            device=device_id(self.device_key.public_key),
            device_key=self.device_key.public_key,
            group="lab",
            at=format_instant(NOW),
        )
        statement = msgspec.structs.replace(statement, **changes)
        return encode_envelope(seal(statement, by or self.admin))

    def answer(self, **changes: Any) -> dict[str, Any]:
        """Return what an honest relay says of the device."""
        said: dict[str, Any] = {
            "id": device_id(self.device_key.public_key),
            "key": self.device_key.public_key,
            "name": "reception",
            "group": "office",
            "host_name": "vm",
            "enrolment": self.enrolment(),
            "token_envelope": self.token(),
            "confirmation": None,
            "retired_at": None,
        }
        return said | changes


def manifest(author: str = "farhand", **changes: Any) -> Manifest:
    """Return an R0 manifest with one integer and one enum parameter."""
    made = Manifest(
        tenant=TENANT,
        id="check.test",
        version=1,
        title="test",
        description="",
        sha256="0" * 64,
        size_bytes=1,
        author=author,
        platforms=["linux"],
        interpreter="sh",
        parameters={
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
                "mode": {"type": "string", "enum": ["fast", "slow"]},
            },
        },
        run_as="agent",
        risk="R0",
        timeout_s=60,
        max_output_bytes=65_536,
        sensitive=False,
        detect=None,
        verify=None,
        created_at=format_instant(NOW),
        expires=format_instant(NOW + timedelta(days=30)),
    )
    return msgspec.structs.replace(made, **changes)


def approved_manifest(organisation: Organisation, **changes: Any) -> Envelope:
    """Return a sealed manifest that the admin approved."""
    return seal(manifest(**changes), organisation.admin)


def settings(home: Home, **changes: Any) -> Settings:
    """Store and return settings, as a login leaves them."""
    made = Settings(
        url="http://127.0.0.1:1",
        relay_key="00" * 32,
        tls_sha256="",
        tenant=TENANT,
        organisation="Example",
        account="tess",
        role="technician",
        api_token="secret",
    )
    made = msgspec.structs.replace(made, **changes)
    home.save(made)
    return made
