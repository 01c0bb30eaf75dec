"""what is promised: calendars, service policies, and what is due on tickets

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _versions(name: str, *more: sa.Column[str] | sa.Column[int]) -> None:
    op.create_table(
        name,
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *more,
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "version", name=f"{name}_key"),
    )


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _versions("calendars")
    _versions(
        "service_policies",
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("calendar_version", sa.Integer(), nullable=False),
    )
    op.add_column("queues", sa.Column("policy", sa.Text()))
    op.add_column("tickets", sa.Column("policy", sa.Text()))
    op.add_column("tickets", sa.Column("policy_version", sa.Integer()))
    op.add_column("tickets", sa.Column("due_at", sa.Text()))
    op.add_column(
        "tickets", sa.Column("late", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column(
        "tickets",
        sa.Column("due_known", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.create_index("ix_tickets_due", "tickets", ["tenant", "due_known", "due_at"])
