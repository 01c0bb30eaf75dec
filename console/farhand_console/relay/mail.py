"""What the relay answers about mail."""

from __future__ import annotations

import msgspec

from farhand_console.relay.bounds import Count

__all__ = [
    "Mail",
    "MailRecipient",
    "MailServer",
    "MailStatus",
    "MailTrial",
    "Mailbox",
    "ShownMail",
    "TriedServer",
]


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server, without its password."""

    host: str
    port: Count
    security: str
    user: str
    oauth: str = ""
    ca: str = ""
    folder: str = ""
    moved_to: str = ""
    has_password: bool = False


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox of the desk."""

    name: str
    address: str
    queue: str
    title: str
    active: bool
    resolves: bool
    polled_at: str | None
    poll_error: str
    failures: Count
    imap: MailServer | None = None


class MailStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How mail goes."""

    mailboxes: list[Mailbox]
    smtp: MailServer | None
    listening: str
    acknowledge: bool
    notify: bool
    waiting_in: Count
    waiting_out: Count
    quarantined: Count
    failed: Count
    authservs: list[str] = []


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail, as it is listed."""

    id: Count
    direction: str
    mailbox: str
    source: str
    state: str
    reason: str
    sender: str
    subject: str
    auto: str
    ticket: Count | None
    message: Count | None
    size: Count
    at: str
    done_at: str | None


class MailRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mail for one recipient."""

    address: str
    part: str
    state: str
    words: str
    at: str


class ShownMail(Mail, frozen=True, kw_only=True):
    """One mail, whole."""

    message_id: str
    recipients: list[MailRecipient]
    beginning: str


class TriedServer(msgspec.Struct, frozen=True, kw_only=True):
    """What a try to sign in came to."""

    server: str
    ok: bool
    words: str


class MailTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What a try of all servers came to; `mail` is the id of the one that was sent."""

    items: list[TriedServer]
    mail: Count | None
