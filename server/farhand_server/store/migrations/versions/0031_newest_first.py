"""indexes for the lists that begin with the newest, and for months of time and answers

Revision ID: 0031
Revises: 0030
"""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_orders_newest", "orders", ("created_at", "id")),
    ("ix_sessions_newest", "sessions", ("created_at", "id")),
    ("ix_sessions_state", "sessions", ("state", "created_at", "id")),
    ("ix_outbox_newest", "outbox", ("created_at", "id")),
    ("ix_mails_newest", "mails", ("id",)),
    ("ix_rule_firings_newest", "rule_firings", ("seq",)),
    ("ix_time_entries_ended", "time_entries", ("ended_at",)),
    ("ix_csat_answered", "csat", ("answered_at",)),
)


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    for name, table, columns in _INDEXES:
        op.create_index(name, table, ["tenant", *columns])
