"""What the desk works with on tickets: words to search, lists, replies, checklists, forms."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant
from farhand_server.store.schema.desk import tickets

__all__ = [
    "canned_replies",
    "checklist_templates",
    "kept_sections",
    "saved_filters",
    "ticket_campaigns",
    "ticket_checklist_items",
    "ticket_forms",
    "ticket_instructions",
    "ticket_search",
    "ticket_sections",
]

# The terms of each ticket, as `desk.search_terms` makes them.  What finds them again is each
# database's own (migration 0020): FTS5 of SQLite, kept by triggers; computed columns of PostgreSQL.
ticket_search = Table(
    "ticket_search",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("head", Text, nullable=False),  # title, requester, key, device, serial number
    Column("said", Text, nullable=False),  # what the requester may read
    Column("notes", Text, nullable=False),  # what she may not
    UniqueConstraint("tenant", "ticket", name="ticket_search_ticket"),
)

saved_filters = Table(
    "saved_filters",
    metadata,
    tenant(),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("definition", Text, nullable=False),  # JSON: desk.listing.TicketListing
    Column("saved_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "owner", "name", name="saved_filters_key"),
    Index("ix_saved_filters_shared", "tenant", "shared", "name"),
)

canned_replies = Table(
    "canned_replies",
    metadata,
    tenant(),
    Column("key", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),  # Markdown with variables
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "key", "language", name="canned_replies_key"),
)

checklist_templates = Table(
    "checklist_templates",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", Text),  # of tickets that get it as they are made
    Column("holds_back", Boolean, nullable=False),  # resolving, while required items are open
    Column("items", Text, nullable=False),  # JSON
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="checklist_templates_key"),
)

# A template's items as they were when the ticket got them.
ticket_checklist_items = Table(
    "ticket_checklist_items",
    metadata,
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("checklist", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("script", Text),
    Column("required", Boolean, nullable=False),
    Column("holds_back", Boolean, nullable=False),
    Column("state", Text, nullable=False),  # open, done, skipped
    Column("run", Text),  # the order that did it
    Column("note", Text, nullable=False),
    Column("changed_by", Text),
    Column("changed_at", Text),
    PrimaryKeyConstraint("tenant", "ticket", "place", name="ticket_checklist_items_key"),
)

ticket_forms = Table(
    "ticket_forms",
    metadata,
    tenant(),
    Column("kind", Text, nullable=False),
    Column("definition", Text, nullable=False),  # JSON Schema, the part of it that we know
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "kind", name="ticket_forms_key"),
)

# The device of a ticket as it was when the ticket was made.
ticket_sections = Table(
    "ticket_sections",
    metadata,
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("body_hash", Text, nullable=False),  # in `kept_sections`
    Column("collected_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "ticket", "device", "name", name="ticket_sections_key"),
    Index("ix_ticket_sections_body", "tenant", "body_hash"),
)

# Bodies of sections that tickets hold on to, each once, however history is pruned.
kept_sections = Table(
    "kept_sections",
    metadata,
    tenant(),
    Column("body_hash", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "body_hash", name="kept_sections_key"),
)

# Campaigns that a ticket is about: one ticket, however many devices.
ticket_campaigns = Table(
    "ticket_campaigns",
    metadata,
    tenant(),
    Column("campaign", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    Column("told", Boolean, nullable=False),  # how it ended
    PrimaryKeyConstraint("tenant", "campaign", name="ticket_campaigns_key"),
    Index("ix_ticket_campaigns_ticket", "tenant", "ticket"),
    Index("ix_ticket_campaigns_told", "tenant", "told"),
)

# The steps of a message of the kind `instruction`, and how each was answered.
ticket_instructions = Table(
    "ticket_instructions",
    metadata,
    tenant(),
    Column("message", NUMBER, nullable=False),  # seq in ticket_messages
    Column("place", Integer, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("words", Text, nullable=False),
    Column("answer", Text),  # done, cannot
    Column("reason", Text, nullable=False),
    Column("answered_by", Text),
    Column("answered_at", Text),
    PrimaryKeyConstraint("tenant", "message", "place", name="ticket_instructions_key"),
    Index("ix_ticket_instructions_ticket", "tenant", "ticket", "message"),
)

# Pages of tickets, in the orders that lists have.
for _name, _columns in {
    "queue": ("queue", "number"),
    "queue_state": ("queue", "state", "number"),
    "owner": ("owner", "number"),
    "requester": ("requester", "number"),
    "created_by": ("created_by", "number"),
    "priority": ("priority", "number"),
    "updated": ("updated_at", "number"),
    "due_order": ("due_at", "number"),
}.items():
    Index(f"ix_tickets_{_name}", tickets.c.tenant, *(tickets.c[one] for one in _columns))
