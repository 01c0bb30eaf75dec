"""Who wants to hear of what, and what she was told."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, Table, Text

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = ["notify_items", "notify_settings"]

notify_settings = Table(
    "notify_settings",
    metadata,
    tenant(),
    Column("account", Text, nullable=False),  # the account's name
    Column("definition", Text, nullable=False),  # JSON
    Column("updated_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "account"),
)

notify_items = Table(
    "notify_items",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("account", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ticket", BigInteger),
    Column("words", Text, nullable=False),
    Column("facts", Text, nullable=False, server_default=""),  # JSON: what the words are made of
    Column("at", Text, nullable=False),
    Column("seen_at", Text),
    Column("sent_at", Text),  # when mail and webhook were handed to the outbox, or need not be
    Index("ix_notify_items_account", "tenant", "account", "seq"),
    Index("ix_notify_items_sent", "tenant", "sent_at"),
)
