"""How people reach the desk besides mail: live chats, calls, visits, help asked for on a device."""

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

from farhand_server.store.schema.columns import metadata, tenant

__all__ = ["calls", "chats", "desk_presence", "help_requests", "visits"]

chats = Table(
    "chats",
    metadata,
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("state", Text, nullable=False),  # channels.chats.STATES
    Column("language", Text, nullable=False),
    Column("began_at", Text, nullable=False),
    Column("answered_at", Text),  # first words of the desk
    Column("seen_at", Text, nullable=False),  # the person was there, within some seconds
    PrimaryKeyConstraint("tenant", "ticket", name="chats_key"),
    Index("ix_chats_state", "tenant", "state", "began_at"),
)

desk_presence = Table(
    "desk_presence",
    metadata,
    tenant(),
    Column("account", Text, nullable=False),
    Column("seen_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "account", name="desk_presence_key"),
)

calls = Table(
    "calls",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("ticket", Integer),
    Column("account", Text),  # who has it at the desk
    Column("person", Text),
    Column("direction", Text, nullable=False),  # in, out
    Column("number", Text, nullable=False),
    Column("state", Text, nullable=False),  # channels.calls.STATES
    Column("external_id", Text),  # the telephone system's
    Column("began_at", Text, nullable=False),
    Column("answered_at", Text),
    Column("ended_at", Text),
    Column("time_entry", Text),
    PrimaryKeyConstraint("tenant", "id", name="calls_key"),
    UniqueConstraint("tenant", "external_id", name="calls_external"),
    Index("ix_calls_began", "tenant", "began_at", "id"),
)

visits = Table(
    "visits",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("technician", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("starts_at", Text, nullable=False),
    Column("ends_at", Text, nullable=False),
    Column("state", Text, nullable=False),  # channels.visits.STATES
    Column("sequence", Integer, nullable=False),  # of the invitation
    Column("outcome", Text, nullable=False),
    Column("time_entry", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="visits_key"),
    Index("ix_visits_ticket", "tenant", "ticket"),
    Index("ix_visits_starts", "tenant", "starts_at", "id"),
)

help_requests = Table(
    "help_requests",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("id", Text, nullable=False),  # the device's own
    Column("ticket", Integer, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "id", name="help_requests_key"),
)
