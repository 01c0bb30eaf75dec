"""orders of a campaign: its lists are read from an index, page after page, without a sort

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.create_index("ix_orders_listed", "orders", ["tenant", "campaign", "created_at", "id"])
    op.create_index("ix_orders_target", "orders", ["tenant", "campaign", "device"])
