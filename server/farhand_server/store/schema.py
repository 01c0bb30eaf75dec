"""The relay's tables, one definition for SQLite and PostgreSQL.

Every row belongs to a tenant, and every key begins with it.  Times are RFC 3339 text in UTC, so
that both databases keep and sort them alike.  Sealed statements (envelopes) are kept as the exact
bytes that were signed.  `*_events`, `ticket_messages` and `audit` are append-only: code that
updates or deletes a row there is a bug, and a test looks for it.

Package names are normalised: `packages` holds each (source, name, arch) once, `package_versions`
each version of it once, and `device_packages` only pairs of small numbers.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["metadata"]

metadata = MetaData()

# SQLite numbers rows by itself only when the column is exactly INTEGER PRIMARY KEY.
_Number = BigInteger().with_variant(Integer, "sqlite")


def _tenant() -> Column[str]:
    return Column("tenant", Text, nullable=False)


tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

# Accounts (the first lock) and what they sign in with.

accounts = Table(
    "accounts",
    metadata,
    _tenant(),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("disabled_at", Text),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("tenant", "name"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    _tenant(),
    Column("id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("kind", Text, nullable=False),  # signin (one use) or api
    Column("secret_sha256", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # space separated, `*` for all of the role
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("used_at", Text),
    Column("revoked_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("secret_sha256"),
    ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"]),
)

jump_keys = Table(
    "jump_keys",
    metadata,
    _tenant(),
    Column("key", Text, nullable=False),  # raw Ed25519 public key, hex
    Column("account", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "key"),
    ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"]),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _tenant(),
    Column("account", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("status", Integer),  # null while the first request is still running
    Column("response", LargeBinary),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "account", "key"),
)

# Trust metadata, only stored and served.

trust_metadata = Table(
    "trust_metadata",
    metadata,
    _tenant(),
    Column("role", Text, nullable=False),  # root, targets, snapshot, timestamp
    Column("version", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "role", "version"),
)

trust_targets = Table(
    "trust_targets",
    metadata,
    _tenant(),
    Column("sha256", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "sha256", "path"),
)

scripts = Table(
    "scripts",
    metadata,
    _tenant(),
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),  # submitted, published, revoked
    Column("risk", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id", "version"),
)

# The fleet.

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    _tenant(),
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
    _tenant(),
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
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_devices_name", "tenant", "name"),
)

device_tags = Table(
    "device_tags",
    metadata,
    _tenant(),
    Column("device", Text, nullable=False),
    Column("tag", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "tag"),
    Index("ix_device_tags_tag", "tenant", "tag"),
)

sections = Table(
    "sections",
    metadata,
    _tenant(),
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
    Column("seq", _Number, primary_key=True, autoincrement=True),
    _tenant(),
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
    Column("id", _Number, primary_key=True, autoincrement=True),
    _tenant(),
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    UniqueConstraint("tenant", "name", "source", "arch"),
)

package_versions = Table(
    "package_versions",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("package", _Number, nullable=False),
    Column("version", Text, nullable=False),
    UniqueConstraint("package", "version"),
    ForeignKeyConstraint(["package"], ["packages.id"]),
)

device_packages = Table(
    "device_packages",
    metadata,
    _tenant(),
    Column("device", Text, nullable=False),
    Column("package_version", _Number, nullable=False),
    PrimaryKeyConstraint("tenant", "device", "package_version"),
    Index("ix_device_packages_version", "package_version"),
    ForeignKeyConstraint(["package_version"], ["package_versions.id"]),
)

# Orders and campaigns.

campaigns = Table(
    "campaigns",
    metadata,
    _tenant(),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("script", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("risk", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON
    Column("ttl_s", Integer, nullable=False),
    Column("rings", Text, nullable=False),  # JSON list of ring settings
    Column("state", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
)

orders = Table(
    "orders",
    metadata,
    _tenant(),
    Column("id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("campaign", Text),
    Column("ring", Integer),
    Column("ticket", Integer),
    Column("script", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("operator", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("envelope", LargeBinary),  # null while the target is only planned
    Column("not_before", Text),
    Column("expires_at", Text),
    Column("cancel_requested_at", Text),
    Column("exit_code", Integer),
    Column("refusal", Text),
    Column("cause", Text),  # normalised error, for grouping
    Column("result", LargeBinary),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_orders_device", "tenant", "device", "state"),
    Index("ix_orders_campaign", "tenant", "campaign", "ring", "state"),
    Index("ix_orders_state", "state", "expires_at"),
    Index("ix_orders_listed", "tenant", "campaign", "created_at", "id"),
    Index("ix_orders_target", "tenant", "campaign", "device"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    _tenant(),
    Column("order_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_order_events", "tenant", "order_id", "seq"),
)

campaign_counts = Table(
    "campaign_counts",
    metadata,
    _tenant(),
    Column("campaign", Text, nullable=False),
    Column("ring", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "campaign", "ring", "state"),
)

# The desk.

tickets = Table(
    "tickets",
    metadata,
    _tenant(),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("requester", Text),
    Column("owner", Text),
    Column("tier", Integer, nullable=False),
    Column("device", Text),
    Column("external_key", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("resolved_at", Text),
    Column("revision", Integer, nullable=False),  # for ETag and If-Match
    PrimaryKeyConstraint("tenant", "number"),
    Index("ix_tickets_state", "tenant", "state", "number"),
    Index("ix_tickets_external", "tenant", "external_key"),
)

ticket_messages = Table(
    "ticket_messages",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    _tenant(),
    Column("ticket", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # reply, note, session, run
    Column("author", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Text, nullable=False),
    Index("ix_ticket_messages", "tenant", "ticket", "seq"),
)

ticket_events = Table(
    "ticket_events",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    _tenant(),
    Column("ticket", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Column("at", Text, nullable=False),
    Index("ix_ticket_events", "tenant", "ticket", "seq"),
)

time_entries = Table(
    "time_entries",
    metadata,
    _tenant(),
    Column("id", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("account", Text, nullable=False),
    Column("session", Text),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text, nullable=False),
    Column("active_s", Integer, nullable=False),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="time_entries_key"),
    UniqueConstraint("tenant", "session", "account", name="time_entries_of_session"),
    Index("ix_time_entries_ticket", "tenant", "ticket"),
)

# Sessions.

nameplates = Table(
    "nameplates",
    metadata,
    _tenant(),
    Column("nameplate", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("guest", Boolean, nullable=False),
    Column("state", Text, nullable=False),  # open, claimed, burned
    Column("session", Text),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "nameplate"),
    Index("ix_nameplates_created", "created_at"),
)

sessions = Table(
    "sessions",
    metadata,
    _tenant(),
    Column("id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("guest", Boolean, nullable=False),
    Column("ticket", Integer),
    Column("external_key", Text),
    Column("operator", Text, nullable=False),
    Column("state", Text, nullable=False),  # pairing, asked, active, refused, ended
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # space separated
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    Column("expires_at", Text),
    Column("active_s", Integer, nullable=False),
    Column("receipt_sha256", Text),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_sessions_ticket", "tenant", "ticket"),
    Index("ix_sessions_device", "tenant", "device", "created_at"),
)

session_events = Table(
    "session_events",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    _tenant(),
    Column("session", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Text, nullable=False),
    Index("ix_session_events", "tenant", "session", "seq"),
)

# Sealed recordings: the relay holds no key that opens a ciphertext.  A chunk is written once; what
# retention erases leaves its row in `recordings`.

recordings = Table(
    "recordings",
    metadata,
    _tenant(),
    Column("session", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("last_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("erased_at", Text),
    Column("chunks", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("dropped_bytes", BigInteger, nullable=False),
    Column("keep_days", Integer, nullable=False),
    Column("head_sha256", Text, nullable=False),
    Column("complete", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant", "session"),
    Index("ix_recordings_device", "tenant", "device", "started_at"),
    Index("ix_recordings_expires", "tenant", "expires_at"),
)

recording_chunks = Table(
    "recording_chunks",
    metadata,
    _tenant(),
    Column("session", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),  # the sealed RecordingHead
    Column("head_sha256", Text, nullable=False),  # of its payload
    Column("ciphertext", LargeBinary, nullable=False),
    Column("witnessed_at", Text, nullable=False),
    Column("witness", LargeBinary, nullable=False),  # the relay's signature
    PrimaryKeyConstraint("tenant", "session", "number"),
)

# Grants that other operators must sign before they are offered.

waiting_grants = Table(
    "waiting_grants",
    metadata,
    _tenant(),
    Column("session", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("needed", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "session"),
    ForeignKeyConstraint(["tenant", "session"], ["sessions.tenant", "sessions.id"]),
)

grant_approvals = Table(
    "grant_approvals",
    metadata,
    _tenant(),
    Column("session", Text, nullable=False),
    Column("approver", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "session", "approver"),
    ForeignKeyConstraint(["tenant", "session"], ["sessions.tenant", "sessions.id"]),
)

# Heads of the devices' own logs, numbered in the order of their coming.

device_heads = Table(
    "device_heads",
    metadata,
    _tenant(),
    Column("device", Text, nullable=False),
    Column("number", _Number, nullable=False),
    Column("seq", _Number, nullable=False),
    Column("hash", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),  # the device's
    PrimaryKeyConstraint("tenant", "device", "number"),
    ForeignKeyConstraint(["tenant", "device"], ["devices.tenant", "devices.id"]),
)

# Operators who joined somebody else's session; `id` is that of the grant.

session_members = Table(
    "session_members",
    metadata,
    _tenant(),
    Column("session", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", Text, nullable=False),
    Column("joined_at", Text),
    Column("left_at", Text),
    Column("leads_at", Text),
    PrimaryKeyConstraint("tenant", "id"),
    ForeignKeyConstraint(["tenant", "session"], ["sessions.tenant", "sessions.id"]),
    Index("session_members_of_session", "tenant", "session"),
)

# The audit chain: `hash` covers the row and `previous`.

audit = Table(
    "audit",
    metadata,
    _tenant(),
    Column("seq", _Number, nullable=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "seq"),
)
