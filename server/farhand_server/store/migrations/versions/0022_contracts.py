"""contracts, their ledger, satisfaction, reports

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _whole(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _contracts()
    _charges()
    _satisfaction()
    _reports()


def _contracts() -> None:
    op.create_table(
        "contracts",
        _text("tenant"),
        _text("name"),
        _whole("version"),
        _flag("newest"),
        _text("organisation", nullable=True),
        _text("definition"),
        _text("created_by"),
        _text("created_at"),
        sa.PrimaryKeyConstraint("tenant", "name", "version", name="contracts_key"),
    )
    op.create_index(
        "ix_contracts_newest", "contracts", ["tenant", "newest", "organisation", "name"]
    )
    op.create_table(
        "hour_ledger",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
        _text("tenant"),
        _text("contract"),
        _text("period"),
        _text("kind"),
        _whole("seconds"),
        _text("entry", nullable=True),
        _text("mark"),
        _text("reason"),
        _text("actor"),
        _text("at"),
        sa.UniqueConstraint("tenant", "contract", "mark", name="hour_ledger_once"),
    )
    op.create_index("ix_hour_ledger", "hour_ledger", ["tenant", "contract", "seq"])
    op.create_table(
        "contract_warnings",
        _text("tenant"),
        _text("contract"),
        _text("period"),
        _whole("percent"),
        _text("at"),
        sa.PrimaryKeyConstraint(
            "tenant", "contract", "period", "percent", name="contract_warnings_key"
        ),
    )


def _charges() -> None:
    op.create_table(
        "time_charges",
        _text("tenant"),
        _text("entry"),
        _whole("ticket"),
        _text("contract"),
        _whole("contract_version"),
        _text("origin"),
        _text("activity"),
        _flag("billable"),
        _flag("customer_visible"),
        _whole("billed_s"),
        _whole("debited_s"),
        _whole("charged_s"),
        _whole("rate_minor"),
        sa.Column("amount_minor", _NUMBER, nullable=False),
        _text("currency"),
        _text("reverses", nullable=True),
        _text("reason"),
        _text("ended_at"),
        _text("statement", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "entry", name="time_charges_key"),
        sa.UniqueConstraint("tenant", "reverses", name="time_charges_reversed_once"),
    )
    op.create_index(
        "ix_time_charges_contract",
        "time_charges",
        ["tenant", "contract", "statement", "ended_at"],
    )
    op.create_index("ix_time_charges_ticket", "time_charges", ["tenant", "ticket"])
    op.create_table(
        "statements",
        _text("tenant"),
        _text("id"),
        _text("contract"),
        _whole("contract_version"),
        _text("month"),
        _text("made_by"),
        _text("made_at"),
        sa.PrimaryKeyConstraint("tenant", "id", name="statements_key"),
        sa.UniqueConstraint("tenant", "contract", "month", name="statements_once"),
    )


def _satisfaction() -> None:
    op.create_table(
        "csat",
        _text("tenant"),
        _text("id"),
        _whole("ticket"),
        sa.Column("resolve_event", _NUMBER, nullable=False),
        _text("person", nullable=True),
        _text("resolved_by"),
        _text("state"),
        _text("skip_reason"),
        _text("due_at", nullable=True),
        _text("sent_at", nullable=True),
        _text("token_sha256", nullable=True),
        _whole("score", nullable=True),
        _text("comment"),
        _text("answered_at", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name="csat_key"),
        sa.UniqueConstraint("tenant", "resolve_event", name="csat_once"),
        sa.UniqueConstraint("tenant", "token_sha256", name="csat_token"),
    )
    op.create_index("ix_csat_due", "csat", ["tenant", "state", "due_at"])
    op.create_index("ix_csat_person", "csat", ["tenant", "person", "sent_at"])
    op.create_index("ix_csat_ticket", "csat", ["tenant", "ticket"])


def _reports() -> None:
    op.create_table(
        "report_readers",
        _text("tenant"),
        _text("organisation"),
        _text("addresses"),
        _text("language"),
        _text("since"),
        sa.PrimaryKeyConstraint("tenant", "organisation", name="report_readers_key"),
    )
    op.create_table(
        "report_mails",
        _text("tenant"),
        _text("organisation"),
        _text("month"),
        _text("at"),
        sa.PrimaryKeyConstraint("tenant", "organisation", "month", name="report_mails_key"),
    )
