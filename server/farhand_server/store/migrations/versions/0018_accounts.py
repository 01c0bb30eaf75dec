"""second factors, sign-ins, links that open once, who hears of what

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def _free(name: str) -> sa.Column[str | None]:
    return sa.Column(name, sa.Text())


def _of_an_account() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant", "account"], ["accounts.tenant", "accounts.id"])


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.add_column("accounts", sa.Column("tier", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("api_tokens", _text("how", ""))
    op.add_column("api_tokens", _text("address", ""))
    op.add_column("api_tokens", _free("last_used_at"))
    op.create_table(
        "second_factors",
        _text("tenant"),
        _text("id"),
        _text("account"),
        _text("kind"),
        _text("label"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        _free("credential"),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        _text("created_at"),
        _free("confirmed_at"),
        _free("used_at"),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("tenant", "credential"),
        _of_an_account(),
    )
    op.create_index("ix_second_factors_account", "second_factors", ["tenant", "account"])
    op.create_table(
        "recovery_codes",
        _text("tenant"),
        _text("account"),
        _text("secret_sha256"),
        _text("created_at"),
        _free("used_at"),
        sa.PrimaryKeyConstraint("tenant", "account", "secret_sha256"),
        _of_an_account(),
    )
    op.create_table(
        "signin_steps",
        _text("tenant"),
        _text("id"),
        _text("kind"),
        _text("secret_sha256"),
        _free("account"),
        _text("state"),
        sa.Column("tries", sa.Integer(), nullable=False),
        _text("created_at"),
        _text("expires_at"),
        _free("used_at"),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_index("ix_signin_steps_expiry", "signin_steps", ["tenant", "expires_at"])
    op.create_table(
        "oidc_identities",
        _text("tenant"),
        _text("issuer"),
        _text("subject"),
        _text("account"),
        _text("created_at"),
        sa.PrimaryKeyConstraint("tenant", "issuer", "subject"),
        _of_an_account(),
    )
    op.create_table(
        "notify_settings",
        _text("tenant"),
        _text("account"),
        _text("definition"),
        _text("updated_at"),
        sa.PrimaryKeyConstraint("tenant", "account"),
    )
    op.create_table(
        "notify_items",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        _text("tenant"),
        _text("account"),
        _text("kind"),
        sa.Column("ticket", sa.BigInteger()),
        _text("words"),
        _text("at"),
        _free("seen_at"),
        _free("sent_at"),
    )
    op.create_index("ix_notify_items_account", "notify_items", ["tenant", "account", "seq"])
    op.create_index("ix_notify_items_sent", "notify_items", ["tenant", "sent_at"])
