"""Tables of alerts: what checks on devices found wrong, and devices that are being worked on."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, PrimaryKeyConstraint, Table, Text

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["alerts", "maintenance"]

alerts = Table(
    "alerts",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of device, check and subject
    Column("device", Text, nullable=False),
    Column("check_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", Text, nullable=False),  # open, acknowledged, blind, recovered, withdrawn
    Column("severity", Text, nullable=False),  # warning, critical; unknown of a blind spot
    Column("told", Text, nullable=False),  # what the device said last
    Column("summary", Text, nullable=False),
    Column("value", Float),
    Column("unit", Text),
    Column("opened_at", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("closed_at", Text),
    Column("acknowledged_at", Text),
    Column("acknowledged_by", Text),
    Column("ticket", Integer),
    Column("withheld", Text, nullable=False),  # why it has no ticket: maintenance, limit, policy
    Column("flaps", Integer, nullable=False),
    Column("flapping", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_alerts_device", "tenant", "device", "state"),
    Index("ix_alerts_fingerprint", "tenant", "fingerprint", "opened_at"),
    Index("ix_alerts_listed", "tenant", "opened_at", "id"),
    Index("ix_alerts_state", "tenant", "state", "opened_at", "id"),
    Index("ix_alerts_closed", "tenant", "closed_at"),
)

maintenance = Table(
    "maintenance",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device"),
    Index("ix_maintenance_until", "tenant", "until"),
)
