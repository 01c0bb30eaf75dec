"""search, filters, canned replies, checklists

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from farhand_server.store.schema.columns import NUMBER

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _table(name: str, key: list[str], *columns: sa.Column[Any]) -> None:
    tenant = _text("tenant")
    op.create_table(
        name, tenant, *columns, sa.PrimaryKeyConstraint("tenant", *key, name=f"{name}_key")
    )


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _search()
    _lists_and_replies()
    _checklists()
    _devices_and_steps()
    # Pages of tickets, in the orders that lists have.
    for name, columns in (
        ("queue", ["queue", "number"]),
        ("queue_state", ["queue", "state", "number"]),
        ("owner", ["owner", "number"]),
        ("requester", ["requester", "number"]),
        ("created_by", ["created_by", "number"]),
        ("priority", ["priority", "number"]),
        ("updated", ["updated_at", "number"]),
        ("due_order", ["due_at", "number"]),
    ):
        op.create_index(f"ix_tickets_{name}", "tickets", ["tenant", *columns])


def _search() -> None:
    op.create_table(
        "ticket_search",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        _text("tenant"),
        _number("ticket"),
        _text("head"),
        _text("said"),
        _text("notes"),
        sa.UniqueConstraint("tenant", "ticket", name="ticket_search_ticket"),
    )
    if op.get_bind().dialect.name == "sqlite":
        # Terms come ready made, so the plainest tokenizer; no places, no lengths: ranks are ours.
        op.execute(
            "CREATE VIRTUAL TABLE ticket_search_fts USING fts5(head, said, notes,"
            " content='ticket_search', content_rowid='seq', detail='column', columnsize=0,"
            " tokenize=\"ascii tokenchars '_'\")"
        )
        old = (
            "INSERT INTO ticket_search_fts(ticket_search_fts, rowid, head, said, notes)"
            " VALUES ('delete', old.seq, old.head, old.said, old.notes);"
        )
        new = (
            "INSERT INTO ticket_search_fts(rowid, head, said, notes)"
            " VALUES (new.seq, new.head, new.said, new.notes);"
        )
        for event, does in (("INSERT", new), ("DELETE", old), ("UPDATE", old + new)):
            op.execute(
                f"CREATE TRIGGER ticket_search_{event.lower()} AFTER {event} ON ticket_search"
                f" BEGIN {does} END"
            )
        return
    for column, source in (
        ("ticket_search_head", "head"),
        ("ticket_search_said", "head || ' ' || said"),
        ("ticket_search_all", "head || ' ' || said || ' ' || notes"),
    ):
        # The terms themselves: none of PostgreSQL's own parsers and dictionaries has a say.
        op.execute(
            f"ALTER TABLE ticket_search ADD COLUMN {column} tsvector GENERATED ALWAYS AS"
            f" (array_to_tsvector(array_remove(string_to_array({source}, ' '), ''))) STORED"
        )
        op.execute(f"CREATE INDEX ix_{column} ON ticket_search USING gin ({column})")


def _lists_and_replies() -> None:
    _table(
        "saved_filters",
        ["owner", "name"],
        _text("owner"),
        _text("name"),
        _flag("shared"),
        _text("definition"),
        _text("saved_at"),
    )
    op.create_index("ix_saved_filters_shared", "saved_filters", ["tenant", "shared", "name"])
    _table(
        "canned_replies",
        ["key", "language"],
        _text("key"),
        _text("language"),
        _text("title"),
        _text("body"),
        _text("changed_by"),
        _text("changed_at"),
    )


def _checklists() -> None:
    _table(
        "checklist_templates",
        ["name"],
        _text("name"),
        _text("title"),
        _text("kind", nullable=True),
        _flag("holds_back"),
        _text("items"),
        _text("changed_by"),
        _text("changed_at"),
    )
    _table(
        "ticket_checklist_items",
        ["ticket", "place"],
        _number("ticket"),
        _number("place"),
        _text("checklist"),
        _text("words"),
        _text("script", nullable=True),
        _flag("required"),
        _flag("holds_back"),
        _text("state"),
        _text("run", nullable=True),
        _text("note"),
        _text("changed_by", nullable=True),
        _text("changed_at", nullable=True),
    )
    _table(
        "ticket_forms",
        ["kind"],
        _text("kind"),
        _text("definition"),
        _text("changed_by"),
        _text("changed_at"),
    )


def _devices_and_steps() -> None:
    _table(
        "ticket_sections",
        ["ticket", "device", "name"],
        _number("ticket"),
        _text("device"),
        _text("name"),
        _text("status"),
        _text("hash"),
        _text("body_hash"),
        _text("collected_at"),
    )
    op.create_index("ix_ticket_sections_body", "ticket_sections", ["tenant", "body_hash"])
    _table(
        "kept_sections",
        ["body_hash"],
        _text("body_hash"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    _table(
        "ticket_campaigns",
        ["campaign"],
        _text("campaign"),
        _number("ticket"),
        _text("added_by"),
        _text("added_at"),
        _flag("told"),
    )
    for name, column in (("ticket", "ticket"), ("told", "told")):
        op.create_index(f"ix_ticket_campaigns_{name}", "ticket_campaigns", ["tenant", column])
    _table(
        "ticket_instructions",
        ["message", "place"],
        sa.Column("message", NUMBER, nullable=False),
        _number("place"),
        _number("ticket"),
        _text("words"),
        _text("answer", nullable=True),
        _text("reason"),
        _text("answered_by", nullable=True),
        _text("answered_at", nullable=True),
    )
    op.create_index(
        "ix_ticket_instructions_ticket", "ticket_instructions", ["tenant", "ticket", "message"]
    )
