"""Codes, sessions, who joined them, and grants that other operators must sign first."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = [
    "grant_approvals",
    "nameplates",
    "session_events",
    "session_members",
    "sessions",
    "waiting_grants",
]

nameplates = Table(
    "nameplates",
    metadata,
    tenant(),
    Column("nameplate", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("guest", Boolean, nullable=False),
    Column("state", Text, nullable=False),  # open, claimed, burned
    Column("session", Text),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "nameplate"),
    Index("ix_nameplates_created", "created_at"),
)

sessions = Table(
    "sessions",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("guest", Boolean, nullable=False),
    Column("ticket", Integer),
    Column("external_key", Text),
    Column("operator", Text, nullable=False),
    Column("state", Text, nullable=False),  # pairing, asked, active, refused, ended
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # space separated
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    Column("expires_at", Text),
    Column("active_s", Integer, nullable=False),
    Column("receipt_sha256", Text),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_sessions_ticket", "tenant", "ticket"),
    Index("ix_sessions_device", "tenant", "device", "created_at"),
    Index("ix_sessions_newest", "tenant", "created_at", "id"),
    Index("ix_sessions_state", "tenant", "state", "created_at", "id"),
)

session_events = Table(
    "session_events",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("session", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Text, nullable=False),
    Index("ix_session_events", "tenant", "session", "seq"),
)

waiting_grants = Table(
    "waiting_grants",
    metadata,
    tenant(),
    Column("session", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("needed", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "session"),
    ForeignKeyConstraint(["tenant", "session"], ["sessions.tenant", "sessions.id"]),
)

grant_approvals = Table(
    "grant_approvals",
    metadata,
    tenant(),
    Column("session", Text, nullable=False),
    Column("approver", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "session", "approver"),
    ForeignKeyConstraint(["tenant", "session"], ["sessions.tenant", "sessions.id"]),
)

session_members = Table(
    "session_members",
    metadata,
    tenant(),
    Column("session", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", Text, nullable=False),
    Column("joined_at", Text),
    Column("left_at", Text),
    Column("leads_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
    ForeignKeyConstraint(["tenant", "session"], ["sessions.tenant", "sessions.id"]),
    Index("session_members_of_session", "tenant", "session"),
)
