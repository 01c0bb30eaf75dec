"""alerts: what checks found wrong, devices in maintenance, and what neighbours look at

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.create_table(
        "alerts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("check_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("value", sa.Float()),
        sa.Column("unit", sa.Text()),
        sa.Column("opened_at", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.Text()),
        sa.Column("acknowledged_at", sa.Text()),
        sa.Column("acknowledged_by", sa.Text()),
        sa.Column("ticket", sa.Integer()),
        sa.Column("withheld", sa.Text(), nullable=False),
        sa.Column("flaps", sa.Integer(), nullable=False),
        sa.Column("flapping", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_alerts_device", "alerts", ["tenant", "device", "state"])
    op.create_index("ix_alerts_fingerprint", "alerts", ["tenant", "fingerprint", "opened_at"])
    op.create_index("ix_alerts_listed", "alerts", ["tenant", "opened_at", "id"])
    op.create_index("ix_alerts_state", "alerts", ["tenant", "state", "opened_at", "id"])
    op.create_index("ix_alerts_closed", "alerts", ["tenant", "closed_at"])
    op.create_table(
        "maintenance",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("until", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device"),
    )
    op.create_index("ix_tickets_device", "tickets", ["tenant", "device", "created_at"])
    op.create_index("ix_devices_address", "devices", ["tenant", "address"])
    op.create_index(
        "ix_check_states_subject",
        "check_states",
        ["tenant", "subject"],
        sqlite_where=sa.text("subject <> ''"),
        postgresql_where=sa.text("subject <> ''"),
    )
    op.create_index("ix_maintenance_until", "maintenance", ["tenant", "until"])
