"""people, organisations, addresses; files; events that are to be heeded

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def _free(name: str) -> sa.Column[str | None]:
    return sa.Column(name, sa.Text())


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.add_column("accounts", _free("person"))
    for column in (
        _free("person"),
        _free("organisation"),
        _free("contract"),
        _text("language", ""),
        _text("category", ""),
        _text("fields", "{}"),
        _free("down_from"),
        _free("down_to"),
    ):
        op.add_column("tickets", column)
    op.create_index("ix_tickets_person", "tickets", ["tenant", "person", "number"])
    op.create_index("ix_tickets_organisation", "tickets", ["tenant", "organisation", "number"])
    for message_column in (
        sa.Column("public", sa.Boolean(), nullable=False, server_default=sa.false()),
        _text("channel", ""),
        _free("person"),
        _text("language", ""),
        sa.Column("supersedes", _SEQ),
    ):
        op.add_column("ticket_messages", message_column)
    op.execute("UPDATE ticket_messages SET public = true WHERE kind = 'reply'")
    op.create_table(
        "event_queue",
        _text("tenant"),
        sa.Column("event", _SEQ, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "event", name="event_queue_key"),
    )
    op.create_table(
        "organisations",
        _text("tenant"),
        _text("id"),
        _text("name"),
        _text("title"),
        _text("zone"),
        _text("locale"),
        _text("calendar"),
        _free("contract"),
        _text("notes"),
        sa.Column("retention_days", sa.Integer()),
        _text("created_at"),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="organisations_key"),
        sa.UniqueConstraint("tenant", "name", name="organisations_name"),
    )
    op.create_table(
        "people",
        _text("tenant"),
        _text("id"),
        _free("organisation"),
        _text("name"),
        _text("locale"),
        _text("zone"),
        _text("kind"),
        _free("account"),
        sa.Column("active", sa.Boolean(), nullable=False),
        _text("notes"),
        _text("created_at"),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="people_key"),
        sa.UniqueConstraint("tenant", "account", name="people_account"),
    )
    op.create_index("ix_people_organisation", "people", ["tenant", "organisation", "id"])
    op.create_table(
        "addresses",
        _text("tenant"),
        _text("kind"),
        _text("value"),
        _text("person"),
        _free("verified_at"),
        _text("created_at"),
        sa.PrimaryKeyConstraint("tenant", "kind", "value", name="addresses_key"),
    )
    op.create_index("ix_addresses_person", "addresses", ["tenant", "person"])
    op.create_table(
        "blobs",
        _text("tenant"),
        _text("sha256"),
        sa.Column("size", sa.Integer(), nullable=False),
        _text("media_type"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256", name="blobs_key"),
    )
    op.create_table(
        "attachments",
        _text("tenant"),
        sa.Column("message", _SEQ, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        _text("sha256"),
        _text("name"),
        _text("inline_cid"),
        sa.PrimaryKeyConstraint("tenant", "message", "place", name="attachments_key"),
    )
    op.create_index("ix_attachments_blob", "attachments", ["tenant", "sha256"])
    op.create_table(
        "desk_settings",
        _text("tenant"),
        _text("name"),
        _text("value"),
        _text("changed_by"),
        _text("changed_at"),
        sa.PrimaryKeyConstraint("tenant", "name", name="desk_settings_key"),
    )
