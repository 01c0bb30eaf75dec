"""Devices, the tokens they enrol with, and the heads of their own logs."""

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
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = [
    "device_heads",
    "device_hints",
    "device_holders",
    "device_merges",
    "device_products",
    "device_proofs",
    "device_tags",
    "devices",
    "dismissed_duplicates",
    "enrolment_tokens",
]

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("signed_by", Text, nullable=False),  # admin or relay
    Column("device_group", Text, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
)

devices = Table(
    "devices",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("device_group", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("enrolment", LargeBinary, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("confirmation", LargeBinary),
    Column("os", Text, nullable=False),
    Column("host_name", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    Column("enrolled_at", Text, nullable=False),
    Column("last_seen", Text),
    Column("retired_at", Text),
    Column("timestamp_version", Integer, nullable=False, default=0),
    Column("targets_version", Integer, nullable=False, default=0),
    # When its key was last seen alive on two links; an admin's confirmation clears it.
    Column("key_conflict_at", Text),
    # `agent`, or what an agentless thing is (printer, switch, ...): no key, nothing runs there.
    Column("kind", Text, nullable=False, default="agent", server_default="agent"),
    Column("address", Text),  # of an agentless one
    Column("merged_into", Text),  # the device that a person said this one became
    Column("number", NUMBER),  # its bit in `software_index`, once it has reported software
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_devices_name", "tenant", "name"),
    Index("ix_devices_merged", "tenant", "merged_into"),
    Index("ix_devices_address", "tenant", "address"),
)

device_tags = Table(
    "device_tags",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("tag", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "tag"),
    Index("ix_device_tags_tag", "tenant", "tag"),
)

device_heads = Table(
    "device_heads",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("seq", NUMBER, nullable=False),
    Column("hash", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),  # the device's
    PrimaryKeyConstraint("tenant", "device", "number"),
    ForeignKeyConstraint(["tenant", "device"], ["devices.tenant", "devices.id"]),
)

# What a person bought: her word, beside what the device reports of itself.
device_products = Table(
    "device_products",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("make", Text),
    Column("model", Text),
    Column("serial", Text),
    Column("purchased_on", Text),  # a day, YYYY-MM-DD
    Column("warranty_ends_on", Text),  # a day, too
    Column("vendor_contract", Text),
    Column("asset_number", Text),
    Column("notes", Text),
    Column("revision", Integer, nullable=False),  # for ETag and If-Match
    Column("updated_by", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("folded", Text),  # make and serial as they are compared; fleet.product
    PrimaryKeyConstraint("tenant", "device"),
    Index("ix_device_products_folded", "tenant", "folded", unique=True),
)

# Files that prove when it was bought and how long its warranty runs (`blobs` has what is in them).
device_proofs = Table(
    "device_proofs",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "place", name="device_proofs_key"),
)

# Who works with a device, as the desk says it; one person at a time.
device_holders = Table(
    "device_holders",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("given_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device", name="device_holders_key"),
    Index("ix_device_holders_person", "tenant", "person"),
)

# What two devices may have in common where they are one machine: never identity, only a hint.
device_hints = Table(
    "device_hints",
    metadata,
    tenant(),
    Column("device", Text, nullable=False),
    Column("kind", Text, nullable=False),  # serial, uuid, mac, network, host_name, os
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "kind", "value"),
    Index("ix_device_hints_value", "tenant", "kind", "value"),
)

# Pairs of devices that a person has looked at and called two.
dismissed_duplicates = Table(
    "dismissed_duplicates",
    metadata,
    tenant(),
    Column("one", Text, nullable=False),  # the lesser id of both
    Column("other", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # digests of what they had in common, with blanks
    Column("dismissed_by", Text, nullable=False),
    Column("dismissed_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "one", "other"),
)

# What people merged, and what it takes to part them again.
device_merges = Table(
    "device_merges",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("kept", Text, nullable=False),
    Column("other", Text, nullable=False),
    Column("other_retired_at", Text),  # before it was merged
    Column("merged_by", Text, nullable=False),
    Column("merged_at", Text, nullable=False),
    Column("undone_by", Text),
    Column("undone_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_device_merges_other", "tenant", "other"),
)
