"""Trust metadata and scripts, only stored and served."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["scripts", "trust_metadata", "trust_targets"]

trust_metadata = Table(
    "trust_metadata",
    metadata,
    tenant(),
    Column("role", Text, nullable=False),  # root, targets, snapshot, timestamp
    Column("version", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "role", "version"),
)

trust_targets = Table(
    "trust_targets",
    metadata,
    tenant(),
    Column("sha256", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "sha256", "path"),
)

scripts = Table(
    "scripts",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),  # submitted, published, revoked
    Column("risk", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id", "version"),
)
