"""mail in and out

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.create_table(
        "mailboxes",
        *_texts("tenant", "name", "address", "queue", "title"),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("resolves", sa.Boolean(), nullable=False),
        sa.Column("uid_validity", sa.BigInteger()),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("archive_uid", sa.BigInteger(), nullable=False),
        sa.Column("polled_at", sa.Text()),
        *_texts("poll_error", "next_at"),
        sa.Column("failures", sa.Integer(), nullable=False),
        *_texts("created_at"),
        sa.PrimaryKeyConstraint("tenant", "name", name="mailboxes_key"),
        sa.UniqueConstraint("tenant", "address", name="mailboxes_address"),
    )
    op.create_table(
        "mail_servers",
        *_texts("tenant", "name", "definition", "sealed"),
        sa.PrimaryKeyConstraint("tenant", "name", name="mail_servers_key"),
    )
    op.create_table(
        "mails",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        *_texts("tenant", "direction", "mailbox", "source", "rfc_id", "dedupe", "body_sha256"),
        sa.Column("letter", sa.Text()),
        sa.Column("raw", sa.Text()),
        sa.Column("size", sa.Integer(), nullable=False),
        *_texts(
            "envelope_from", "sender", "subject", "auto", "refs", "thread_index", "thread_topic"
        ),
        sa.Column("secret", sa.Boolean(), nullable=False),
        *_texts("state", "reason"),
        sa.Column("tries", sa.Integer(), nullable=False),
        *_texts("lease_until"),
        sa.Column("ticket", sa.Integer()),
        sa.Column("message", _NUMBER),
        *_texts("item", "at"),
        sa.Column("done_at", sa.Text()),
        sa.UniqueConstraint("tenant", "mailbox", "dedupe", "body_sha256", name="mails_once"),
    )
    op.create_index("ix_mails_rfc", "mails", ["tenant", "rfc_id"])
    op.create_index("ix_mails_state", "mails", ["tenant", "state", "id"])
    op.create_index("ix_mails_ticket", "mails", ["tenant", "ticket", "id"])
    op.create_index("ix_mails_message", "mails", ["tenant", "message"])
    op.create_table(
        "mail_recipients",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("mail", _NUMBER, nullable=False),
        *_texts("address", "part"),
        sa.Column("auto", sa.Boolean(), nullable=False),
        *_texts("state", "words", "at"),
        sa.PrimaryKeyConstraint("tenant", "mail", "address", name="mail_recipients_key"),
    )
    op.create_index("ix_mail_recipients_address", "mail_recipients", ["tenant", "address", "at"])
