"""What of each ticket can be searched for: one row of terms, kept with what it is made of.

`index_head` takes the ticket's own words (title, requester, key, device, what was tried) anew,
`index_message` adds what was said; both in the transaction that changes those, so a search finds
what is there and nothing else.  What a requester may read is kept apart from what she may not.  A
correction of a message adds words and takes none away: both can still be read in the thread.

A ticket's row is always locked before its row here, so two who write at once wait, never for each
other.  `reindex` makes everything anew: after an upgrade from a version without the index, which
the relay notices by itself, or by `farhand-server reindex`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import RowMapping, and_, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.search_terms import terms_of
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    device_hints,
    device_products,
    devices,
    people,
    ticket_messages,
    ticket_search,
    tickets,
)

__all__ = [
    "fill_index",
    "index_device",
    "index_head",
    "index_message",
    "index_person",
    "index_ticket",
    "reindex",
]

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 100
_MESSAGES_AT_ONCE: Final = 500
# Of one ticket; long before that its terms are full.
_MAX_MESSAGES: Final = 20_000
# A change of a device reaches the newest of its tickets at once; `reindex` reaches all.
_MAX_AT_ONCE: Final = 200
_TICKET_WORDS: Final = (
    "title", "requester", "external_key", "device", "category", "steps_tried", "repro_steps",
)  # fmt: skip
_PRODUCT_WORDS: Final = ("make", "model", "serial", "asset_number")
_HINTS: Final = ("serial", "host_name")


async def index_head(c: AsyncConnection, tenant: str, number: int) -> None:
    """Take the own words of a ticket anew, inside the transaction that changed them."""
    mine = and_(ticket_search.c.tenant == tenant, ticket_search.c.ticket == number)
    head = await _head(c, tenant, number)
    done = await c.execute(update(ticket_search).where(mine).values(head=head))
    if done.rowcount == 0:
        row = {"tenant": tenant, "ticket": number, "head": head, "said": "", "notes": ""}
        await c.execute(insert(ticket_search).values(row))


async def _head(c: AsyncConnection, tenant: str, number: int) -> str:
    query = select(tickets).where(tickets.c.tenant == tenant, tickets.c.number == number)
    ticket = (await c.execute(query.with_for_update())).mappings().one()
    texts = [f"FH-{number}", *(ticket[name] or "" for name in _TICKET_WORDS)]
    texts += _leaves(json.loads(ticket["fields"]))
    if ticket["person"]:
        of_her = (people.c.tenant == tenant, people.c.id == ticket["person"])
        texts.append(await c.scalar(select(people.c.name).where(*of_her)) or "")
    if ticket["device"]:
        texts += await _device_words(c, tenant, ticket["device"])
    return terms_of(texts, ticket["language"])


def _leaves(value: Any) -> Iterator[str]:
    """Yield the texts and numbers of a ticket's fields, which are small and flat."""
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, list):
            yield from _leaves(one)
        elif isinstance(one, str | int | float) and not isinstance(one, bool):
            yield str(one)


async def _device_words(c: AsyncConnection, tenant: str, device: str) -> list[str]:
    """Return how a device is called, by people and by itself; nothing for one that is not ours."""
    names = select(devices.c.name, devices.c.host_name).where(
        devices.c.tenant == tenant, devices.c.id == device
    )
    words = [one for row in await c.execute(names) for one in row]
    bought = select(*(device_products.c[name] for name in _PRODUCT_WORDS)).where(
        device_products.c.tenant == tenant, device_products.c.device == device
    )
    words += [one for row in await c.execute(bought) for one in row if one]
    reported = select(device_hints.c.value).where(
        device_hints.c.tenant == tenant,
        device_hints.c.device == device,
        device_hints.c.kind.in_(_HINTS),
    )
    return words + list(await c.scalars(reported.order_by(device_hints.c.value)))


async def index_message(
    c: AsyncConnection, tenant: str, number: int, body: str, *, public: bool, language: str
) -> None:
    """Add the words of a message, inside the transaction that adds the message.

    Args:
        c: connection of a write transaction.
        tenant: organisation.
        number: of the ticket.
        body: what was said.
        public: whether the requester may read it.
        language: of the message; empty for the ticket's.
    """
    mine = and_(ticket_search.c.tenant == tenant, ticket_search.c.ticket == number)
    column = ticket_search.c.said if public else ticket_search.c.notes
    by_default = await _language(c, tenant, number)
    row = (await c.execute(select(column).where(mine))).first()
    if row is None:
        await index_ticket(c, tenant, number)
        return
    terms = terms_of([body], language or by_default, row[0].split())
    await c.execute(update(ticket_search).where(mine).values({column: terms}))


