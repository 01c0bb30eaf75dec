"""chat, calls, visits

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _free(*names: str) -> list[sa.Column[str | None]]:
    return [sa.Column(name, sa.Text()) for name in names]


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.create_table(
        "chats",
        *_text("tenant"),
        _number("ticket"),
        *_text("state", "language", "began_at"),
        *_free("answered_at"),
        *_text("seen_at"),
        sa.PrimaryKeyConstraint("tenant", "ticket", name="chats_key"),
    )
    op.create_index("ix_chats_state", "chats", ["tenant", "state", "began_at"])
    op.create_table(
        "desk_presence",
        *_text("tenant", "account", "seen_at"),
        sa.PrimaryKeyConstraint("tenant", "account", name="desk_presence_key"),
    )
    op.create_table(
        "calls",
        *_text("tenant", "id"),
        sa.Column("ticket", sa.Integer()),
        *_free("account", "person"),
        *_text("direction", "number", "state"),
        *_free("external_id"),
        *_text("began_at"),
        *_free("answered_at", "ended_at", "time_entry"),
        sa.PrimaryKeyConstraint("tenant", "id", name="calls_key"),
        sa.UniqueConstraint("tenant", "external_id", name="calls_external"),
    )
    op.create_index("ix_calls_began", "calls", ["tenant", "began_at", "id"])
    op.create_table(
        "visits",
        *_text("tenant", "id"),
        _number("ticket"),
        *_text("technician", "place", "starts_at", "ends_at", "state"),
        _number("sequence"),
        *_text("outcome"),
        *_free("time_entry"),
        *_text("created_by", "created_at"),
        _number("revision"),
        sa.PrimaryKeyConstraint("tenant", "id", name="visits_key"),
    )
    op.create_index("ix_visits_ticket", "visits", ["tenant", "ticket"])
    op.create_index("ix_visits_starts", "visits", ["tenant", "starts_at", "id"])
    op.create_table(
        "help_requests",
        *_text("tenant", "device", "id"),
        _number("ticket"),
        *_text("at"),
        sa.PrimaryKeyConstraint("tenant", "device", "id", name="help_requests_key"),
    )
