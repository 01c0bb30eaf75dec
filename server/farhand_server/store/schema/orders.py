"""Orders and campaigns."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = ["campaign_counts", "campaigns", "order_events", "orders"]

campaigns = Table(
    "campaigns",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("script", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("risk", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON
    Column("ttl_s", Integer, nullable=False),
    Column("rings", Text, nullable=False),  # JSON list of ring settings
    Column("state", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
)

orders = Table(
    "orders",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("campaign", Text),
    Column("ring", Integer),
    Column("ticket", Integer),
    Column("script", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("operator", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("envelope", LargeBinary),  # null while the target is only planned
    Column("not_before", Text),
    Column("expires_at", Text),
    Column("cancel_requested_at", Text),
    Column("exit_code", Integer),
    Column("refusal", Text),
    Column("cause", Text),  # normalised error, for grouping
    Column("result", LargeBinary),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_orders_device", "tenant", "device", "state"),
    Index("ix_orders_campaign", "tenant", "campaign", "ring", "state"),
    Index("ix_orders_state", "state", "expires_at"),
    Index("ix_orders_listed", "tenant", "campaign", "created_at", "id"),
    Index("ix_orders_target", "tenant", "campaign", "device"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("order_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_order_events", "tenant", "order_id", "seq"),
)

campaign_counts = Table(
    "campaign_counts",
    metadata,
    tenant(),
    Column("campaign", Text, nullable=False),
    Column("ring", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "campaign", "ring", "state"),
)
