"""Under which ids, names and addresses somebody is known, and what in the desk is hers by them.

A name counts as hers only where nobody else is called so: what stands under the name of somebody
else's account is that one's, whatever was written down as an address of hers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.people.merging import known_as
from farhand_server.people.people import Person
from farhand_server.store.schema import (
    accounts,
    addresses,
    people,
    ticket_messages,
    ticket_participants,
    tickets,
)

__all__ = [
    "Known",
    "chunks",
    "hers",
    "known_of",
    "said_by_her",
    "touched_tickets",
    "traces_of",
]

# Far below what either database takes as parameters of one statement.
_CHUNK = 500
# Who speaks on tickets and is nobody.
_NOBODYS = frozenset({"relay", "mail", "monitor"})
# Shorter numbers stand in other numbers by chance.
_TELLING_DIGITS = 7
# What may stand in an address: `a@x.example` is not in `maria@x.example`, nor in `o'a@x.example`.
_BEFORE_MAIL = r"(?<![\w.+%-])(?<!\w['&!#$*^~])"
_AFTER_MAIL = r"(?![\w@-]|\.\w)"

T = TypeVar("T", int, str)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is known by.

    Attributes:
        ids: hers, and those of records merged into hers.
        account_ids: of accounts that are hers.
        names: under which she stands on tickets: of accounts, and mail addresses; in lower case.
            What she is called in a chat is not among them: anybody may be called so.
        phones: her numbers.
    """

    ids: list[str]
    account_ids: list[str]
    names: list[str]
    phones: list[str]


async def known_of(c: AsyncConnection, tenant: str, person: Person) -> Known:
    """Return what a person is known by."""
    ids = await known_as(c, tenant, person.id)
    rows = (
        await c.execute(
            select(people.c.account).where(people.c.tenant == tenant, people.c.id.in_(ids))
        )
    ).all()
    named = [row.account for row in rows if row.account]
    mine = or_(accounts.c.person.in_(ids), accounts.c.name.in_(named))
    query = select(accounts.c.id, accounts.c.name).where(accounts.c.tenant == tenant, mine)
    found = (await c.execute(query)).all()
    reached = (
        await c.execute(
            select(addresses.c.kind, addresses.c.value, addresses.c.verified_at).where(
                addresses.c.tenant == tenant, addresses.c.person.in_(ids)
            )
        )
    ).all()
    mails = {row.value: row.verified_at is not None for row in reached if row.kind == "mail"}
    theirs = await _names_of_others(c, tenant, mails, [row.id for row in found])
    names = {row.name for row in found} | (mails.keys() - theirs)
    return Known(
        ids=ids,
        account_ids=sorted(row.id for row in found),
        names=sorted({name.casefold() for name in names} - _NOBODYS),
        phones=sorted(row.value for row in reached if row.kind == "phone"),
    )


async def _names_of_others(
    c: AsyncConnection, tenant: str, mails: Mapping[str, bool], hers: Sequence[str]
) -> set[str]:
    """Return the addresses (each with whether it is verified) that are accounts of others.

    An account that is nobody's is hers by an address that she proved, unless it is the desk's.
    """
    named = people.c.account == accounts.c.name
    query = select(
        accounts.c.name,
        accounts.c.role,
        or_(
            accounts.c.person.is_not(None),
            exists().where(people.c.tenant == tenant, named),
        ).label("owned"),
    ).where(
        accounts.c.tenant == tenant,
        func.lower(accounts.c.name).in_(list(mails)),
        accounts.c.id.not_in(hers),
    )
    return {
        row.name.casefold()
        for row in (await c.execute(query)).all()
        if row.owned or row.role != "requester" or not mails.get(row.name.casefold())
    }


def traces_of(known: Known) -> re.Pattern[str] | None:
    """Return what finds her addresses and numbers inside a text, whole ones only; None for none."""
    found = [
        f"{_BEFORE_MAIL}{re.escape(form)}{_AFTER_MAIL}"
        for name in known.names
        if "@" in name
        # As it is, and as it stands in JSON.
        for form in sorted({name, json.dumps(name)[1:-1]})
    ]
    found += [
        rf"(?<!\d){re.escape(phone)}(?!\d)"
        for phone in known.phones
        if len(phone) >= _TELLING_DIGITS
    ]
    return re.compile("|".join(found), re.IGNORECASE) if found else None


def hers(known: Known) -> ColumnElement[bool]:
    """Return what a row of `tickets` must be to be hers."""
    by_name = func.lower(tickets.c.requester).in_(known.names)
    return or_(tickets.c.person.in_(known.ids), by_name)


def said_by_her(known: Known) -> ColumnElement[bool]:
    """Return what a row of `ticket_messages` must be to be her words."""
    by_name = func.lower(ticket_messages.c.author).in_(known.names)
    return or_(ticket_messages.c.person.in_(known.ids), by_name)


async def touched_tickets(c: AsyncConnection, tenant: str, known: Known) -> list[int]:
    """Return the numbers of all tickets on which she stands anywhere, oldest first."""
    of_tickets = select(tickets.c.number).where(
        tickets.c.tenant == tenant,
        or_(hers(known), func.lower(tickets.c.created_by).in_(known.names)),
    )
    of_messages = select(ticket_messages.c.ticket).where(
        ticket_messages.c.tenant == tenant, said_by_her(known)
    )
    of_parts = select(ticket_participants.c.ticket).where(
        and_(
            ticket_participants.c.tenant == tenant,
            func.lower(ticket_participants.c.name).in_(known.names),
        )
    )
    found: set[int] = set()
    for query in (of_tickets, of_messages, of_parts):
        found.update(await c.scalars(query))
    return sorted(found)


def chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Yield values in lists that one statement takes."""
    whole = list(values)
    for start in range(0, len(whole), _CHUNK):
        yield whole[start : start + _CHUNK]
