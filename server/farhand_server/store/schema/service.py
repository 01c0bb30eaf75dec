"""What is promised to people: calendars and service policies, every version of them."""

from __future__ import annotations

from sqlalchemy import Column, Integer, PrimaryKeyConstraint, Table, Text

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["calendars", "service_policies"]

calendars = Table(
    "calendars",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("definition", Text, nullable=False),  # JSON
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version", name="calendars_key"),
)

service_policies = Table(
    "service_policies",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("calendar_version", Integer, nullable=False),
    Column("definition", Text, nullable=False),  # JSON
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version", name="service_policies_key"),
)
