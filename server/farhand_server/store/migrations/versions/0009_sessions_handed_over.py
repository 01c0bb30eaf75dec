"""sessions handed over: who leads one, and a time entry for each who had it

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.add_column("session_members", sa.Column("leads_at", sa.Text()))
    # A constraint without a name cannot be dropped alike on all databases: the table is made anew.
    op.drop_index("ix_time_entries_ticket", table_name="time_entries")
    op.rename_table("time_entries", "time_entries_before")
    op.create_table(
        "time_entries",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=False),
        sa.Column("active_s", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="time_entries_key"),
        sa.UniqueConstraint("tenant", "session", "account", name="time_entries_of_session"),
    )
    op.execute(
        "INSERT INTO time_entries"
        " (tenant, id, ticket, account, session, started_at, ended_at, active_s, note)"
        " SELECT tenant, id, ticket, account, session, started_at, ended_at, active_s, note"
        " FROM time_entries_before"
    )
    op.drop_table("time_entries_before")
    op.create_index("ix_time_entries_ticket", "time_entries", ["tenant", "ticket"], unique=False)
