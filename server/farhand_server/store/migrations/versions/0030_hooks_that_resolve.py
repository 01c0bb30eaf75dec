"""hooks whose alerts resolve their tickets when they are over

Revision ID: 0030
Revises: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.add_column(
        "inbound_hooks",
        sa.Column("resolves", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
