"""Keeping a mail that came: its bytes first, before anybody tries to understand it.

    kept -> done            understood, and on its ticket (`mail.intake`)
         -> quarantined     could not be understood; a person looks (`mail.quarantine`)
                -> kept     released
                -> dropped  thrown away, but for its row

A mail is told apart by mailbox, Message-ID and the digest of its body, so whoever brings it a
second time (an IMAP server whose mark was lost, a mail server that did not hear our 250) is told
that it is kept.  One without a Message-ID is told apart by a digest of the headers that its writer
set.
"""

from __future__ import annotations

import email.parser
import hashlib
from email.errors import MessageError
from typing import Final, Literal, NamedTuple

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.mail.message_ids import find_ids
from farhand_server.people.blobs import keep_blob
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mailboxes, mails

__all__ = [
    "MAX_TAKEN_BYTES",
    "RAW_TYPE",
    "Arrival",
    "Marks",
    "keep_mail",
    "keep_refused",
    "marks_of",
    "note_archive",
    "note_place",
]

# As much as a blob holds (`people.blobs`): files of 30 MB, which are 41 MB in base64.
MAX_TAKEN_BYTES: Final = 40 * 1024 * 1024
RAW_TYPE: Final = "message/rfc822"
_MAX_HEADER_BYTES: Final = 256 * 1024
_WRITERS: Final = ("from", "to", "date", "subject")


class Marks(NamedTuple):
    """What a mail is told apart by; `rfc_id` in angle brackets, or empty."""

    rfc_id: str
    dedupe: str
    body_sha256: str


class Arrival(NamedTuple):
    """How a mail came: to which mailbox, over what, from which envelope sender.

    `uid` with `uid_validity` says, over IMAP, how far the folder was read: noted with it.
    """

    mailbox: str
    source: Literal["imap", "lmtp", "smtp"]
    envelope_from: str = ""
    uid: int | None = None
    uid_validity: int | None = None


def marks_of(raw: bytes) -> Marks:
    """Return what a mail is told apart by; blocks for as long as 40 MB take to be hashed.

    Line ends do not count, nor do empty lines at the end: a mail server may change them on the way.
    """
    head, _, body = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").partition(b"\n\n")
    digest = hashlib.sha256(body.rstrip(b"\n")).hexdigest()
    try:
        headers = email.parser.BytesHeaderParser().parsebytes(head[:_MAX_HEADER_BYTES] + b"\n\n")
        found = find_ids(str(headers.get("message-id", "")), limit=1)
        written = [str(headers.get(name, "")) for name in _WRITERS]
    except (MessageError, ValueError, LookupError, IndexError, AttributeError, TypeError):
        # Whatever a broken header does to the library, the mail is kept; its bytes tell it apart.
        found, written = (), [head.decode("latin-1")]
    rfc_id = "".join(one for one in found[0] if one.isprintable()) if found else ""
    if rfc_id:
        return Marks(rfc_id, rfc_id, digest)
    text = "\0".join(written).encode("utf-8", "backslashreplace")
    return Marks("", "none:" + hashlib.sha256(text).hexdigest(), digest)


async def keep_mail(
    c: AsyncConnection, relay: Relay, *, raw: bytes, marks: Marks, arrival: Arrival
) -> int | None:
    """Keep a mail in the caller's write transaction.

    Args:
        c: connection of a write transaction; whoever brought the mail is told after its commit.
        relay: the wiring.
        raw: all of it, at most `MAX_TAKEN_BYTES`.
        marks: of it.
        arrival: how it came.

    Returns: its id; None when it is kept already.

    Raises:
        FarhandError: `mail-too-large`, and the store's.
    """
    if len(raw) > MAX_TAKEN_BYTES:
        raise FarhandError("mail-too-large", f"a mail has {MAX_TAKEN_BYTES} bytes at most")
    made = await _insert(c, relay, marks, arrival, size=len(raw), state="kept", reason="")
    if made is not None:
        await _put_raw(c, relay, made, raw)
    await note_place(c, relay, arrival)
    return made


async def keep_refused(
    c: AsyncConnection, relay: Relay, *, marks: Marks, head: bytes, reason: str, arrival: Arrival
) -> int | None:
    """Keep in quarantine what is known of a mail that was not taken; it stays where it lies.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        marks: to know it again by.
        head: its beginning, or nothing.
        reason: why, for the list.
        arrival: where it lies.

    Returns: its id; None when it is known already.
    """
    size = len(head)
    made = await _insert(c, relay, marks, arrival, size=size, state="quarantined", reason=reason)
    if made is not None and head:
        await _put_raw(c, relay, made, head)
    await note_place(c, relay, arrival)
    return made


async def _put_raw(c: AsyncConnection, relay: Relay, mail: int, raw: bytes) -> None:
    sha256 = await keep_blob(c, relay, raw, RAW_TYPE)
    await c.execute(
        update(mails).where(mails.c.tenant == relay.tenant, mails.c.id == mail).values(raw=sha256)
    )


async def _insert(
    c: AsyncConnection,
    relay: Relay,
    marks: Marks,
    arrival: Arrival,
    *,
    size: int,
    state: str,
    reason: str,
) -> int | None:
    make = postgresql_insert if relay.db.dialect == "postgresql" else sqlite_insert
    made = await c.execute(
        make(mails)
        .values(
            tenant=relay.tenant,
            direction="in",
            mailbox=arrival.mailbox,
            source=arrival.source,
            rfc_id=marks.rfc_id,
            dedupe=marks.dedupe,
            body_sha256=marks.body_sha256,
            letter=None,
            raw=None,
            size=size,
            envelope_from=arrival.envelope_from[:400],
            sender="",
            subject="",
            auto="",
            secret=False,
            refs="",
            thread_index="",
            thread_topic="",
            state=state,
            reason=reason,
            tries=0,
            lease_until="",
            ticket=None,
            message=None,
            item="",
            at=relay.stamp(),
            done_at=None,
        )
        .on_conflict_do_nothing()
        .returning(mails.c.id)
    )
    found: int | None = made.scalar_one_or_none()
    return found


async def note_place(c: AsyncConnection, relay: Relay, arrival: Arrival) -> None:
    """Note how far a folder was read, where that is known."""
    if arrival.uid is None:
        return
    await c.execute(
        update(mailboxes)
        .where(mailboxes.c.tenant == relay.tenant, mailboxes.c.name == arrival.mailbox)
        .values(uid=arrival.uid, uid_validity=arrival.uid_validity)
    )


async def note_archive(
    c: AsyncConnection, relay: Relay, mailbox: str, uid_validity: int, archive: int
) -> None:
    """Note, before the first look into a folder, the last UID that it held by then."""
    await c.execute(
        update(mailboxes)
        .where(mailboxes.c.tenant == relay.tenant, mailboxes.c.name == mailbox)
        .values(uid_validity=uid_validity, uid=0, archive_uid=archive)
    )
