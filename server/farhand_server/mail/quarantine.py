"""Mails that could not be understood or were not taken: listed, looked at, let in, thrown away.

Their bytes are kept as they came until somebody drops them.  A released mail is read anew, as after
an upgrade that understands it.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.errors import not_found
from farhand_server.mail.ticket_links import without_links
from farhand_server.people.blobs import read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mail_recipients, mails

__all__ = [
    "MAX_SHOWN_CHARS",
    "MailLine",
    "MailView",
    "Recipient",
    "drop_mail",
    "list_mails",
    "raw_of",
    "release_mail",
    "show_mail",
]

MAX_SHOWN_CHARS = 16_000


class MailLine(msgspec.Struct, frozen=True, kw_only=True):
    """One mail, in or out, as it is listed; `reason` says in a word why it is where it is."""

    id: int
    direction: str
    mailbox: str
    source: str
    state: str
    reason: str
    sender: str
    subject: str
    auto: str
    ticket: int | None
    message: int | None
    size: int
    at: str
    done_at: str | None


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mail for one of its recipients: queued, sent, failed or bounced."""

    address: str
    part: str
    state: str
    words: str
    at: str


class MailView(MailLine, frozen=True, kw_only=True):
    """A mail with its Message-ID, its recipients, and the beginning of what it is."""

    message_id: str
    recipients: list[Recipient]
    beginning: str


def _line(row: RowMapping) -> dict[str, object]:
    return {name: row[name] for name in MailLine.__struct_fields__}


async def list_mails(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None = None,
    direction: str | None = None,
    ticket: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[MailLine]:
    """Return mails, newest first.

    Args:
        c: any connection.
        tenant: organisation.
        state: only those in it.
        direction: `in` or `out`.
        ticket: only those of this one.
        before: only ids below this one (the cursor).
        limit: at most so many.
    """
    query = select(mails).where(mails.c.tenant == tenant)
    for column, value in ((mails.c.state, state), (mails.c.direction, direction)):
        if value is not None:
            query = query.where(column == value)
    if ticket is not None:
        query = query.where(mails.c.ticket == ticket)
    if before is not None:
        query = query.where(mails.c.id < before)
    rows = (await c.execute(query.order_by(mails.c.id.desc()).limit(limit))).mappings()
    return [msgspec.convert(_line(row), MailLine) for row in rows]


async def _row(c: AsyncConnection, tenant: str, mail: int) -> RowMapping:
    query = select(mails).where(mails.c.tenant == tenant, mails.c.id == mail)
    row = (await c.execute(query)).mappings().first() if 0 < mail < 2**63 else None
    if row is None:
        raise not_found("mail", str(mail))
    return row


async def show_mail(c: AsyncConnection, tenant: str, mail: int) -> MailView:
    """Return one mail.

    Raises:
        FarhandError: `not-found`.
    """
    row = await _row(c, tenant, mail)
    beginning = ""
    if (kept := await _content(c, tenant, row)) is not None:
        content = kept[: 4 * MAX_SHOWN_CHARS]
        beginning = content.decode("utf-8", "replace").replace("\r\n", "\n")[:MAX_SHOWN_CHARS]
    query = select(mail_recipients).where(
        mail_recipients.c.tenant == tenant, mail_recipients.c.mail == mail
    )
    people = (await c.execute(query.order_by(mail_recipients.c.address))).mappings()
    values = {
        **_line(row),
        "message_id": row["rfc_id"],
        "beginning": beginning,
        "recipients": [{name: one[name] for name in Recipient.__struct_fields__} for one in people],
    }
    return msgspec.convert(values, MailView)


async def raw_of(c: AsyncConnection, tenant: str, mail: int) -> bytes:
    """Return a mail as it came, or as it was sent; links that open a ticket are its reader's own.

    Raises:
        FarhandError: `not-found`, also where nothing of it is kept.
    """
    content = await _content(c, tenant, await _row(c, tenant, mail))
    if content is None:
        raise not_found("mail's text", str(mail))
    return without_links(content)


async def _content(c: AsyncConnection, tenant: str, row: RowMapping) -> bytes | None:
    """Return what is kept of a mail; nothing of one with a link that only its reader may use."""
    if row["raw"] is None or row["secret"]:
        return None
    return (await read_blob(c, tenant, row["raw"])).content


async def _settle(c: AsyncConnection, relay: Relay, mail: int, *, state: str, actor: str) -> None:
    row = await _row(c, relay.tenant, mail)
    await relay.audit.append(c, actor=actor, action=f"mail.{state}", subject=str(mail))
    done = await c.execute(
        update(mails)
        .where(mails.c.tenant == relay.tenant, mails.c.id == mail, mails.c.state == "quarantined")
        .values(state=state, tries=0, lease_until="", done_at=None)
    )
    if done.rowcount != 1:
        raise FarhandError("mail-state", f"the mail is {row['state']}, not in quarantine")


async def release_mail(c: AsyncConnection, relay: Relay, *, mail: int, actor: str) -> None:
    """Read a mail anew.

    Raises:
        FarhandError: `not-found`; `mail-state` when it is not in quarantine, or was not taken
            whole.
    """
    row = await _row(c, relay.tenant, mail)
    if row["raw"] is None or "still in the mailbox" in row["reason"]:
        raise FarhandError(
            "mail-state",
            "only its beginning was taken",
            hint="make it smaller, or read it in the mailbox; then drop it here",
        )
    await _settle(c, relay, mail, state="kept", actor=actor)


async def drop_mail(c: AsyncConnection, relay: Relay, *, mail: int, actor: str) -> None:
    """Throw a mail away, but for the row that says so.

    Raises:
        FarhandError: `not-found`; `mail-state` when it is not in quarantine.
    """
    await _settle(c, relay, mail, state="dropped", actor=actor)
    await c.execute(
        update(mails)
        .where(mails.c.tenant == relay.tenant, mails.c.id == mail)
        .values(raw=None, done_at=relay.stamp())
    )
