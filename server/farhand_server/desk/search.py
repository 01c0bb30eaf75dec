"""Searching tickets by words: the same question has the same answer on both databases.

Every word must be found, anywhere in one ticket; what is found where stands in `search_terms`.
Tickets with all the words in their own (title, requester, key, device) come first, then those where
something said holds them; within both the newest first.  So a page is a range of the index, and its
cursor the place and the number of the last ticket on it.  Who may not read notes is not found
by them either; `Sight` holds as on every list.  Merged tickets are found, and say into which.

A mail address that somebody has, or that asked or takes part somewhere, finds those tickets for the
desk, whichever address they came from; any other one is looked for as the words that it is made of.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    and_,
    column,
    select,
    table,
    text,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.desk.search_terms import Clause, as_fts5, as_tsquery, question_of
from farhand_server.desk.tickets import (
    Sight,
    Ticket,
    TicketFilter,
    conditions_of,
    ticket_of_row,
)
from farhand_server.people.people import addresses_of, find_person, normalise_address
from farhand_server.store.schema import ticket_participants, ticket_search, tickets

__all__ = ["Found", "search_tickets"]

_OUT_OF_SIGHT: Final = ("spam",)
# SQLite's index, which the schema does not know (migration 0020).
_fts: Final = table("ticket_search_fts", column("rowid", Integer))
_OWN_WORDS: Final = 0
_WHAT_WAS_SAID: Final = 1


_ADDRESS: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{1,253}")


class Found(NamedTuple):
    """One ticket and its place in the answer, which is the cursor of what follows."""

    ticket: Ticket
    rank: int
    seq: int


async def search_tickets(
    c: AsyncConnection,
    tenant: str,
    *,
    words: str,
    wanted: TicketFilter,
    sight: Sight,
    after: tuple[int, int] | None = None,
    limit: int = 50,
) -> list[Found]:
    """Return the tickets in which all the words are, the best first.

    Args:
        c: any connection.
        tenant: organisation.
        words: as a person typed them; with a star behind it a word stands for what begins so.
        wanted: what else must hold.
        sight: who asks.
        after: rank and seq of the last one already seen.
        limit: at most so many.

    Raises:
        FarhandError: `invalid` for words of which none can be searched for, or for a filter.
    """
    theirs, words = await _of_whom(c, tenant, words) if sight.desk else (None, words)
    question = question_of(words)
    if not question and theirs is None:
        raise UsageError("invalid", "there is no word to search for")
    where = [tickets.c.tenant == tenant, *conditions_of(wanted, hidden=_OUT_OF_SIGHT)]
    if (seen := sight.condition(tenant)) is not None:
        where.append(seen)
    if theirs is not None:
        where.append(tickets.c.number.in_(theirs))
    if not sight.desk:
        # Of hers, which are few, those with the words: not of all with the words those of hers.
        own = ticket_search.alias("of_hers")
        of_hers = select(own.c.seq).where(
            own.c.tenant == tenant, own.c.ticket.in_(sight.numbers(tenant))
        )
        where.append(_seq(c.dialect.name).in_(of_hers))
    rank, seq = after if after is not None else (_OWN_WORDS, None)
    found: list[Found] = []
    for place in (_OWN_WORDS, _WHAT_WAS_SAID) if question else (_OWN_WORDS,):
        if place < rank or len(found) >= limit:
            continue
        query = _ask(c.dialect.name, question, place, sight, seq if place == rank else None)
        rows = await c.execute(query.where(*where).limit(limit - len(found)))
        found += [Found(ticket_of_row(row), place, row["seq"]) for row in rows.mappings()]
    return found


async def _of_whom(
    c: AsyncConnection, tenant: str, words: str
) -> tuple[CompoundSelect[int] | None, str]:
    """Return the tickets of the first address among the words, and the other words."""
    match = _ADDRESS.search(words)
    if match is None:
        return None, words
    try:
        address = normalise_address("mail", match[0])
    except UsageError:
        return None, words
    person = await find_person(c, tenant, "mail", address)
    names = {address}
    own = tickets.alias("own")
    parts = []
    if person is not None:
        names |= {one.value for one in await addresses_of(c, tenant, person.id)}
        names |= {person.account} if person.account else set()
        parts = [select(own.c.number).where(own.c.tenant == tenant, own.c.person == person.id)]
    part = ticket_participants.c
    parts += [
        select(own.c.number).where(own.c.tenant == tenant, own.c.requester == address),
        select(part.ticket).where(part.tenant == tenant, part.name.in_(names)),
    ]
    found = union(*parts)
    if await c.scalar(select(found.subquery()).limit(1)) is None:
        return None, words
    return found, f"{words[: match.start()]} {words[match.end() :]}"


def _seq(dialect: str) -> ColumnElement[int]:
    return _fts.c.rowid if dialect == "sqlite" else ticket_search.c.seq


def _ask(
    dialect: str, question: tuple[Clause, ...], place: int, sight: Sight, before: int | None
) -> Select[*tuple[Any, ...]]:
    same = and_(
        tickets.c.tenant == ticket_search.c.tenant, tickets.c.number == ticket_search.c.ticket
    )
    query = select(ticket_search.c.seq, tickets)
    seq = _seq(dialect)
    if not question:
        seq = ticket_search.c.seq
        query = query.select_from(ticket_search.join(tickets, same))
    elif dialect == "sqlite":
        # FTS5 goes first, from its end: so the newest come out without the others being looked at.
        query = query.select_from(
            _fts.join(ticket_search, ticket_search.c.seq == seq).join(tickets, same)
        ).where(
            text("ticket_search_fts MATCH :question").bindparams(
                question=_fts5(question, place, sight)
            )
        )
    else:
        query = query.select_from(ticket_search.join(tickets, same))
        where = "ticket_search_head @@ CAST(:question AS tsquery)"
        if place == _WHAT_WAS_SAID:
            column = "ticket_search_all" if sight.desk else "ticket_search_said"
            where = f"{column} @@ CAST(:question AS tsquery) AND NOT ({where})"
        query = query.where(text(where).bindparams(question=as_tsquery(question)))
    if before is not None:
        query = query.where(seq < before)
    return query.order_by(seq.desc())


def _fts5(question: tuple[Clause, ...], place: int, sight: Sight) -> str:
    in_head = as_fts5(question, "head")
    if place == _OWN_WORDS:
        return in_head
    anywhere = as_fts5(question, "head said notes" if sight.desk else "head said")
    return f"({anywhere}) NOT ({in_head})"
