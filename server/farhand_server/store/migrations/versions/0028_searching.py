"""an index of the tickets that were merged, without all the others; one less for searches

Most tickets were merged into nothing.  An index in which nearly everything has one value is not
used by a database that has counted that, and a look at every ticket is what it costs.  What one
person searches is compared with the terms of her tickets, which needs no index over all.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    merged = sa.text("merged_into IS NOT NULL")
    op.drop_index("ix_tickets_merged", "tickets")
    op.create_index(
        "ix_tickets_merged",
        "tickets",
        ["tenant", "merged_into"],
        sqlite_where=merged,
        postgresql_where=merged,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE ticket_search DROP COLUMN ticket_search_said")