async def _language(c: AsyncConnection, tenant: str, number: int) -> str:
    query = select(tickets.c.language).where(tickets.c.tenant == tenant, tickets.c.number == number)
    return await c.scalar(query.with_for_update()) or ""


async def index_ticket(c: AsyncConnection, tenant: str, number: int) -> None:
    """Take a ticket and all that was said on it anew: after words of it were erased."""
    await index_head(c, tenant, number)
    await _index_messages(c, tenant, number)


async def _index_messages(c: AsyncConnection, tenant: str, number: int) -> None:
    """Take everything that was said on a ticket."""
    found: dict[bool, str] = {True: "", False: ""}
    by_default = await _language(c, tenant, number)
    after = 0
    for _ in range(_MAX_MESSAGES // _MESSAGES_AT_ONCE):
        rows = await _messages(c, tenant, number, after)
        for row in rows:
            public, language = row["public"], row["language"] or by_default
            found[public] = terms_of([row["body"]], language, found[public].split())
        if len(rows) < _MESSAGES_AT_ONCE:
            break
        after = rows[-1]["seq"]
    await c.execute(
        update(ticket_search)
        .where(ticket_search.c.tenant == tenant, ticket_search.c.ticket == number)
        .values(said=found[True], notes=found[False])
    )


async def _messages(c: AsyncConnection, tenant: str, number: int, after: int) -> list[RowMapping]:
    said = ticket_messages.c
    query = (
        select(said.seq, said.body, said.public, said.language)
        .where(said.tenant == tenant, said.ticket == number, said.seq > after)
        .order_by(said.seq)
        .limit(_MESSAGES_AT_ONCE)
    )
    return list((await c.execute(query)).mappings())


async def index_device(c: AsyncConnection, tenant: str, device: str) -> None:
    """Let the tickets of a device be found by its new name, model or serial number."""
    query = select(tickets.c.number).where(tickets.c.tenant == tenant, tickets.c.device == device)
    newest = query.order_by(tickets.c.created_at.desc()).limit(_MAX_AT_ONCE)
    for number in sorted(await c.scalars(newest)):
        await index_head(c, tenant, number)


async def index_person(c: AsyncConnection, tenant: str, person: str) -> None:
    """Let the tickets of a person be found by her new name."""
    query = select(tickets.c.number).where(tickets.c.tenant == tenant, tickets.c.person == person)
    newest = query.order_by(tickets.c.number.desc()).limit(_MAX_AT_ONCE)
    for number in sorted(await c.scalars(newest)):
        await index_head(c, tenant, number)


# Everything anew.


async def reindex(relay: Relay) -> int:
    """Make the whole index anew, oldest ticket first; returns how many tickets are in it.

    Tickets can be made and talked on meanwhile; those not reached yet are not found.

    Raises:
        FarhandError: the store's.  What was not reached is taken by the next call.
    """
    async with relay.db.write() as c:
        await c.execute(delete(ticket_search).where(ticket_search.c.tenant == relay.tenant))
    return await fill_index(relay)


async def fill_index(relay: Relay) -> int:
    """Index the tickets that are not in the index, oldest first; returns how many.

    Raises:
        FarhandError: the store's.
    """
    count = 0
    while numbers := await _missing(relay):
        async with relay.db.write() as c:
            for number in numbers:
                await index_ticket(c, relay.tenant, number)
        count += len(numbers)
    if count:
        _log.info("%s tickets were taken into the index", count)
    return count


async def _missing(relay: Relay) -> list[int]:
    is_there = exists().where(
        ticket_search.c.tenant == tickets.c.tenant, ticket_search.c.ticket == tickets.c.number
    )
    query = select(tickets.c.number).where(tickets.c.tenant == relay.tenant, ~is_there)
    async with relay.db.read() as c:
        return list(await c.scalars(query.order_by(tickets.c.number).limit(_AT_ONCE)))
