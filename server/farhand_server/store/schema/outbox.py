"""What the relay has to send to somebody else, each piece once, until it is taken or given up."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["outbox"]

outbox = Table(
    "outbox",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # which sender takes it
    Column("key", Text),  # the same twice is one item; none where nobody gave one
    Column("payload", Text, nullable=False),  # JSON
    Column("state", Text, nullable=False),  # waiting, taken, done, dead
    Column("tries", Integer, nullable=False),
    Column("claims", Integer, nullable=False),  # fences off whoever lost its lease
    Column("next_at", Text, nullable=False),  # when it is due; of a taken one, its lease's end
    Column("last_error", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("ended_at", Text),
    PrimaryKeyConstraint("tenant", "id", name="outbox_key"),
    UniqueConstraint("tenant", "kind", "key", name="outbox_once"),
    Index("ix_outbox_due", "tenant", "state", "kind", "next_at"),
    Index("ix_outbox_ended", "tenant", "ended_at"),
    Index("ix_outbox_newest", "tenant", "created_at", "id"),
)
