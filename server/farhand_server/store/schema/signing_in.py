"""What people sign in with beyond a password, and what they are on the way to."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["oidc_identities", "recovery_codes", "second_factors", "signin_steps"]

second_factors = Table(
    "second_factors",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("kind", Text, nullable=False),  # totp or webauthn
    Column("label", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # totp: sealed; webauthn: the public key
    Column("credential", Text),  # webauthn: the credential's id, base64url
    Column("counter", BigInteger, nullable=False),  # totp: last step used; webauthn: signatures
    Column("created_at", Text, nullable=False),
    Column("confirmed_at", Text),
    Column("used_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("tenant", "credential"),
    ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"]),
    Index("ix_second_factors_account", "tenant", "account"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    tenant(),
    Column("account", Text, nullable=False),
    Column("secret_sha256", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("used_at", Text),
    PrimaryKeyConstraint("tenant", "account", "secret_sha256"),
    ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"]),
)

# Half-way places: a link that was mailed, a challenge that was sent, a second factor that is due.
signin_steps = Table(
    "signin_steps",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("secret_sha256", Text, nullable=False),
    Column("account", Text),
    Column("state", Text, nullable=False),  # JSON
    Column("tries", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("used_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("secret_sha256"),
    Index("ix_signin_steps_expiry", "tenant", "expires_at"),
)

oidc_identities = Table(
    "oidc_identities",
    metadata,
    tenant(),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "issuer", "subject"),
    ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"]),
)
