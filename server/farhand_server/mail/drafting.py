"""From the row of a mail that goes out to its draft: what it answers, what goes along."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import RowMapping, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.instants import parse_instant
from farhand_server.desk.queues import DEFAULT_QUEUE
from farhand_server.mail.composing import Draft, File
from farhand_server.mail.mailboxes import mailbox_of_queue
from farhand_server.mail.markers import make_mark, marker_line
from farhand_server.mail.message_ids import build_references
from farhand_server.mail.outgoing import Letter, LetterFile
from farhand_server.mail.sealing import mail_keys
from farhand_server.mail.subjects import tag_subject
from farhand_server.mail.ticket_links import holders_of, link_line, make_link
from farhand_server.people.blobs import Attachment, attachments_of, read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets
from farhand_server.store.schema.mail import mail_recipients, mailboxes, mails

__all__ = ["MAX_FILES_BYTES", "draft_of", "give_sender"]

# Most mail servers take 25 MB in all; a file of 18 MB is 25 as mail carries it.
MAX_FILES_BYTES: Final = 18 * 1024 * 1024
_MAX_THREAD: Final = 200
# Why a mail is on its ticket that one who takes part wrote; what others wrote is never answered.
_OF_PARTICIPANTS: Final = ("new", "reply", "twin", "reopen-limit")


async def give_sender(c: AsyncConnection, relay: Relay, row: RowMapping) -> bool:
    """Give a mail that was written before there was any mailbox one to come from.

    Returns: whether there is one.
    """
    query = select(tickets.c.queue).where(
        tickets.c.tenant == relay.tenant, tickets.c.number == row["ticket"]
    )
    queue = await c.scalar(query) if row["ticket"] is not None else None
    mailbox = await mailbox_of_queue(c, relay.tenant, queue or DEFAULT_QUEUE)
    if mailbox is None:
        return False
    await c.execute(
        update(mails)
        .where(mails.c.tenant == relay.tenant, mails.c.id == row["id"])
        .values(
            mailbox=mailbox.name,
            sender=mailbox.address,
            envelope_from="" if row["auto"] else mailbox.address,
        )
    )
    return True


async def draft_of(c: AsyncConnection, relay: Relay, row: RowMapping) -> Draft:
    """Return what a mail is made of; reads only."""
    letter = msgspec.json.decode(row["letter"], type=Letter)
    people = await _people(c, relay.tenant, row["id"])
    ticket = row["ticket"]
    subject, thread = letter.subject, _Thread()
    if ticket is not None:
        subject = tag_subject(subject, ticket)
        thread = await _thread(c, relay.tenant, ticket, row["id"])
        if thread.answered and not subject.startswith("Re:"):
            subject = f"Re: {subject}"
    title = await c.scalar(
        select(mailboxes.c.title).where(
            mailboxes.c.tenant == relay.tenant, mailboxes.c.name == row["mailbox"]
        )
    )
    files, left_out = await _files(c, relay.tenant, letter)
    text = letter.text
    if left_out:
        text += "\n\n" + "\n".join(f"- {name}" for name in left_out)
    marker, mark, link = "", "", ""
    if ticket is not None:
        marker = marker_line(letter.language)
        mark = make_mark(relay.service(mail_keys).ids, ticket)
        if not row["secret"] and await holders_of(c, relay, ticket, [one for one, _ in people]):
            link = link_line(make_link(relay, ticket=ticket, mail=row["id"]), letter.language)
    auto = ""
    if row["auto"]:
        auto = "auto-replied" if thread.answered else "auto-generated"
    return Draft(
        message_id=row["rfc_id"],
        sender=row["sender"],
        sender_name=title or relay.settings.org,
        to=[address for address, part in people if part == "to"],
        cc=[address for address, part in people if part == "cc"],
        subject=subject,
        text=text,
        at=parse_instant(row["at"]),
        in_reply_to=thread.answered,
        references=thread.references,
        thread_index=thread.index,
        thread_topic=thread.topic,
        auto=auto,
        language=letter.language,
        marker=marker,
        mark=mark,
        link=link,
        files=files,
    )


async def _people(c: AsyncConnection, tenant: str, mail: int) -> list[tuple[str, str]]:
    query = select(mail_recipients.c.address, mail_recipients.c.part).where(
        mail_recipients.c.tenant == tenant, mail_recipients.c.mail == mail
    )
    return [(row.address, row.part) for row in await c.execute(query.order_by("address"))]


class _Thread(msgspec.Struct, frozen=True):
    """What a mail answers: the customer's last one, and all before it."""

    answered: str = ""
    references: str = ""
    index: str = ""
    topic: str = ""


async def _thread(c: AsyncConnection, tenant: str, ticket: int, mail: int) -> _Thread:
    query = (
        select(mails)
        .where(
            mails.c.tenant == tenant,
            mails.c.ticket == ticket,
            mails.c.id < mail,
            mails.c.rfc_id != "",
            or_(
                and_(mails.c.direction == "in", mails.c.reason.in_(_OF_PARTICIPANTS)),
                and_(mails.c.direction == "out", mails.c.state != "held"),
            ),
        )
        .order_by(mails.c.id.desc())
        .limit(_MAX_THREAD)
    )
    rows = (await c.execute(query)).mappings().all()[::-1]
    came = [row for row in rows if row["direction"] == "in" and not row["auto"]]
    ids = [row["rfc_id"] for row in rows]
    if not came:
        return _Thread(references=build_references(ids[:-1], ids[-1]) if ids else "")
    last = came[-1]
    return _Thread(
        answered=last["rfc_id"],
        references=build_references([*last["refs"].split(), *ids], last["rfc_id"]),
        index=last["thread_index"],
        topic=last["thread_topic"],
    )


async def _files(c: AsyncConnection, tenant: str, letter: Letter) -> tuple[list[File], list[str]]:
    """Return the files that go along, and the names of those that are too much for a mail."""
    files, left_out, room = [], [], MAX_FILES_BYTES
    going: list[LetterFile | Attachment] = [*letter.files]
    if letter.message is not None:
        going += await attachments_of(c, tenant, [letter.message])
    for one in going:
        if one.size > room:
            left_out.append(one.name)
            continue
        room -= one.size
        blob = await read_blob(c, tenant, one.sha256)
        files.append(File(one.name, blob.media_type, blob.content))
    return files, left_out
