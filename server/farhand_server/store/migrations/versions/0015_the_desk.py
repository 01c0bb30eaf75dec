"""the desk: states with reasons, weight, queues, participants, links, merged tickets

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    for column in (
        _text("state_reason"),
        sa.Column("waiting_until", sa.Text()),
        _text("queue", "desk"),
        _text("impact", "medium"),
        _text("urgency", "medium"),
        _text("priority_reason"),
        sa.Column("security", sa.Boolean(), nullable=False, server_default=sa.false()),
        _text("steps_tried"),
        sa.Column("reproducible", sa.Text()),
        _text("repro_steps"),
        sa.Column("complained_about", sa.Text()),
        _text("identity_check"),
        sa.Column("merged_into", sa.Integer()),
        sa.Column("reopen_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("closed_at", sa.Text()),
    ):
        op.add_column("tickets", column)
    op.create_index("ix_tickets_merged", "tickets", ["tenant", "merged_into"])
    op.create_index("ix_tickets_waiting", "tickets", ["tenant", "state", "waiting_until"])
    op.create_table(
        "queues",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("reopen_days", sa.Integer(), nullable=False),
        sa.Column("close_days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name="queues_key"),
    )
    op.create_table(
        "ticket_links",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("other", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "ticket", "other", name="ticket_links_key"),
    )
    op.create_index("ix_ticket_links_other", "ticket_links", ["tenant", "other"])
    op.create_table(
        "ticket_participants",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("can_post", sa.Boolean(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "ticket", "name", name="ticket_participants_key"),
    )
    op.create_index(
        "ix_ticket_participants_name", "ticket_participants", ["tenant", "name", "ticket"]
    )
