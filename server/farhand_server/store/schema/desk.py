"""Tickets and what is written and counted on them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = [
    "event_queue",
    "queues",
    "ticket_events",
    "ticket_links",
    "ticket_messages",
    "ticket_participants",
    "tickets",
    "time_entries",
]

tickets = Table(
    "tickets",
    metadata,
    tenant(),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text, nullable=False),  # for what a waiting one waits
    Column("waiting_until", Text),
    Column("kind", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("impact", Text, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("priority", Integer, nullable=False),  # a rank, 1 the most urgent
    Column("priority_reason", Text, nullable=False),
    Column("security", Boolean, nullable=False),
    Column("requester", Text),
    Column("owner", Text),
    Column("tier", Integer, nullable=False),
    Column("person", Text),
    Column("organisation", Text),
    Column("contract", Text),
    Column("language", Text, nullable=False, default=""),
    Column("category", Text, nullable=False, default=""),
    Column("fields", Text, nullable=False, default="{}"),  # JSON, what its kind asks for besides
    Column("down_from", Text),
    Column("down_to", Text),
    Column("device", Text),
    Column("external_key", Text),
    Column("steps_tried", Text, nullable=False),
    Column("reproducible", Text),
    Column("repro_steps", Text, nullable=False),
    Column("complained_about", Text),
    Column("identity_check", Text, nullable=False),
    Column("merged_into", Integer),
    Column("reopen_count", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("resolved_at", Text),
    Column("closed_at", Text),
    Column("policy", Text),
    Column("policy_version", Integer),
    Column("due_at", Text),  # a cache, made anew where it is not known
    Column("late", Boolean, nullable=False),
    Column("due_known", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),  # for ETag and If-Match
    PrimaryKeyConstraint("tenant", "number"),
    Index("ix_tickets_state", "tenant", "state", "number"),
    Index("ix_tickets_external", "tenant", "external_key"),
    Index("ix_tickets_device", "tenant", "device", "created_at"),
    # Of those alone that were: of the others it would hold nothing but that they were not.
    Index(
        "ix_tickets_merged",
        "tenant",
        "merged_into",
        sqlite_where=text("merged_into IS NOT NULL"),
        postgresql_where=text("merged_into IS NOT NULL"),
    ),
    Index("ix_tickets_waiting", "tenant", "state", "waiting_until"),
    Index("ix_tickets_due", "tenant", "due_known", "due_at"),
    Index("ix_tickets_person", "tenant", "person", "number"),
    Index("ix_tickets_organisation", "tenant", "organisation", "number"),
)

queues = Table(
    "queues",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("reopen_days", Integer, nullable=False),
    Column("close_days", Integer, nullable=False),
    Column("policy", Text),
    PrimaryKeyConstraint("tenant", "name", name="queues_key"),
)

ticket_links = Table(
    "ticket_links",
    metadata,
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("other", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "ticket", "other", name="ticket_links_key"),
    Index("ix_ticket_links_other", "tenant", "other"),
)

ticket_participants = Table(
    "ticket_participants",
    metadata,
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("can_post", Boolean, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "ticket", "name", name="ticket_participants_key"),
    Index("ix_ticket_participants_name", "tenant", "name", "ticket"),
)

ticket_messages = Table(
    "ticket_messages",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # desk.timeline.MESSAGE_KINDS
    Column("author", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("public", Boolean, nullable=False, default=False),  # whether the requester is shown it
    Column(
        "channel", Text, nullable=False, default=""
    ),  # mail, chat, phone, ...; empty for console and API
    Column("person", Text),
    Column("language", Text, nullable=False, default=""),
    Column("supersedes", NUMBER),
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

event_queue = Table(
    "event_queue",
    metadata,
    tenant(),
    Column("event", NUMBER, nullable=False),  # of ticket_events; gone once it was heeded
    PrimaryKeyConstraint("tenant", "event", name="event_queue_key"),
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
    Index("ix_time_entries_ended", "tenant", "ended_at"),
)
