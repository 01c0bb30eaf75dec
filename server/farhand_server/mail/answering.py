"""What follows by mail from what happens on a ticket: a heeder; it writes rows and sends nothing.

    reply       of the desk, public     to the requester, in copy to who takes part
    resolved    by a person, a rule     that it is believed to be solved, and how to say no
    reopened    by the desk             that somebody works on it again

What a requester writes herself is not sent back to her, and notes never leave.  What a rule wrote
no person wrote: it goes as automatic mail, within the bounds of such (`mail.loops`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.actors import is_a_person
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.participants import list_participants
from farhand_server.desk.queues import get_queue
from farhand_server.desk.tickets import Ticket, get_ticket
from farhand_server.mail.outgoing import Letter, queue_letter
from farhand_server.mail.phrases import Phrase, language_of, say
from farhand_server.people.people import find_person, main_address, normalise_address
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import people, ticket_messages

__all__ = ["NOTIFY", "Audience", "audience_of", "heed_mail"]

# The setting that says whether the desk writes by itself of what it did; on by default.
NOTIFY: Final = "mail.notify"
_TELLING: Final = ("resolved", "reopened")


class Audience(NamedTuple):
    """Whom a ticket's mails go to, and in which language the desk writes to them."""

    to: list[str]
    cc: list[str]
    language: str


async def heed_mail(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Queue the mails that follow from an event."""
    if event.kind == "reply":
        await _reply(c, relay, event)
    elif event.kind in _TELLING and (is_a_person(event.actor) or event.actor.startswith("rule:")):
        await _tell(c, relay, event)


async def _reply(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    message = await _message(c, relay.tenant, event)
    if message is None or not message["public"] or message["kind"] == "chat":
        return  # what nobody was there to read in a chat is sent by `channels.chats`
    ticket = await get_ticket(c, relay.tenant, str(event.ticket))
    to = await audience_of(c, relay, ticket, without=event.actor)
    letter = Letter(
        to=to.to,
        cc=to.cc,
        subject=ticket.title,
        text=message["body"],
        ticket=ticket.row,
        message=message["seq"],
        auto=not is_a_person(event.actor),
        language=message["language"],
    )
    await queue_letter(c, relay, letter, key=f"message:{message['seq']}")


async def _tell(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    if not await get_setting(c, relay.tenant, NOTIFY, bool, default=True):
        return
    message = await _message(c, relay.tenant, event)
    if message is not None and message["public"]:
        return  # the requester reopened it herself, with these words
    ticket = await get_ticket(c, relay.tenant, str(event.ticket))
    if ticket.kind == "walk-in":
        return
    to = await audience_of(c, relay, ticket, without=event.actor)
    queue = await get_queue(c, relay.tenant, ticket.queue)
    phrase: Phrase = "resolved" if event.kind == "resolved" else "reopened"
    subject, text = say(phrase, to.language, number=ticket.number, days=queue.reopen_days)
    letter = Letter(
        to=to.to, subject=subject, text=text, ticket=ticket.row, auto=True, language=to.language
    )
    await queue_letter(c, relay, letter, key=f"event:{event.seq}")


async def _message(c: AsyncConnection, tenant: str, event: HeededEvent) -> RowMapping | None:
    query = select(ticket_messages).where(
        ticket_messages.c.tenant == tenant, ticket_messages.c.seq == event.detail.get("message")
    )
    return (await c.execute(query)).mappings().first()


async def audience_of(
    c: AsyncConnection, relay: Relay, ticket: Ticket, *, without: str
) -> Audience:
    """Return whom mails of a ticket go to, but for one who wrote himself.

    Args:
        c: any connection.
        relay: the wiring.
        ticket: whose people are asked for.
        without: name of the account that acts.
    """
    requester = await _requester(c, relay.tenant, ticket) if ticket.requester != without else None
    cc = []
    for one in await list_participants(c, relay.tenant, ticket.row):
        if one.name not in (without, ticket.requester):
            address = await _address_of_name(c, relay.tenant, one.name)
            if address is not None and address != requester:
                cc.append(address)
    to = [requester] if requester is not None else cc[:1]
    locale = ""
    if ticket.person is not None:
        locale = str(
            await c.scalar(
                select(people.c.locale).where(
                    people.c.tenant == relay.tenant, people.c.id == ticket.person
                )
            )
            or ""
        )
    language = language_of(ticket.language, locale)
    return Audience(to, [one for one in cc if one not in to], language)


async def _requester(c: AsyncConnection, tenant: str, ticket: Ticket) -> str | None:
    """Return where a ticket's requester is written to: where it came from, else her main one."""
    if ticket.requester is not None and _is_address(ticket.requester):
        owner = await find_person(c, tenant, "mail", ticket.requester)
        if ticket.person is None or (owner is not None and owner.id == ticket.person):
            return ticket.requester
    if ticket.person is not None:
        return await main_address(c, tenant, ticket.person)
    return await _address_of_name(c, tenant, ticket.requester) if ticket.requester else None


async def _address_of_name(c: AsyncConnection, tenant: str, name: str) -> str | None:
    """Return the mail address of an account's person; a name with an `@` is one itself."""
    query = select(people.c.id).where(people.c.tenant == tenant, people.c.account == name)
    person = await c.scalar(query)
    if person is not None and (found := await main_address(c, tenant, person)) is not None:
        return found
    return name if _is_address(name) else None


def _is_address(name: str) -> bool:
    try:
        normalise_address("mail", name)
    except UsageError:
        return False
    return True
