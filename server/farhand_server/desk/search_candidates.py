"""Where PostgreSQL looks for words: among the newest tickets first, then in its index.

A page shows the newest tickets that hold the words, and a GIN index has no order.  Which way to go
depends on how frequent a word with its stem and its endings is, which PostgreSQL cannot guess: it
compares every ticket's terms for a word that is nowhere, or fetches half the desk for one that is
everywhere.  So it is not left to choose.  Numbers of rows come in pieces, the newest first, and
whoever asks stops when the page is full:

    newest    the last `_WALKED` tickets, each one's terms compared, and while one in `_FREQUENT` of
              them holds the words twice as many again: fills a frequent word's page
    index     what the index names among the older ones; of rare words that is little

A word that was frequent once and is not any more costs what the index has of it, `_NAMED` tickets
at a time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from sqlalchemy import ColumnElement, cast, column, func, literal, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.store.schema import ticket_search

__all__ = ["ANYWHERE", "OWN", "candidates", "has_terms"]

# Columns that the schema does not know (migration 0020).
OWN: Final = "ticket_search_head"
ANYWHERE: Final = "ticket_search_all"

_WALKED: Final = 512
_MOST_WALKED: Final = 4_096  # at once; as many again have been walked by then
_FREQUENT: Final = 32
_NAMED: Final = 5_000
_FIRST_PIECE: Final = 100


def has_terms(where: str, question: str) -> ColumnElement[bool]:
    """Match the rows of `ticket_search` that answer a `tsquery`, in `OWN` words or `ANYWHERE`."""
    return column(where).bool_op("@@")(cast(literal(question), TSQUERY))


async def candidates(
    c: AsyncConnection, tenant: str, *, where: str, question: str, before: int | None
) -> AsyncGenerator[Sequence[int], None]:
    """Yield which rows of the index hold the words, in pieces, the newest first.

    Args:
        c: any connection of PostgreSQL.
        tenant: organisation.
        where: `OWN` or `ANYWHERE`.
        question: a `tsquery`.
        before: only numbers below this one; None for all.

    Yields: values of `ticket_search.seq`, each once; a piece may be empty.
    """
    seq, ours = ticket_search.c.seq, ticket_search.c.tenant == tenant
    holds = has_terms(where, question)
    if before is None:
        before = (await c.scalar(select(func.max(seq)).where(ours)) or 0) + 1
    size = _WALKED
    while before > 0 and size <= _MOST_WALKED:
        newest = select(seq).where(ours, holds, seq < before, seq >= before - size)
        rows = (await c.scalars(newest.order_by(seq.desc()))).all()
        yield rows
        before -= size
        if len(rows) * _FREQUENT < size:
            break
        size *= 2
    # What is fenced by OFFSET is planned without a thought of the order, so out of the index.
    named = select(seq).where(ours, holds).offset(0).subquery()
    ordered = select(named.c.seq).order_by(named.c.seq.desc()).limit(_NAMED)
    while before > 0:
        await _reading_whole_tables(c, "off")
        rows = (await c.scalars(ordered.where(named.c.seq < before))).all()
        await _reading_whole_tables(c, "on")
        at, size = 0, _FIRST_PIECE
        while at < len(rows):
            yield rows[at : at + size]
            at, size = at + size, size * 2
        if len(rows) < _NAMED:
            return
        before = rows[-1]


async def _reading_whole_tables(c: AsyncConnection, how: str) -> None:
    """Say whether a plan may read all of a table, which here means all terms of all tickets."""
    await c.execute(select(func.set_config("enable_seqscan", how, True)))
