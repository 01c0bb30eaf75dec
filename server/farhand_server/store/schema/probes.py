"""What the relay itself looks at: addresses of agentless devices that an admin registered."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["relay_probes"]

relay_probes = Table(
    "relay_probes",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("device", Text, nullable=False),  # an agentless one; its address is the target
    Column("kind", Text, nullable=False),  # ping, dns, tls, http
    Column("port", Integer),
    Column("every_s", Integer, nullable=False),
    Column("next_at", Text, nullable=False),
    Column("state", Text, nullable=False),  # that counts; empty before the first
    Column("pending", Text, nullable=False),  # that was seen last, and is not believed yet
    Column("summary", Text, nullable=False),
    Column("value", Float),
    Column("unit", Text),
    Column("since", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="relay_probes_key"),
    UniqueConstraint("tenant", "device", "kind", "port", name="relay_probes_once"),
    Index("ix_relay_probes_next", "tenant", "next_at"),
)
