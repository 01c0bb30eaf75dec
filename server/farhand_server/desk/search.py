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

import contextlib
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Integer,
    RowMapping,
    Select,
    and_,
    any_,
    column,
    func,
    literal,
    not_,
    or_,
    select,
    table,
    text,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.desk.search_candidates import ANYWHERE, OWN, candidates, has_terms
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
    if sight.desk:
        if (seen := sight.condition(tenant)) is not None:
            where.append(seen)
    else:
        theirs = sight.numbers(tenant)
    rank, seq = after if after is not None else (_OWN_WORDS, None)
    found: list[Found] = []
    for place in (_OWN_WORDS, _WHAT_WAS_SAID) if question else (_OWN_WORDS,):
        if place < rank or len(found) >= limit:
            continue
        before = seq if place == rank else None
        room = limit - len(found)
        if theirs is not None:
            query = _among(c.dialect.name, tenant, theirs, question, place, sight, before)
            rows = await _rows(c, query.where(*where).limit(room))
        elif c.dialect.name == "sqlite":
            query = _out_of_fts5(question, place, before)
            rows = await _rows(c, query.where(*where).limit(room))
        else:
            rows = await _piece_by_piece(c, tenant, question, place, before, where, room)
        found += [Found(ticket_of_row(row), place, row["seq"]) for row in rows]
    return found


async def _rows(c: AsyncConnection, query: Select[*tuple[Any, ...]]) -> Sequence[RowMapping]:
    return (await c.execute(query)).mappings().all()


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


def _joined() -> Select[*tuple[Any, ...]]:
    same = and_(
        tickets.c.tenant == ticket_search.c.tenant, tickets.c.number == ticket_search.c.ticket
    )
    query = select(ticket_search.c.seq, tickets)
    return query.select_from(ticket_search.join(tickets, same))


# Of tickets that are few, those with the words.


def _among(
    dialect: str,
    tenant: str,
    numbers: CompoundSelect[int],
    question: tuple[Clause, ...],
    place: int,
    sight: Sight,
    before: int | None,
) -> Select[*tuple[Any, ...]]:
    """Compare the terms of certain tickets: an index names too many that are somebody else's."""
    terms = ticket_search.c
    query = _joined().where(terms.tenant == tenant, terms.ticket.in_(numbers))
    if question:
        own = _holds(dialect, terms.head, question)
        if place == _OWN_WORDS:
            query = query.where(own)
        else:
            said = terms.head + " " + terms.said
            all_said = said + " " + terms.notes if sight.desk else said
            query = query.where(_holds(dialect, all_said, question), ~own)
    if before is not None:
        query = query.where(terms.seq < before)
    # An order that no index has, so that none is walked for it.
    return query.order_by((terms.seq + 0).desc())


def _holds(
    dialect: str, terms: ColumnElement[str], question: tuple[Clause, ...]
) -> ColumnElement[bool]:
    """Match texts of terms with a space between them: one term of each clause is among them."""
    place_of = func.instr if dialect == "sqlite" else func.strpos
    apart = literal(" ") + terms + " "
    return and_(
        *(
            or_(
                *(
                    place_of(apart, f" {one.text}" + ("" if one.prefix else " ")) > 0
                    for one in clause
                )
            )
            for clause in question
        )
    )


# Of all tickets, out of what each database has for it.


async def _piece_by_piece(
    c: AsyncConnection,
    tenant: str,
    question: tuple[Clause, ...],
    place: int,
    before: int | None,
    where: Sequence[ColumnElement[bool]],
    limit: int,
) -> list[RowMapping]:
    asked = as_tsquery(question)
    anywhere = place == _WHAT_WAS_SAID
    if anywhere:
        where = [*where, not_(has_terms(OWN, asked))]
    query = _joined().where(*where).order_by(ticket_search.c.seq.desc())
    found: list[RowMapping] = []
    pieces = candidates(
        c, tenant, where=ANYWHERE if anywhere else OWN, question=asked, before=before
    )
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            if piece:
                these = ticket_search.c.seq == any_(literal(list(piece), ARRAY(BigInteger)))
                found += await _rows(c, query.where(these).limit(limit - len(found)))
            if len(found) >= limit:
                break
    return found


def _out_of_fts5(
    question: tuple[Clause, ...], place: int, before: int | None
) -> Select[*tuple[Any, ...]]:
    seq = _fts.c.rowid
    same = and_(
        tickets.c.tenant == ticket_search.c.tenant, tickets.c.number == ticket_search.c.ticket
    )
    # FTS5 goes first, from its end: so the newest come out without the others being looked at.
    query = (
        select(ticket_search.c.seq, tickets)
        .select_from(_fts.join(ticket_search, ticket_search.c.seq == seq).join(tickets, same))
        .where(
            text("ticket_search_fts MATCH :question").bindparams(question=_fts5(question, place))
        )
    )
    if before is not None:
        query = query.where(seq < before)
    return query.order_by(seq.desc())


def _fts5(question: tuple[Clause, ...], place: int) -> str:
    in_head = as_fts5(question, "head")
    if place == _OWN_WORDS:
        return in_head
    return f"({as_fts5(question, 'head said notes')}) NOT ({in_head})"
