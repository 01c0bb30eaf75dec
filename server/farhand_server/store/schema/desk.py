"""Tickets and what is written and counted on them."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = ["ticket_events", "ticket_messages", "tickets", "time_entries"]

tickets = Table(
    "tickets",
    metadata,
    tenant(),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("requester", Text),
    Column("owner", Text),
    Column("tier", Integer, nullable=False),
    Column("device", Text),
    Column("external_key", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("resolved_at", Text),
    Column("revision", Integer, nullable=False),  # for ETag and If-Match
    PrimaryKeyConstraint("tenant", "number"),
    Index("ix_tickets_state", "tenant", "state", "number"),
    Index("ix_tickets_external", "tenant", "external_key"),
    Index("ix_tickets_device", "tenant", "device", "created_at"),
)

ticket_messages = Table(
    "ticket_messages",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # reply, note, session, run
    Column("author", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Text, nullable=False),
    Index("ix_ticket_messages", "tenant", "ticket", "seq"),
)

ticket_events = Table(
    "ticket_events",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Column("at", Text, nullable=False),
    Index("ix_ticket_events", "tenant", "ticket", "seq"),
)

time_entries = Table(
    "time_entries",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("account", Text, nullable=False),
    Column("session", Text),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text, nullable=False),
    Column("active_s", Integer, nullable=False),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="time_entries_key"),
    UniqueConstraint("tenant", "session", "account", name="time_entries_of_session"),
    Index("ix_time_entries_ticket", "tenant", "ticket"),
)
