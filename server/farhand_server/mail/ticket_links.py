"""Links that open one ticket for whoever was written to: `URL/t/TOKEN`, without an account.

A link stands in a mail of a ticket, or is where a guest's chat goes on.  Its token is 240 bits:
the ticket, the mail (0 for a chat) and an HMAC with a key of this relay; so nothing is kept for it,
and a stolen database opens nothing.  It shows what its ticket's requester is shown, takes words and
files for that ticket, and can do nothing else.

    good --LINK_DAYS after its mail, or the chat's beginning--> over
    good --its readers take part no more, or ask for help no more--> over

Which of its readers holds a link is not known where a mail went to several; she says so herself.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.instants import parse_instant
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Sight, Ticket, find_ticket, get_ticket
from farhand_server.mail.sealing import mail_keys
from farhand_server.people.people import find_person, get_person
from farhand_server.relay import Relay
from farhand_server.store.schema import chats
from farhand_server.store.schema.mail import mail_recipients, mails

__all__ = [
    "LINK_DAYS",
    "Holder",
    "OpenedLink",
    "holders_of",
    "link_line",
    "make_link",
    "open_link",
    "without_links",
]

LINK_DAYS: Final = 30
_TICKET_BYTES: Final = 4
_MAIL_BYTES: Final = 6
_MAC_BYTES: Final = 20
_BYTES: Final = _TICKET_BYTES + _MAIL_BYTES + _MAC_BYTES
_CHARS: Final = _BYTES * 8 // 6
_PURPOSE: Final = b"farhand ticket link\0"
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{_CHARS}}}\Z", re.ASCII)
# Quoted-printable may break a line anywhere (RFC 2045, 6.7).
_SOFT: Final = rb"(?:=\r?\n)?"
_ANY_LINK = re.compile(
    rb"/" + _SOFT + rb"t" + _SOFT + rb"/(?:" + _SOFT + rb"[A-Za-z0-9_-]){%d}" % _CHARS
)
_WORDS: Final = {
    "en": "See it, and answer without an account: {link}",
    "pt": "Ver e responder sem conta: {link}",
    "de": "Ansehen und ohne Konto antworten: {link}",
    "ro": "Vedeți și răspundeți fără cont: {link}",
    "ru": "Посмотреть и ответить без учётной записи: {link}",
}


class Holder(NamedTuple):
    """One who may hold a link: by which name she takes part, and who that is."""

    name: str
    address: str
    person: str | None

    @property
    def sight(self) -> Sight:
        """Return what she sees."""
        return Sight(self.name, desk=False, guarded=False, person=self.person)


class OpenedLink(NamedTuple):
    """What a link leads to; `holders` has one or more, `chat` tells a guest's chat."""

    ticket: Ticket
    holders: list[Holder]
    chat: bool


def make_link(relay: Relay, *, ticket: int, mail: int = 0) -> str:
    """Return the address that opens a ticket; without a mail it is that of a guest's chat."""
    head = ticket.to_bytes(_TICKET_BYTES) + mail.to_bytes(_MAIL_BYTES)
    token = base64.urlsafe_b64encode(head + _mac(relay, head)).decode()
    return f"{relay.settings.url}/t/{token}"


def link_line(link: str, language: str) -> str:
    """Return the line of a mail that holds a link."""
    return _WORDS.get(language[:2].lower(), _WORDS["en"]).format(link=link)


def without_links(text: bytes) -> bytes:
    """Return a mail's bytes for somebody who is not its reader: what its links open is hers."""
    return _ANY_LINK.sub(b"/t/...", text)


async def open_link(c: AsyncConnection, relay: Relay, token: str) -> OpenedLink:
    """Return what a link leads to, as it is now.

    Raises:
        FarhandError: `link-over`, also for one that never was.
    """
    ticket, mail = _read(relay, token)
    if not mail:
        return await _open_chat(c, relay, ticket)
    query = select(mails.c.at).where(
        mails.c.tenant == relay.tenant,
        mails.c.id == mail,
        mails.c.ticket == ticket,
        mails.c.direction == "out",
        mails.c.secret.is_(False),
    )
    _check_age(relay, await c.scalar(query))
    readers = select(mail_recipients.c.address).where(
        mail_recipients.c.tenant == relay.tenant, mail_recipients.c.mail == mail
    )
    addresses = list(await c.scalars(readers.order_by(mail_recipients.c.address)))
    holders = await holders_of(c, relay, ticket, addresses)
    if not holders:
        raise _over()
    return OpenedLink(await get_ticket(c, relay.tenant, format_number(ticket)), holders, False)


async def _open_chat(c: AsyncConnection, relay: Relay, number: int) -> OpenedLink:
    query = select(chats.c.began_at).where(chats.c.tenant == relay.tenant, chats.c.ticket == number)
    _check_age(relay, await c.scalar(query))
    ticket = await get_ticket(c, relay.tenant, format_number(number))
    if ticket.requester is None:
        raise _over()
    if ticket.person and not (await get_person(c, relay.tenant, ticket.person)).active:
        raise _over()
    holder = Holder(ticket.requester, ticket.requester, ticket.person)
    return OpenedLink(ticket, [holder], True)


async def holders_of(
    c: AsyncConnection, relay: Relay, ticket: int, addresses: Sequence[str]
) -> list[Holder]:
    """Return who of a mail's readers takes part in its ticket; vendors, say, do not."""
    found = []
    for address in addresses:
        try:
            person = await find_person(c, relay.tenant, "mail", address)
        except UsageError:
            continue  # what is no address any more was one when the mail was written
        if person is not None and not person.active:
            continue
        names = [address] if person is None else [person.account or address, address]
        for name in names:
            one = Holder(name, address, None if person is None else person.id)
            ref = format_number(ticket)
            seen = await find_ticket(c, relay.tenant, ref, sight=one.sight)
            # Another ticket's key in somebody else's desk may read like this one's number.
            if seen is not None and seen.row == ticket:
                found.append(one)
                break
    return found


def _read(relay: Relay, token: str) -> tuple[int, int]:
    if _TOKEN.match(token) is None:
        raise _over()
    try:
        raw = base64.urlsafe_b64decode(token)
    except binascii.Error as error:
        raise _over() from error
    head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(relay, head)):
        raise _over()
    return int.from_bytes(head[:_TICKET_BYTES]), int.from_bytes(head[_TICKET_BYTES:])


def _mac(relay: Relay, head: bytes) -> bytes:
    key = relay.service(mail_keys).ids
    return hmac.digest(key, _PURPOSE + relay.tenant.encode() + b"\0" + head, "sha256")[:_MAC_BYTES]


def _check_age(relay: Relay, at: str | None) -> None:
    if at is None or relay.now() - parse_instant(at) > timedelta(days=LINK_DAYS):
        raise _over()


def _over() -> FarhandError:
    return FarhandError("link-over", "this link is not good, or is too old")
