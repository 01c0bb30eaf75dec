"""Contracts, what is used of them, how content people were, and which reports went out."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = [
    "contract_warnings",
    "contracts",
    "csat",
    "hour_ledger",
    "report_mails",
    "report_readers",
    "statements",
    "time_charges",
]

contracts = Table(
    "contracts",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("newest", Boolean, nullable=False),
    Column("organisation", Text),
    Column("definition", Text, nullable=False),  # JSON
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version", name="contracts_key"),
    Index("ix_contracts_newest", "tenant", "newest", "organisation", "name"),
)

# Append-only: what there is of a contract is the sum of its lines.
hour_ledger = Table(
    "hour_ledger",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("contract", Text, nullable=False),
    Column("period", Text, nullable=False),  # the day on which it begins
    Column("kind", Text, nullable=False),  # grant, debit, expire, rollover, adjust
    Column("seconds", Integer, nullable=False),
    Column("entry", Text),  # the time entry that it comes from
    Column("mark", Text, nullable=False),  # what may be written once only
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Text, nullable=False),
    UniqueConstraint("tenant", "contract", "mark", name="hour_ledger_once"),
    Index("ix_hour_ledger", "tenant", "contract", "seq"),
)

contract_warnings = Table(
    "contract_warnings",
    metadata,
    tenant(),
    Column("contract", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "contract", "period", "percent", name="contract_warnings_key"),
)

# What a time entry comes to: one row for each, made with it; only `statement` is written later.
time_charges = Table(
    "time_charges",
    metadata,
    tenant(),
    Column("entry", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("contract", Text, nullable=False),
    Column("contract_version", Integer, nullable=False),
    Column("origin", Text, nullable=False),  # session, hand, call, visit, correction
    Column("activity", Text, nullable=False),
    Column("billable", Boolean, nullable=False),
    Column("customer_visible", Boolean, nullable=False),
    Column("billed_s", Integer, nullable=False),
    Column("debited_s", Integer, nullable=False),
    Column("charged_s", Integer, nullable=False),
    Column("rate_minor", Integer, nullable=False),
    Column("amount_minor", NUMBER, nullable=False),
    Column("currency", Text, nullable=False),
    Column("reverses", Text),
    Column("reason", Text, nullable=False),
    Column("ended_at", Text, nullable=False),  # of the entry, for statements
    Column("statement", Text),
    PrimaryKeyConstraint("tenant", "entry", name="time_charges_key"),
    UniqueConstraint("tenant", "reverses", name="time_charges_reversed_once"),
    Index("ix_time_charges_contract", "tenant", "contract", "statement", "ended_at"),
    Index("ix_time_charges_ticket", "tenant", "ticket"),
)

statements = Table(
    "statements",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("contract_version", Integer, nullable=False),
    Column("month", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="statements_key"),
    UniqueConstraint("tenant", "contract", "month", name="statements_once"),
)

csat = Table(
    "csat",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("resolve_event", NUMBER, nullable=False),
    Column("person", Text),
    Column("resolved_by", Text, nullable=False),
    Column("state", Text, nullable=False),  # planned, sent, answered, skipped
    Column("skip_reason", Text, nullable=False),
    Column("due_at", Text),
    Column("sent_at", Text),
    Column("token_sha256", Text),
    Column("score", Integer),
    Column("comment", Text, nullable=False),
    Column("answered_at", Text),
    PrimaryKeyConstraint("tenant", "id", name="csat_key"),
    UniqueConstraint("tenant", "resolve_event", name="csat_once"),
    UniqueConstraint("tenant", "token_sha256", name="csat_token"),
    Index("ix_csat_due", "tenant", "state", "due_at"),
    Index("ix_csat_person", "tenant", "person", "sent_at"),
    Index("ix_csat_ticket", "tenant", "ticket"),
    Index("ix_csat_answered", "tenant", "answered_at"),
)

report_readers = Table(
    "report_readers",
    metadata,
    tenant(),
    Column("organisation", Text, nullable=False),
    Column("addresses", Text, nullable=False),  # JSON
    Column("language", Text, nullable=False),
    Column("since", Text, nullable=False),  # the first month that is sent
    PrimaryKeyConstraint("tenant", "organisation", name="report_readers_key"),
)

report_mails = Table(
    "report_mails",
    metadata,
    tenant(),
    Column("organisation", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "organisation", "month", name="report_mails_key"),
)
