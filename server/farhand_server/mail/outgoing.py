"""Mail that goes out: written as a row and an item of the outbox, sent by `mail.sending`.

    queued -> sending -> sent        every recipient's server took it
                      -> partly      some did, the others never will
                      -> failed      none did; the owner is told with a note
           -> held -> queued         a person stopped it in time (`farhand mail hold`), or lets go

What a person writes waits `UNDO_S` first.  Each recipient has an outcome of its own.  The mail's
Message-ID is made here, once, so that every try of it carries the same one.  A mail belongs to one
item of the outbox, the last that was put for it: an earlier one sends nothing.

Automatic mail goes to nobody who had enough of it within the hour, which is noted on its ticket,
and never to the machine with whose mail its ticket began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final

import msgspec
from sqlalchemy import RowMapping, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.mails import SIGN_IN_KEY
from farhand_server.desk.queues import DEFAULT_QUEUE
from farhand_server.errors import not_found
from farhand_server.mail.loops import MAX_AUTO_AN_HOUR, RECEIPT, may_write_automatically
from farhand_server.mail.mailboxes import Mailbox, mailbox_of_queue, own_addresses
from farhand_server.mail.message_ids import NONCE_BYTES, make_message_id
from farhand_server.mail.sealing import mail_keys
from farhand_server.mail.unreached import tell_of_failure
from farhand_server.outbox.items import put
from farhand_server.people.people import normalise_address
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets
from farhand_server.store.schema.mail import mail_recipients, mails

__all__ = [
    "KIND",
    "MAX_RECIPIENTS_OUT",
    "UNDO_S",
    "Letter",
    "LetterFile",
    "hold_mail",
    "is_secret",
    "queue_letter",
    "queue_mail",
    "register_mail",
    "send_held",
]

KIND: Final = "mail"
UNDO_S: Final = 15.0
MAX_RECIPIENTS_OUT: Final = 60
# Keys of the mails with a link that is for their reader alone: signing in, an address to verify,
# a survey, which nobody of the desk is to answer.
_SECRET_KEYS: Final = (SIGN_IN_KEY, "csat:")
_Address = Annotated[str, msgspec.Meta(max_length=254)]


class LetterFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes along, kept as a blob."""

    name: str
    sha256: str
    size: int


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent: the payload of an item of the kind `mail`, for whoever puts one himself.

    `auto` says that no person wrote it, and `receipt` that it only says that a mail arrived;
    `message` is the message of the ticket that it carries, whose files go along; `mail`, which
    stands alone, is the row of one that is registered already.
    """

    to: list[_Address] = []
    subject: str = ""
    text: str = ""
    cc: list[_Address] = []
    ticket: int | None = None
    message: int | None = None
    auto: bool = False
    receipt: bool = False
    language: str = ""
    mail: int | None = None
    files: list[LetterFile] = []


def is_secret(key: str) -> bool:
    """Tell by an item's key whether the mail holds what only its reader may see."""
    return key.startswith(_SECRET_KEYS)


async def queue_mail(
    c: AsyncConnection,
    relay: Relay,
    *,
    to: Sequence[str],
    subject: str,
    text: str,
    cc: Sequence[str] = (),
    ticket: int | None = None,
    message: int | None = None,
    auto: bool = False,
    language: str = "",
    key: str = "",
) -> int | None:
    """Write that a mail is to go out; the same key again writes nothing.

    Args:
        c: connection of the write transaction that decided it.
        relay: the wiring.
        to: addresses; what is none, and the desk's own, are left out.
        subject: one line, without the ticket's tag.
        text: Markdown, for people.
        cc: as `to`.
        ticket: number of the ticket that it belongs to.
        message: the ticket's message that it carries.
        auto: that no person wrote it: it goes at once, and to nobody who has had enough of them.
        language: of the text.
        key: makes it the only one.

    Returns: the mail's id; None where nobody is left to write to.

    Raises:
        FarhandError: `outbox-too-large`.
    """
    letter = Letter(
        to=list(to),
        cc=list(cc),
        subject=subject,
        text=text,
        ticket=ticket,
        message=message,
        auto=auto,
        language=language,
    )
    return await queue_letter(c, relay, letter, key=key)


async def queue_letter(
    c: AsyncConnection, relay: Relay, letter: Letter, *, key: str = ""
) -> int | None:
    """Write that a letter is to go out; see `queue_mail`."""
    made = await register_mail(c, relay, letter, mark=key, secret=is_secret(key))
    if made is None:
        return None
    not_before = None if letter.auto else relay.now() + timedelta(seconds=UNDO_S)
    item = await put(
        c,
        relay,
        kind=KIND,
        payload={"mail": made},
        key=key or f"mail:{made}",
        not_before=not_before,
    )
    await c.execute(
        update(mails)
        .where(mails.c.tenant == relay.tenant, mails.c.id == made, mails.c.item == "")
        .values(item=item)
    )
    return made


