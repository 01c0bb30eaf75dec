"""Accounts (the first lock), what they sign in with, and answers kept for them."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["accounts", "api_tokens", "idempotency_keys", "jump_keys", "tenants"]

tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("disabled_at", Text),
    Column("person", Text),
    Column("tier", Integer, nullable=False, default=1),  # 1 to 3; what it allows is a setting
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("tenant", "name"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("kind", Text, nullable=False),  # signin (one use) or api
    Column("secret_sha256", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # space separated, `*` for all of the role
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("used_at", Text),
    Column("revoked_at", Text),
    Column("how", Text, nullable=False, default=""),  # password, token, link, oidc
    Column("address", Text, nullable=False, default=""),  # from where it was made
    Column("last_used_at", Text),  # within a minute
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("secret_sha256"),
    ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"]),
)

jump_keys = Table(
    "jump_keys",
    metadata,
    tenant(),
    Column("key", Text, nullable=False),  # raw Ed25519 public key, hex
    Column("account", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "key"),
    ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"]),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    tenant(),
    Column("account", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("status", Integer),  # null while the first request is still running
    Column("response", LargeBinary),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "account", "key"),
)
