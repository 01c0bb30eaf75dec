"""What the tests of mail are made of: mailboxes, letters as bytes, one pass of all loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from farhand_server.desk.heed import heed_events
from farhand_server.desk.moves import add_message
from farhand_server.mail.answering import heed_mail
from farhand_server.mail.intake import make_intake
from farhand_server.mail.keeping import Arrival, keep_mail, marks_of
from farhand_server.mail.mailboxes import SMTP, MailboxTerms, ServerTerms, set_mailbox, set_server
from farhand_server.mail.sending import send_mail
from farhand_server.outbox.sending import send_due
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_messages, tickets
from farhand_server.store.schema.mail import mail_recipients, mails

DESK = "desk@example.com"
EVE = "eve@customer.example"


async def open_mailbox(relay: Relay, name: str = "desk", address: str = DESK, **terms: Any) -> None:
    """Make a mailbox."""
    async with relay.db.write() as c:
        given = MailboxTerms(address=address, **terms)
        await set_mailbox(c, relay, name=name, terms=given, actor="ada")


async def use_smtp(relay: Relay, port: int) -> None:
    """Send what goes out to a server on this machine."""
    async with relay.db.write() as c:
        terms = ServerTerms(host="127.0.0.1", port=port, security="plain")
        await set_server(c, relay, name=SMTP, terms=terms, actor="ada")


def letter(
    text: str = "The printer is on fire.",
    *,
    sender: str = EVE,
    message_id: str = "<one@customer.example>",
    subject: str = "Printer",
    headers: Sequence[str] = (),
) -> bytes:
    """Return a mail as it comes."""
    lines = [
        f"From: {sender}",
        f"To: {DESK}",
        f"Subject: {subject}",
        "Date: Sun, 22 Nov 2026 12:00:00 +0000",
        *([f"Message-ID: {message_id}"] if message_id else []),
        *headers,
        "",
        text,
    ]
    return "\r\n".join(lines).encode() + b"\r\n"


async def arrive(relay: Relay, raw: bytes, mailbox: str = "desk", path: str = EVE) -> int | None:
    """Keep a mail as the listener does, understand it, and return its id; None if it was known."""
    async with relay.db.write() as c:
        arrival = Arrival(mailbox, "lmtp", path)
        made = await keep_mail(c, relay, raw=raw, marks=marks_of(raw), arrival=arrival)
    await relay.service(make_intake).work_off()
    return made


async def mail_row(relay: Relay, mail: int | None) -> dict[str, Any]:
    """Return a mail's row."""
    async with relay.db.read() as c:
        query = select(mails).where(mails.c.id == mail)
        return dict((await c.execute(query)).mappings().one())


async def all_mails(relay: Relay, direction: str) -> list[dict[str, Any]]:
    """Return every mail that came, or that goes."""
    async with relay.db.read() as c:
        query = select(mails).where(mails.c.direction == direction).order_by(mails.c.id)
        return [dict(row) for row in (await c.execute(query)).mappings()]


async def recipients(relay: Relay, mail: int) -> dict[str, str]:
    """Return what became of a mail for each address."""
    async with relay.db.read() as c:
        query = select(mail_recipients).where(mail_recipients.c.mail == mail)
        return {row["address"]: row["state"] for row in (await c.execute(query)).mappings()}


async def all_tickets(relay: Relay) -> list[dict[str, Any]]:
    """Return every ticket's row."""
    async with relay.db.read() as c:
        query = select(tickets).order_by(tickets.c.number)
        return [dict(row) for row in (await c.execute(query)).mappings()]


async def said(relay: Relay, ticket: int) -> list[dict[str, Any]]:
    """Return what was said on a ticket."""
    async with relay.db.read() as c:
        query = select(ticket_messages).where(ticket_messages.c.ticket == ticket)
        rows = (await c.execute(query.order_by(ticket_messages.c.seq))).mappings()
        return [dict(row) for row in rows]


async def answer(relay: Relay, ticket: int, text: str = "Water it.", actor: str = "ann") -> int:
    """Let somebody of the desk reply, and what follows follow; returns the message's seq."""
    async with relay.db.write() as c:
        made = await add_message(c, relay, ref=str(ticket), kind="reply", body=text, actor=actor)
    await heed(relay)
    return made.seq


async def heed(relay: Relay) -> None:
    """Let what follows by mail from what happened follow, and nothing else."""
    while await heed_events(relay, [heed_mail]):
        pass


async def send_all(relay: Relay) -> int:
    """Send what is due; returns how many tries that were."""
    return await send_due(relay, [("mail", send_mail)])