async def register_mail(
    c: AsyncConnection, relay: Relay, letter: Letter, *, mark: str, secret: bool = False
) -> int | None:
    """Write the rows of a mail that goes out, once for each mark.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        letter: what is to be sent.
        mark: what it is known again by; empty for a new one each time.
        secret: that nobody of the desk may read it.

    Returns: its id; None where nobody is left to write to.
    """
    mailbox = await _mailbox(c, relay, letter)
    seed = mark.encode() if mark else relay.random(16)
    nonce = hashlib.sha256(b"farhand mail\0" + seed).digest()[:NONCE_BYTES]
    rfc_id = make_message_id(
        relay.service(mail_keys).ids,
        ticket=letter.ticket or 0,
        message=letter.message or 0,
        nonce=nonce,
        domain=_domain(relay, mailbox),
    )
    query = select(mails.c.id).where(mails.c.tenant == relay.tenant, mails.c.rfc_id == rfc_id)
    known: int | None = await c.scalar(query)
    if known is not None:
        return known
    people, sated = await _recipients(c, relay, letter)
    if sated and letter.ticket is not None and not letter.receipt:
        words = f"not sent: it had {MAX_AUTO_AN_HOUR} automatic mails within the hour"
        told = dict.fromkeys(sated, words)
        await tell_of_failure(c, relay, letter.ticket, told, event="mail-unsent")
    if not people:
        return None
    made = await c.execute(
        insert(mails)
        .values(
            tenant=relay.tenant,
            direction="out",
            mailbox=mailbox.name if mailbox else "",
            source="relay",
            rfc_id=rfc_id,
            dedupe=rfc_id,
            body_sha256="",
            letter=msgspec.json.encode(letter).decode(),
            raw=None,
            size=0,
            envelope_from="" if letter.auto or mailbox is None else mailbox.address,
            sender=mailbox.address if mailbox else "",
            subject=letter.subject[:400],
            auto=_auto(letter),
            secret=secret,
            refs="",
            thread_index="",
            thread_topic="",
            state="queued",
            reason="",
            tries=0,
            lease_until="",
            ticket=letter.ticket,
            message=letter.message,
            item="",
            at=relay.stamp(),
            done_at=None,
        )
        .returning(mails.c.id)
    )
    mail: int = made.scalar_one()
    for address, part in people.items():
        await c.execute(
            insert(mail_recipients).values(
                tenant=relay.tenant,
                mail=mail,
                address=address,
                part=part,
                auto=letter.auto,
                state="queued",
                words="",
                at=relay.stamp(),
            )
        )
    return mail


def _auto(letter: Letter) -> str:
    if not letter.auto:
        return ""
    return RECEIPT if letter.receipt else "auto"


async def _mailbox(c: AsyncConnection, relay: Relay, letter: Letter) -> Mailbox | None:
    queue: str | None = DEFAULT_QUEUE
    if letter.ticket is not None:
        queue = await c.scalar(
            select(tickets.c.queue).where(
                tickets.c.tenant == relay.tenant, tickets.c.number == letter.ticket
            )
        )
    return await mailbox_of_queue(c, relay.tenant, queue or DEFAULT_QUEUE)


def _domain(relay: Relay, mailbox: Mailbox | None) -> str:
    if mailbox is not None:
        return mailbox.address.rpartition("@")[2]
    host = relay.settings.url.partition("://")[2].partition(":")[0]
    return host if host.replace(".", "").replace("-", "").isalnum() else "farhand.invalid"


async def _recipients(
    c: AsyncConnection, relay: Relay, letter: Letter
) -> tuple[dict[str, str], list[str]]:
    """Return who is written to, each once, and as what; and who had enough of automatic mail."""
    ours = await own_addresses(c, relay.tenant)
    if letter.auto and letter.ticket is not None:
        ours |= await _machines(c, relay.tenant, letter.ticket)
    people: dict[str, str] = {}
    sated: list[str] = []
    for part, addresses in (("to", letter.to), ("cc", letter.cc)):
        for text in addresses:
            try:
                address = normalise_address("mail", text)
            except UsageError:
                continue  # a name that is no address: nobody to write to
            if address in ours or address in people or len(people) >= MAX_RECIPIENTS_OUT:
                continue
            if letter.auto and not await may_write_automatically(
                c, relay, address, receipt=letter.receipt
            ):
                sated.append(address)
                continue
            people[address] = part
    return people, sated


async def _machines(c: AsyncConnection, tenant: str, ticket: int) -> set[str]:
    """Return with whose automatic mail a ticket began: nobody reads there what we write."""
    query = select(mails.c.sender).where(
        mails.c.tenant == tenant,
        mails.c.ticket == ticket,
        mails.c.direction == "in",
        mails.c.reason == "new",
        mails.c.auto != "",
    )
    return set(await c.scalars(query))


# Stopping one in time.


async def _own_mail(c: AsyncConnection, relay: Relay, mail: int) -> RowMapping:
    query = select(mails).where(
        mails.c.tenant == relay.tenant, mails.c.id == mail, mails.c.direction == "out"
    )
    row = (await c.execute(query.with_for_update())).mappings().first()
    if row is None:
        raise not_found("mail", str(mail))
    return row


async def _switch(
    c: AsyncConnection, relay: Relay, mail: int, *, before: str, after: str, actor: str
) -> None:
    row = await _own_mail(c, relay, mail)
    if row["state"] != before:
        raise FarhandError("mail-state", f"the mail is {row['state']}, not {before}")
    await relay.audit.append(c, actor=actor, action=f"mail.{after}", subject=str(mail))
    await c.execute(
        update(mails)
        .where(and_(mails.c.tenant == relay.tenant, mails.c.id == mail))
        .values(state=after)
    )


async def hold_mail(c: AsyncConnection, relay: Relay, *, mail: int, actor: str) -> None:
    """Stop a mail that was not sent yet; what it says stays on its ticket.

    Raises:
        FarhandError: `not-found`; `mail-state` when it is too late.
    """
    await _switch(c, relay, mail, before="queued", after="held", actor=actor)


async def send_held(c: AsyncConnection, relay: Relay, *, mail: int, actor: str) -> None:
    """Let a held mail go.

    Raises:
        FarhandError: `not-found`; `mail-state` when it is not held.
    """
    await _switch(c, relay, mail, before="held", after="queued", actor=actor)
    item = await put(c, relay, kind=KIND, payload={"mail": mail})
    # The one before may still wait: it is not this mail's any more.
    await c.execute(
        update(mails).where(mails.c.tenant == relay.tenant, mails.c.id == mail).values(item=item)
    )
