"""rings of campaigns: what was planned, how each ring stands, slots, and the events of a campaign

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.execute("ALTER TABLE campaigns RENAME COLUMN rings TO plan")
    op.execute("""UPDATE campaigns SET plan = '{"rings":[{"name":"all"}]}'""")
    op.add_column("campaigns", sa.Column("target_set", sa.Text()))
    op.add_column("campaigns", sa.Column("source", sa.Text()))
    op.add_column("campaigns", sa.Column("reason", sa.Text()))
    op.add_column("campaigns", sa.Column("forgiven", sa.Text()))
    op.add_column("campaigns", sa.Column("max_in_flight", sa.Integer()))
    op.add_column(
        "campaigns", sa.Column("open_ring", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("orders", sa.Column("domain", sa.Text()))
    op.add_column("order_events", sa.Column("campaign", sa.Text()))
    op.create_index("ix_order_events_campaign", "order_events", ["tenant", "campaign", "seq"])
    op.create_table(
        "campaign_rings",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("ring", sa.Integer(), nullable=False),
        sa.Column("targets", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.Text()),
        sa.Column("settled_at", sa.Text()),
        sa.Column("held", sa.Text()),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approved_at", sa.Text()),
        sa.PrimaryKeyConstraint("tenant", "campaign", "ring", name="campaign_rings_key"),
    )
    op.create_table(
        "campaign_slots",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text()),
        sa.Column("until", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "order_id", name="campaign_slots_key"),
    )
    op.create_index("ix_campaign_slots", "campaign_slots", ["tenant", "campaign"])
