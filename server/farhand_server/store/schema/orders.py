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

__all__ = [
    "campaign_counts",
    "campaign_rings",
    "campaign_slots",
    "campaigns",
    "order_events",
    "orders",
]

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
    Column("plan", Text, nullable=False),  # JSON of protocol.campaigns.CampaignPlan
    Column("target_set", Text),  # hash of the frozen devices and their rings
    Column("source", Text),  # the campaign whose targets these were
    Column("reason", Text),  # why it stands still
    Column("forgiven", Text),  # JSON of the counts by ring when somebody last resumed it
    Column("max_in_flight", Integer),  # as the plan says; null is without a limit
    Column("open_ring", Integer, nullable=False, server_default="0"),
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
    Column("domain", Text),  # of which a campaign lets only so many devices work at once
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
    Index("ix_orders_newest", "tenant", "created_at", "id"),
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
    Column("campaign", Text),  # of the order, or what the event itself is about
    Index("ix_order_events", "tenant", "order_id", "seq"),
    Index("ix_order_events_campaign", "tenant", "campaign", "seq"),
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

campaign_rings = Table(
    "campaign_rings",
    metadata,
    tenant(),
    Column("campaign", Text, nullable=False),
    Column("ring", Integer, nullable=False),
    Column("targets", Integer, nullable=False),
    Column("opened_at", Text),
    Column("settled_at", Text),  # enough of it has finished; from here it soaks
    Column("held", Text),  # why the next one does not begin
    Column("approved_by", Text),
    Column("approved_at", Text),
    PrimaryKeyConstraint("tenant", "campaign", "ring"),
)

# Who is about to be told while others are counted; a node that dies leaves its rows until `until`.
campaign_slots = Table(
    "campaign_slots",
    metadata,
    tenant(),
    Column("order_id", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("domain", Text),
    Column("until", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "order_id"),
    Index("ix_campaign_slots", "tenant", "campaign"),
)
