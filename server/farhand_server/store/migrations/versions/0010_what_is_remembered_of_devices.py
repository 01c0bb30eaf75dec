"""what is remembered of devices: changes, software by version, checks, products, merges, agentless

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.add_column(
        "devices", sa.Column("kind", sa.Text(), nullable=False, server_default=sa.text("'agent'"))
    )
    op.add_column("devices", sa.Column("address", sa.Text()))
    op.add_column("devices", sa.Column("merged_into", sa.Text()))
    op.add_column("devices", sa.Column("number", _NUMBER))
    op.create_index("ix_devices_merged", "devices", ["tenant", "merged_into"])
    _software()
    _history()
    _records()
    # Both are kept in another form now.  Devices are asked for the sections that are missing, so
    # what is here now is whole again with their next report.
    op.drop_table("section_history")
    op.drop_table("device_packages")
    op.execute("DELETE FROM sections")


def _software() -> None:
    # A column that may not be null and has no default needs a table made anew; both databases can
    # fill one that has a default.
    op.add_column(
        "packages", sa.Column("folded", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    op.execute("UPDATE packages SET folded = lower(name)")
    op.create_index("ix_packages_folded", "packages", ["tenant", "folded"])
    op.add_column("package_versions", sa.Column("detail", sa.Text()))
    op.create_table(
        "device_numbers",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("tenant", "device"),
    )
    op.create_table(
        "software_index",
        sa.Column("package_version", _NUMBER, nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("devices", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("package_version", "block"),
        sa.ForeignKeyConstraint(["package_version"], ["package_versions.id"]),
    )
    op.create_table(
        "software_moves",
        sa.Column("seq", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("package_version", _NUMBER, nullable=False),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("is_there", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.ForeignKeyConstraint(["package_version"], ["package_versions.id"]),
    )
    op.create_index("ix_software_moves", "software_moves", ["package_version"])


def _history() -> None:
    op.create_table(
        "section_changes",
        sa.Column("seq", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("status_before", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("collected_at", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Text(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_section_changes", "section_changes", ["tenant", "device", "name", "seq"])
    op.create_index(
        "ix_section_changes_at", "section_changes", ["tenant", "device", "received_at", "seq"]
    )
    op.create_table(
        "check_states",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("check_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("unit", sa.Text()),
        sa.Column("since", sa.Text()),
        sa.Column("seen_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "check_id", "subject"),
    )
    op.create_index("ix_check_states", "check_states", ["tenant", "state", "check_id"])


def _records() -> None:
    op.create_table(
        "device_products",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("make", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("serial", sa.Text()),
        sa.Column("purchased_on", sa.Text()),
        sa.Column("warranty_ends_on", sa.Text()),
        sa.Column("vendor_contract", sa.Text()),
        sa.Column("asset_number", sa.Text()),
        sa.Column("notes", sa.Text()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device"),
    )
    op.create_table(
        "device_hints",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "kind", "value"),
    )
    op.create_index("ix_device_hints_value", "device_hints", ["tenant", "kind", "value"])
    op.create_table(
        "device_merges",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kept", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("other_retired_at", sa.Text()),
        sa.Column("merged_by", sa.Text(), nullable=False),
        sa.Column("merged_at", sa.Text(), nullable=False),
        sa.Column("undone_by", sa.Text()),
        sa.Column("undone_at", sa.Text()),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_device_merges_other", "device_merges", ["tenant", "other"])
