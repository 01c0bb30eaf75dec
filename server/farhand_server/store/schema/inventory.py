"""What devices report of themselves.

Software is normalised: `packages` holds each (source, name, arch) once, `package_versions` each
version of it once.  A device's own list is numbers in the body of its section `software`; who has a
version is bits in `software_index`.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = [
    "check_states",
    "device_numbers",
    "package_versions",
    "packages",
    "section_changes",
    "sections",
    "software_index",
    "software_moves",
]

sections = Table(
    "sections",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("collected_at", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("received_at", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # fleet.sections
    PrimaryKeyConstraint("tenant", "device", "name"),
)

packages = Table(
    "packages",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("folded", Text, nullable=False, server_default=""),  # as searches compare names
    UniqueConstraint("tenant", "name", "source", "arch"),
    Index("ix_packages_folded", "tenant", "folded"),
)

package_versions = Table(
    "package_versions",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("package", NUMBER, nullable=False),
    Column("version", Text, nullable=False),
    Column("detail", Text),  # JSON: what else is the same wherever it is installed
    UniqueConstraint("package", "version"),
    ForeignKeyConstraint(["package"], ["packages.id"]),
)

# What changed in a section, each time that it did.
section_changes = Table(
    "section_changes",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("device", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),  # of the section as it was from then on
    Column("status_before", Text),  # null: the section was never seen before
    Column("status", Text, nullable=False),
    Column("collected_at", Text, nullable=False),
    Column("received_at", Text, nullable=False),
    Column("added", Integer, nullable=False),
    Column("removed", Integer, nullable=False),
    Column("body", LargeBinary),  # fleet.history.encode_bags; null where no item changed
    Index("ix_section_changes", "tenant", "device", "name", "seq"),
    Index("ix_section_changes_at", "tenant", "device", "received_at", "seq"),
)

# Where each device draws its small number, its bit in `software_index`.
device_numbers = Table(
    "device_numbers",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("device", Text, nullable=False),
    UniqueConstraint("tenant", "device"),
)

# Which devices have a version: one bit for each, a block of them in a row.
software_index = Table(
    "software_index",
    metadata,
    Column("package_version", NUMBER, nullable=False),
    Column("block", Integer, nullable=False),
    Column("devices", LargeBinary, nullable=False),  # fleet.software_index
    PrimaryKeyConstraint("package_version", "block"),
    ForeignKeyConstraint(["package_version"], ["package_versions.id"]),
)

# What was installed and removed since, and is not yet among those bits.
software_moves = Table(
    "software_moves",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    Column("package_version", NUMBER, nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("is_there", Boolean, nullable=False),
    Index("ix_software_moves", "package_version"),
    ForeignKeyConstraint(["package_version"], ["package_versions.id"]),
)

# The newest known state of each check, for searches.
check_states = Table(
    "check_states",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("check_id", Text, nullable=False),
    Column("subject", Text, nullable=False),  # what of the device: a disk, a service; or ""
    Column("state", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("value", Text),
    Column("unit", Text),
    Column("since", Text),
    Column("seen_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "check_id", "subject"),
    Index("ix_check_states", "tenant", "state", "check_id"),
    Index(
        "ix_check_states_subject",
        "tenant",
        "subject",
        sqlite_where=text("subject <> ''"),
        postgresql_where=text("subject <> ''"),
    ),
)
