"""What the desk knows: articles with every revision of their texts, questions, conversations.

`article_texts` is append-only.  `article_words` is the search index of what
`farhand_server.knowledge.words` makes of the texts; it can be made anew from them.
"""

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
    false,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = [
    "article_collection_items",
    "article_collections",
    "article_files",
    "article_languages",
    "article_tags",
    "article_texts",
    "article_uses",
    "article_votes",
    "article_words",
    "articles",
    "assistant_talks",
    "assistant_turns",
    "question_answers",
    "questions",
]

articles = Table(
    "articles",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("language", Text, nullable=False),  # of the original
    Column("owner", Text, nullable=False),
    Column("review_due", Text),  # a date
    Column("checks", Text, nullable=False),  # JSON: ids of approved scripts
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("published_at", Text),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="articles_key"),
    UniqueConstraint("tenant", "slug", name="articles_slug"),
    Index("ix_articles_review", "tenant", "review_due"),
)

article_languages = Table(
    "article_languages",
    metadata,
    tenant(),
    Column("article", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("newest_rev", Integer, nullable=False),
    Column("published_rev", Integer),
    PrimaryKeyConstraint("tenant", "article", "language", name="article_languages_key"),
)

article_texts = Table(
    "article_texts",
    metadata,
    tenant(),
    Column("article", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("sha256", Text, nullable=False),  # of title and body
    Column("from_rev", Integer),  # of the original; none for the original itself
    Column("author", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "article", "language", "rev", name="article_texts_key"),
)

article_tags = Table(
    "article_tags",
    metadata,
    tenant(),
    Column("article", Text, nullable=False),
    Column("tag", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "article", "tag", name="article_tags_key"),
    Index("ix_article_tags", "tenant", "tag"),
)

article_words = Table(
    "article_words",
    metadata,
    tenant(),
    Column("word", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("article", Text, nullable=False),
    Column("published", Boolean, nullable=False),
    Column("weight", Integer, nullable=False),
    PrimaryKeyConstraint(
        "tenant", "published", "language", "word", "article", name="article_words_key"
    ),
    Index("ix_article_words", "tenant", "article", "language"),
)

article_votes = Table(
    "article_votes",
    metadata,
    tenant(),
    Column("article", Text, nullable=False),
    Column("voter", Text, nullable=False),  # an account's id, or the hash of a browser's token
    Column("useful", Boolean, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "article", "voter", name="article_votes_key"),
)

article_uses = Table(
    "article_uses",
    metadata,
    tenant(),
    Column("article", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "article", "ticket", "kind", name="article_uses_key"),
    Index("ix_article_uses", "tenant", "ticket"),
)

article_files = Table(
    "article_files",
    metadata,
    tenant(),
    Column("article", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "article", "name", name="article_files_key"),
)

article_collections = Table(
    "article_collections",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="article_collections_key"),
)

article_collection_items = Table(
    "article_collection_items",
    metadata,
    tenant(),
    Column("collection", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("article", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "collection", "position", name="article_collection_items_key"),
)

questions = Table(
    "questions",
    metadata,
    tenant(),
    Column("number", NUMBER, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("name", Text, nullable=False),  # as the writer calls herself
    Column("account", Text),  # where she is signed in
    Column("state", Text, nullable=False),
    Column("accepted", NUMBER),
    Column("at", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Text),
    PrimaryKeyConstraint("tenant", "number", name="questions_key"),
    Index("ix_questions_state", "tenant", "state", "number"),
)

question_answers = Table(
    "question_answers",
    metadata,
    tenant(),
    Column("number", NUMBER, nullable=False),
    Column("question", NUMBER, nullable=False),
    Column("body", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("account", Text),
    Column("staff", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Text),
    PrimaryKeyConstraint("tenant", "number", name="question_answers_key"),
    Index("ix_question_answers", "tenant", "question", "state"),
)

assistant_talks = Table(
    "assistant_talks",
    metadata,
    tenant(),
    Column("token_hash", Text, nullable=False),
    Column("account", Text),
    Column("begun_at", Text, nullable=False),
    Column("ticket", Integer),
    Column("closed", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("tenant", "token_hash", name="assistant_talks_key"),
    Index("ix_assistant_talks", "tenant", "begun_at"),
)

assistant_turns = Table(
    "assistant_turns",
    metadata,
    tenant(),
    Column("token_hash", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("citations", Text, nullable=False),  # JSON: slugs
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "token_hash", "turn", name="assistant_turns_key"),
)
