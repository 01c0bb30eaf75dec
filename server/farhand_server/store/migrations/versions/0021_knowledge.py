"""articles

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, nullable=nullable)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _boolean(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _table(name: str, *columns: sa.schema.SchemaItem, key: tuple[str, ...]) -> None:
    constraint = sa.PrimaryKeyConstraint("tenant", *key, name=f"{name}_key")
    op.create_table(name, _text("tenant"), *columns, constraint)


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _articles()
    _about_articles()
    _questions()
    _talks()


def _articles() -> None:
    _table(
        "articles",
        *map(_text, ("id", "slug", "state", "visibility", "category", "language", "owner")),
        _text("review_due", nullable=True),
        *map(_text, ("checks", "created_by", "created_at", "updated_at")),
        _text("published_at", nullable=True),
        _integer("revision"),
        sa.UniqueConstraint("tenant", "slug", name="articles_slug"),
        key=("id",),
    )
    op.create_index("ix_articles_review", "articles", ["tenant", "review_due"])
    _table(
        "article_languages",
        _text("article"),
        _text("language"),
        _integer("newest_rev"),
        _integer("published_rev", nullable=True),
        key=("article", "language"),
    )
    _table(
        "article_texts",
        _text("article"),
        _text("language"),
        _integer("rev"),
        *map(_text, ("title", "body", "sha256")),
        _integer("from_rev", nullable=True),
        _text("author"),
        _text("at"),
        key=("article", "language", "rev"),
    )


def _about_articles() -> None:
    _table("article_tags", _text("article"), _text("tag"), key=("article", "tag"))
    op.create_index("ix_article_tags", "article_tags", ["tenant", "tag"])
    _table(
        "article_words",
        *map(_text, ("word", "language", "article")),
        _boolean("published"),
        _integer("weight"),
        key=("published", "language", "word", "article"),
    )
    op.create_index("ix_article_words", "article_words", ["tenant", "article", "language"])
    _table(
        "article_votes",
        _text("article"),
        _text("voter"),
        _boolean("useful"),
        _text("at"),
        key=("article", "voter"),
    )
    _table(
        "article_uses",
        _text("article"),
        _integer("ticket"),
        *map(_text, ("kind", "actor", "at")),
        key=("article", "ticket", "kind"),
    )
    op.create_index("ix_article_uses", "article_uses", ["tenant", "ticket"])
    _table(
        "article_files",
        *map(_text, ("article", "name", "sha256", "media_type")),
        _integer("size_bytes"),
        key=("article", "name"),
    )
    _table(
        "article_collections",
        *map(_text, ("name", "title", "description", "updated_at")),
        key=("name",),
    )
    _table(
        "article_collection_items",
        _text("collection"),
        _integer("position"),
        _text("article"),
        key=("collection", "position"),
    )


def _questions() -> None:
    _table(
        "questions",
        _number("number"),
        *map(_text, ("title", "body", "language", "name")),
        _text("account", nullable=True),
        _text("state"),
        _number("accepted", nullable=True),
        _text("at"),
        _text("decided_by", nullable=True),
        _text("decided_at", nullable=True),
        key=("number",),
    )
    op.create_index("ix_questions_state", "questions", ["tenant", "state", "number"])
    _table(
        "question_answers",
        _number("number"),
        _number("question"),
        _text("body"),
        _text("name"),
        _text("account", nullable=True),
        _boolean("staff"),
        _text("state"),
        _text("at"),
        _text("decided_by", nullable=True),
        _text("decided_at", nullable=True),
        key=("number",),
    )
    op.create_index("ix_question_answers", "question_answers", ["tenant", "question", "state"])


def _talks() -> None:
    _table(
        "assistant_talks",
        _text("token_hash"),
        _text("account", nullable=True),
        _text("begun_at"),
        _integer("ticket", nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False, server_default=sa.false()),
        key=("token_hash",),
    )
    op.create_index("ix_assistant_talks", "assistant_talks", ["tenant", "begun_at"])
    _table(
        "assistant_turns",
        _text("token_hash"),
        _integer("turn"),
        *map(_text, ("question", "answer", "citations", "at")),
        key=("token_hash", "turn"),
    )
