"""what the public pages keep

Revision ID: 0026
Revises: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.create_table(
        "device_holders",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("tenant", "device", "person", "given_by", "given_at")
        ),
        sa.PrimaryKeyConstraint("tenant", "device", name="device_holders_key"),
    )
    op.create_index("ix_device_holders_person", "device_holders", ["tenant", "person"])
