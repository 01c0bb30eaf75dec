"""What the store knows of where a mail belongs: the look-ups that `mail.threading` asks.

Asked beforehand, all at once, so that the decision itself stays a pure function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.mail.message_ids import OwnId, read_message_id
from farhand_server.mail.parsed import ParsedMail
from farhand_server.mail.sealing import mail_keys
from farhand_server.mail.threading import Lookups, asked_ids, asked_people, asked_tags
from farhand_server.people.people import normalise_address
from farhand_server.relay import Relay
from farhand_server.store.schema import addresses, people, ticket_participants, tickets
from farhand_server.store.schema.mail import mail_recipients, mails

__all__ = ["is_verified", "look_up"]

# No chain of merges is longer (see desk.merging).
_MAX_HOPS: Final = 101


async def look_up(c: AsyncConnection, relay: Relay, mail: ParsedMail) -> Lookups:
    """Return what a mail's ids, tags and sender mean to the store."""
    ids = asked_ids(mail)
    key = relay.service(mail_keys).ids
    own: dict[str, OwnId] = {}
    for one in ids:
        if (known := read_message_id(key, one)) is not None:
            own[one] = known
    stored = await _stored(c, relay.tenant, ids)
    numbers = {one.ticket for one in own.values()} | set(stored.values()) | set(asked_tags(mail))
    ways = {number: await _follow(c, relay.tenant, number) for number in numbers}
    asked = numbers | {way for way in ways.values() if way is not None}
    known_on = {
        (number, who)
        for number in asked
        for who in asked_people(mail)
        if await _takes_part(c, relay.tenant, number, who)
    }
    return Lookups(
        own=own.get,
        stored=stored.get,
        follow=ways.get,
        takes_part=lambda number, address: (number, address) in known_on,
    )


async def _stored(c: AsyncConnection, tenant: str, ids: Sequence[str]) -> dict[str, int]:
    if not ids:
        return {}
    query = select(mails.c.rfc_id, mails.c.ticket).where(
        mails.c.tenant == tenant, mails.c.rfc_id.in_(ids), mails.c.ticket.is_not(None)
    )
    return {row.rfc_id: row.ticket for row in await c.execute(query.order_by(mails.c.id))}


async def _follow(c: AsyncConnection, tenant: str, number: int) -> int | None:
    """Return where a ticket is now; None where there is none."""
    for _ in range(_MAX_HOPS):
        row = await _ticket(c, tenant, number)
        if row is None:
            return None
        if row["merged_into"] is None:
            return number
        number = row["merged_into"]
    return None


async def _ticket(c: AsyncConnection, tenant: str, number: int) -> RowMapping | None:
    if not 0 < number < 2**31:
        return None
    query = select(
        tickets.c.merged_into, tickets.c.requester, tickets.c.created_by, tickets.c.person
    ).where(tickets.c.tenant == tenant, tickets.c.number == number)
    return (await c.execute(query)).mappings().first()


async def _takes_part(c: AsyncConnection, tenant: str, number: int, address: str) -> bool:
    """Tell whether an address is the requester's, or a participant's who may write.

    An address that nobody verified is only who it says: it counts where the ticket came from that
    very address, has it in copy, or where the desk wrote to it about this ticket before.
    """
    row = await _ticket(c, tenant, number)
    try:
        address = normalise_address("mail", address)
    except UsageError:
        return False
    if row is None:
        return False
    query = select(ticket_participants.c.name, ticket_participants.c.can_post).where(
        ticket_participants.c.tenant == tenant, ticket_participants.c.ticket == number
    )
    writers = {one.name: one.can_post for one in await c.execute(query)}
    if address in writers:
        return bool(writers[address])
    if address in (row["requester"], row["created_by"]):
        return True
    person = await _person(c, tenant, address)
    if person is None:
        return False
    names = {row["requester"], row["created_by"]} | {n for n, can in writers.items() if can}
    is_hers = person["id"] == row["person"] or (person["account"] or "\0") in names
    if not is_hers:
        return False
    return person["verified_at"] is not None or await _wrote_to(c, tenant, number, address)


async def _person(c: AsyncConnection, tenant: str, address: str) -> RowMapping | None:
    query = (
        select(people.c.id, people.c.account, addresses.c.verified_at)
        .join(
            addresses,
            (addresses.c.tenant == people.c.tenant) & (addresses.c.person == people.c.id),
        )
        .where(
            addresses.c.tenant == tenant, addresses.c.kind == "mail", addresses.c.value == address
        )
    )
    return (await c.execute(query)).mappings().first()


async def is_verified(c: AsyncConnection, tenant: str, address: str) -> bool:
    """Tell whether somebody has shown that this address is hers."""
    try:
        person = await _person(c, tenant, normalise_address("mail", address))
    except UsageError:
        return False
    return person is not None and person["verified_at"] is not None


async def _wrote_to(c: AsyncConnection, tenant: str, number: int, address: str) -> bool:
    query = (
        select(mails.c.id)
        .join(
            mail_recipients,
            (mail_recipients.c.tenant == mails.c.tenant) & (mail_recipients.c.mail == mails.c.id),
        )
        .where(
            mails.c.tenant == tenant,
            mails.c.ticket == number,
            mails.c.direction == "out",
            mail_recipients.c.address == address,
        )
    )
    return await c.scalar(query.limit(1)) is not None
