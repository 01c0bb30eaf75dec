"""Mailboxes, the mails that came and went, and what became of each recipient."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
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

__all__ = ["mail_recipients", "mail_servers", "mailboxes", "mails"]

mailboxes = Table(
    "mailboxes",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("title", Text, nullable=False),  # the name beside the address
    Column("active", Boolean, nullable=False),
    Column("resolves", Boolean, nullable=False),  # a monitor's recovery resolves its ticket
    # How far it was read over IMAP, and how that went.
    Column("uid_validity", BigInteger),
    Column("uid", BigInteger, nullable=False),
    Column("archive_uid", BigInteger, nullable=False),  # up to here it was filled before that
    Column("polled_at", Text),
    Column("poll_error", Text, nullable=False),
    Column("next_at", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="mailboxes_key"),
    UniqueConstraint("tenant", "address", name="mailboxes_address"),
)

mail_servers = Table(
    "mail_servers",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),  # `imap:MAILBOX`, or `smtp`
    Column("definition", Text, nullable=False),  # JSON, without the password
    Column("sealed", Text, nullable=False),  # the password, which only the relay's key opens
    PrimaryKeyConstraint("tenant", "name", name="mail_servers_key"),
)

mails = Table(
    "mails",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("direction", Text, nullable=False),  # in, out
    Column("mailbox", Text, nullable=False),
    Column("source", Text, nullable=False),  # imap, lmtp, smtp; relay for one of ours
    Column("rfc_id", Text, nullable=False),  # Message-ID without its brackets, or empty
    # What it is told apart by: its Message-ID, or a digest of its headers where it has none.
    Column("dedupe", Text, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("letter", Text),  # JSON: what one of ours is made of
    Column("raw", Text),  # the blob with the whole mail
    Column("size", Integer, nullable=False),
    Column("envelope_from", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("auto", Text, nullable=False),  # why nobody answers it; empty where a person wrote
    Column("secret", Boolean, nullable=False),  # its link is for its reader: shown to nobody
    Column("refs", Text, nullable=False),  # the Message-IDs that it refers to, root first
    Column("thread_index", Text, nullable=False),
    Column("thread_topic", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False),  # to understand it, or to send it with no answer
    Column("lease_until", Text, nullable=False),
    Column("ticket", Integer),
    Column("message", NUMBER),
    Column("item", Text, nullable=False),  # of the outbox
    Column("at", Text, nullable=False),
    Column("done_at", Text),
    UniqueConstraint("tenant", "mailbox", "dedupe", "body_sha256", name="mails_once"),
    Index("ix_mails_newest", "tenant", "id"),
    Index("ix_mails_rfc", "tenant", "rfc_id"),
    Index("ix_mails_state", "tenant", "state", "id"),
    Index("ix_mails_ticket", "tenant", "ticket", "id"),
    Index("ix_mails_message", "tenant", "message"),
)

mail_recipients = Table(
    "mail_recipients",
    metadata,
    tenant(),
    Column("mail", NUMBER, nullable=False),
    Column("address", Text, nullable=False),
    Column("part", Text, nullable=False),  # to, cc
    Column("auto", Boolean, nullable=False),
    Column("state", Text, nullable=False),  # queued, sent, failed, bounced
    Column("words", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "mail", "address", name="mail_recipients_key"),
    Index("ix_mail_recipients_address", "tenant", "address", "at"),
)
