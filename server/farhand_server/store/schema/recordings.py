"""Sealed recordings: the relay holds no key that opens a ciphertext.

A chunk is written once; what retention erases leaves its row in `recordings`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["recording_chunks", "recordings"]

recordings = Table(
    "recordings",
    metadata,
    tenant(),
    Column("session", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("last_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("erased_at", Text),
    Column("chunks", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("dropped_bytes", BigInteger, nullable=False),
    Column("keep_days", Integer, nullable=False),
    Column("head_sha256", Text, nullable=False),
    Column("complete", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant", "session"),
    Index("ix_recordings_device", "tenant", "device", "started_at"),
    Index("ix_recordings_expires", "tenant", "expires_at"),
)

recording_chunks = Table(
    "recording_chunks",
    metadata,
    tenant(),
    Column("session", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),  # the sealed RecordingHead
    Column("head_sha256", Text, nullable=False),  # of its payload
    Column("ciphertext", LargeBinary, nullable=False),
    Column("witnessed_at", Text, nullable=False),
    Column("witness", LargeBinary, nullable=False),  # the relay's signature
    PrimaryKeyConstraint("tenant", "session", "number"),
)
