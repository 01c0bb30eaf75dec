"""what is known of people and makers

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _table(name: str, key: tuple[str, ...], *columns: sa.Column[str] | sa.Column[int]) -> None:
    op.create_table(
        name,
        _text("tenant"),
        *columns,
        sa.PrimaryKeyConstraint("tenant", *key, name=f"{name}_key"),
    )


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _table(
        "address_proofs",
        ("token_sha256",),
        _text("token_sha256"),
        _text("kind"),
        _text("value"),
        _text("person"),
        _text("asked_by"),
        _text("created_at"),
        _text("expires_at"),
    )
    _table(
        "person_merges",
        ("person",),
        _text("person"),
        _text("survivor"),
        _text("merged_by"),
        _text("merged_at"),
    )
    _table(
        "referrals",
        ("id",),
        _text("id"),
        _number("ticket"),
        _text("vendor"),
        _text("contact"),
        _text("rma_no"),
        _text("carrier"),
        _text("tracking"),
        _text("sent_on", null=True),
        _text("received_on", null=True),
        _text("loaner", null=True),
        _text("outcome"),
        _text("created_by"),
        _text("created_at"),
        _text("updated_at"),
        _number("revision"),
    )
    _table(
        "ticket_papers",
        ("ticket", "kind", "sought"),
        _number("ticket"),
        _text("kind"),
        _text("number"),
        _text("sought"),
        _text("url"),
        _text("added_by"),
        _text("added_at"),
    )
    _table(
        "skills",
        ("account", "skill"),
        _text("account"),
        _text("skill"),
        _text("certificate"),
        _text("ends_on", null=True),
        _text("noted_by"),
        _text("noted_at"),
    )
    _table(
        "notices",
        ("id",),
        _text("id"),
        _text("audience"),
        _text("target"),
        _text("title"),
        _text("body"),
        _text("link"),
        _text("source"),
        _text("created_by"),
        _text("created_at"),
        _text("published_at", null=True),
        _text("until_at", null=True),
    )
    _table(
        "notice_people",
        ("notice", "person"),
        _text("notice"),
        _text("person"),
    )
    _table(
        "erasures",
        ("person",),
        _text("person"),
        _text("reason"),
        _text("counts"),
        _text("erased_by"),
        _text("erased_at"),
    )
    _table(
        "erased_tickets",
        ("ticket",),
        _number("ticket"),
        _text("reason"),
        _text("erased_at"),
    )
    op.create_index("ix_address_proofs_person", "address_proofs", ["tenant", "person"])
    op.create_index("ix_person_merges_survivor", "person_merges", ["tenant", "survivor"])
    op.create_index("ix_referrals_ticket", "referrals", ["tenant", "ticket"])
    op.create_index("ix_referrals_rma", "referrals", ["tenant", "rma_no"])
    op.create_index("ix_ticket_papers_sought", "ticket_papers", ["tenant", "sought", "ticket"])
    op.create_index("ix_skills_skill", "skills", ["tenant", "skill", "account"])
    op.create_index("ix_skills_ends", "skills", ["tenant", "ends_on"])
    op.create_index("ix_notices_published", "notices", ["tenant", "published_at"])
    op.create_index("ix_notices_source", "notices", ["tenant", "source"])
