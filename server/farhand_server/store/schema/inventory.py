"""What devices report of themselves.

Package names are normalised: `packages` holds each (source, name, arch) once, `package_versions`
each version of it once, and `device_packages` only pairs of small numbers.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = ["device_packages", "package_versions", "packages", "section_history", "sections"]

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
    Column("body", LargeBinary, nullable=False),  # inventory.encode_section
    PrimaryKeyConstraint("tenant", "device", "name"),
)

section_history = Table(
    "section_history",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("device", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("collected_at", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_section_history", "tenant", "device", "name", "seq"),
)

packages = Table(
    "packages",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    UniqueConstraint("tenant", "name", "source", "arch"),
)

package_versions = Table(
    "package_versions",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("package", NUMBER, nullable=False),
    Column("version", Text, nullable=False),
    UniqueConstraint("package", "version"),
    ForeignKeyConstraint(["package"], ["packages.id"]),
)

device_packages = Table(
    "device_packages",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("package_version", NUMBER, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "package_version"),
    Index("ix_device_packages_version", "package_version"),
    ForeignKeyConstraint(["package_version"], ["package_versions.id"]),
)
