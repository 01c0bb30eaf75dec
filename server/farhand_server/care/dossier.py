"""Everything that is kept about somebody, in one answer: her right to see it, and nobody's secrets.

Her own row and addresses, her accounts, and ticket by ticket what was said and written, notes
included, because those are about her as well.  What other parts of the desk keep is found by its
columns (`person`, `ticket`, `message`, `account`), so that a table that comes later is not
forgotten; bytes and digests of secrets are left out.  Files are named with their digests, and
fetched one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, LargeBinary, Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.care.known import Known, chunks, known_of, touched_tickets
from farhand_server.desk.references import format_number
from farhand_server.errors import not_found
from farhand_server.people.blobs import Attachment, Blob, attachments_of, read_blob
from farhand_server.people.merging import check_not_erased, survivor_of
from farhand_server.people.people import Person, get_person
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    accounts,
    addresses,
    mail_recipients,
    mails,
    metadata,
    people,
    ticket_messages,
    tickets,
)

__all__ = ["Dossier", "TicketDossier", "dossier_of", "file_of", "note_export"]

# Tickets in one answer.
TICKETS_AT_ONCE: Final = 50
# Indexes and queues of the relay's own, which hold nothing that does not stand elsewhere; proofs of
# identity, which are secrets; and what is asked for on its own.
_LEFT_OUT: Final = frozenset(
    {
        "address_proofs",
        "api_tokens",
        "attachments",
        "event_queue",
        "idempotency_keys",
        "people",
        "recovery_codes",
        "second_factors",
        "signin_steps",
        "ticket_search",
        "tickets",
    }
)
_SECRET: Final = ("hash", "secret", "token_sha256", "token")
Row = dict[str, Any]


class TicketDossier(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket on which she stands; `rows` are those of every table that tell of it."""

    number: str
    ticket: Row
    files: list[Attachment]
    rows: dict[str, list[Row]]


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept about a person; of several answers only the first has more than tickets.

    `next` is the number after which to go on, null when there is no more.
    """

    person: list[Row]
    addresses: list[Row]
    accounts: list[Row]
    mails: list[Row]
    rows: dict[str, list[Row]]
    tickets: list[TicketDossier]
    next: int | None


async def note_export(c: AsyncConnection, relay: Relay, *, ref: str, actor: str) -> None:
    """Note that somebody's dossier is asked for.

    Raises:
        FarhandError: `not-found`, `person-erased`.
    """
    person, _ = await _whom(c, relay.tenant, ref)
    await relay.audit.append(c, actor=actor, action="person.export", subject=person.id)


async def dossier_of(c: AsyncConnection, relay: Relay, *, ref: str, after: int = 0) -> Dossier:
    """Return what is kept about a person, `TICKETS_AT_ONCE` tickets at a time.

    Args:
        c: any connection; that it is asked for was noted before (`note_export`).
        relay: the wiring.
        ref: the person, as `get_person` takes it.
        after: only tickets with a higher number.

    Raises:
        FarhandError: `not-found`, `person-erased`.
    """
    tenant = relay.tenant
    _, known = await _whom(c, tenant, ref)
    numbers = [one for one in await touched_tickets(c, tenant, known) if one > after]
    page = numbers[:TICKETS_AT_ONCE]
    told = await _tickets(c, tenant, page)
    rest = len(numbers) > len(page)
    if after:
        return Dossier(
            person=[],
            addresses=[],
            accounts=[],
            mails=[],
            rows={},
            tickets=told,
            next=page[-1] if rest else None,
        )
    return Dossier(
        person=await _rows(c, people, people.c.tenant == tenant, people.c.id.in_(known.ids)),
        addresses=await _rows(
            c, addresses, addresses.c.tenant == tenant, addresses.c.person.in_(known.ids)
        ),
        accounts=await _rows(
            c, accounts, accounts.c.tenant == tenant, accounts.c.id.in_(known.account_ids)
        ),
        mails=await _mails(c, tenant, known),
        rows=await _rows_of_her(c, tenant, known),
        tickets=told,
        next=page[-1] if rest else None,
    )


async def _whom(c: AsyncConnection, tenant: str, ref: str) -> tuple[Person, Known]:
    found = await get_person(c, tenant, ref)
    person = await get_person(c, tenant, await survivor_of(c, tenant, found.id))
    await check_not_erased(c, tenant, person)
    return person, await known_of(c, tenant, person)


async def _rows(c: AsyncConnection, table: Table, *where: ColumnElement[bool]) -> list[Row]:
    """Return rows without bytes and without what opens something."""
    shown = [
        column
        for column in table.c
        if column.name != "tenant"
        and not isinstance(column.type, LargeBinary)
        and not column.name.endswith(_SECRET)
    ]
    query = select(*shown).where(*where).order_by(*table.primary_key.columns)
    return [dict(row) for row in (await c.execute(query)).mappings()]


def _holding(column: str) -> list[Table]:
    """Return the tables with such a column, beside those that are asked on their own."""
    return [
        table
        for table in metadata.sorted_tables
        if {column, "tenant"} <= set(table.c.keys()) and table.name not in _LEFT_OUT
    ]


async def _tickets(c: AsyncConnection, tenant: str, numbers: Sequence[int]) -> list[TicketDossier]:
    """Return some tickets with what hangs on them, each table asked once."""
    own = await _rows(c, tickets, tickets.c.tenant == tenant, tickets.c.number.in_(numbers))
    rows: dict[int, dict[str, list[Row]]] = {number: {} for number in numbers}
    for table in _holding("ticket"):
        of_some = table.c.ticket.in_(numbers)
        for row in await _rows(c, table, table.c.tenant == tenant, of_some):
            rows[row["ticket"]].setdefault(table.name, []).append(row)
    said = {
        row["seq"]: number
        for number, tables in rows.items()
        for row in tables.get("ticket_messages", [])
    }
    files: dict[int, list[Attachment]] = {number: [] for number in numbers}
    for some in chunks(said):
        for one in await attachments_of(c, tenant, some):
            files[said[one.message]].append(one)
    return [
        TicketDossier(
            number=format_number(row["number"]),
            ticket=row,
            files=files[row["number"]],
            rows=rows[row["number"]],
        )
        for row in own
    ]


async def _mails(c: AsyncConnection, tenant: str, known: Known) -> list[Row]:
    received = select(mail_recipients.c.mail).where(
        mail_recipients.c.tenant == tenant, mail_recipients.c.address.in_(known.names)
    )
    hers = or_(mails.c.sender.in_(known.names), mails.c.id.in_(received))
    return await _rows(c, mails, mails.c.tenant == tenant, hers)


async def _rows_of_her(c: AsyncConnection, tenant: str, known: Known) -> dict[str, list[Row]]:
    """Return what hangs on herself or her accounts, and on no ticket."""
    found: dict[str, list[Row]] = {}
    wanted: tuple[tuple[str, Sequence[str]], ...] = (
        ("person", known.ids),
        ("account", [*known.account_ids, *known.names]),
    )
    for column, values in wanted:
        for table in _holding(column):
            if "ticket" in table.c and table.name != "calls":
                continue
            if table in (accounts, addresses, ticket_messages):
                continue
            rows = await _rows(c, table, table.c.tenant == tenant, table.c[column].in_(values))
            if rows:
                found[table.name] = found.get(table.name, []) + rows
    return found


async def file_of(c: AsyncConnection, relay: Relay, *, ref: str, sha256: str) -> Blob:
    """Return a file or raw mail that is named in somebody's dossier.

    Raises:
        FarhandError: `not-found`, `person-erased`.
    """
    tenant = relay.tenant
    _, known = await _whom(c, tenant, ref)
    raws = {row["raw"] for row in await _mails(c, tenant, known)}
    if sha256 in raws:
        return await read_blob(c, tenant, sha256)
    for some in chunks(await touched_tickets(c, tenant, known)):
        of_tickets = select(ticket_messages.c.seq).where(
            and_(ticket_messages.c.tenant == tenant, ticket_messages.c.ticket.in_(some))
        )
        for seqs in chunks(list(await c.scalars(of_tickets))):
            for one in await attachments_of(c, tenant, seqs):
                if one.sha256 == sha256:
                    return await read_blob(c, tenant, sha256)
    raise not_found("file", sha256)
