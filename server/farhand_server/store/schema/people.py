"""Whom the desk works for: organisations, people, how they are reached, and files of theirs."""

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

__all__ = ["addresses", "attachments", "blobs", "desk_settings", "organisations", "people"]

organisations = Table(
    "organisations",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),  # short, for commands
    Column("title", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("contract", Text),
    Column("notes", Text, nullable=False),
    Column("retention_days", Integer),
    Column("created_at", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="organisations_key"),
    UniqueConstraint("tenant", "name", name="organisations_name"),
)

people = Table(
    "people",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("organisation", Text),
    Column("name", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("kind", Text, nullable=False),  # user, staff, vendor, system
    Column("account", Text),  # name of the account that is hers
    Column("active", Boolean, nullable=False),
    Column("notes", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="people_key"),
    UniqueConstraint("tenant", "account", name="people_account"),
    Index("ix_people_organisation", "tenant", "organisation", "id"),
)

addresses = Table(
    "addresses",
    metadata,
    tenant(),
    Column("kind", Text, nullable=False),  # mail, phone, chat
    Column("value", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("verified_at", Text),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "kind", "value", name="addresses_key"),
    Index("ix_addresses_person", "tenant", "person"),
)

blobs = Table(
    "blobs",
    metadata,
    tenant(),
    Column("sha256", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "sha256", name="blobs_key"),
)

attachments = Table(
    "attachments",
    metadata,
    tenant(),
    Column("message", NUMBER, nullable=False),  # seq in ticket_messages
    Column("place", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("inline_cid", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "message", "place", name="attachments_key"),
    Index("ix_attachments_blob", "tenant", "sha256"),
)

desk_settings = Table(
    "desk_settings",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),  # JSON
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="desk_settings_key"),
)
