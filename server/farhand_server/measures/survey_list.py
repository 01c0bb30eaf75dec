"""Surveys as the desk lists them: who is asked, who was not and why, what was answered.

What a security ticket is about stays with those who see it; the link is shown to nobody.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Sight
from farhand_server.measures.survey_rules import SKIPPED
from farhand_server.store.schema import csat, tickets

__all__ = ["SURVEY_STATES", "SurveyLine", "SurveyState", "list_surveys", "surveys_of"]

SurveyState = Literal["planned", "sent", "answered", "skipped"]
SURVEY_STATES: Final[tuple[SurveyState, ...]] = get_args(SurveyState)


class SurveyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One survey, of one resolution; `seq` is that of the resolution's event.

    `skipped` is why nobody is asked: a sentence; whoever skipped it by hand stands before hers.
    """

    seq: int
    ticket: str
    state: SurveyState
    resolved_by: str
    skipped: str
    due_at: str | None
    sent_at: str | None
    answered_at: str | None
    score: int | None
    comment: str


def _line(row: RowMapping) -> SurveyLine:
    reason = row["skip_reason"]
    return SurveyLine(
        seq=row["resolve_event"],
        ticket=format_number(row["ticket"]),
        skipped=SKIPPED.get(reason, reason),
        **{
            name: row[name]
            for name in (
                "state", "resolved_by", "due_at", "sent_at", "answered_at", "score", "comment",
            )
        },
    )  # fmt: skip


async def list_surveys(
    c: AsyncConnection,
    tenant: str,
    *,
    sight: Sight,
    state: SurveyState | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[SurveyLine]:
    """Return surveys, of the newest resolution first.

    Args:
        c: any connection.
        tenant: organisation.
        sight: who asks.
        state: only these.
        before: only of resolutions before this one's `seq` (the cursor).
        limit: at most so many.
    """
    joined = csat.join(
        tickets, and_(tickets.c.tenant == csat.c.tenant, tickets.c.number == csat.c.ticket)
    )
    where = [csat.c.tenant == tenant]
    if (seen := sight.condition(tenant)) is not None:
        where.append(seen)
    if state is not None:
        where.append(csat.c.state == state)
    if before is not None:
        where.append(csat.c.resolve_event < before)
    query = select(csat).select_from(joined).where(*where)
    newest = query.order_by(csat.c.resolve_event.desc()).limit(limit)
    return [_line(row) for row in (await c.execute(newest)).mappings()]


async def surveys_of(
    c: AsyncConnection, tenant: str, number: int, *, limit: int = 50
) -> list[SurveyLine]:
    """Return the surveys of a ticket that whoever asks may see, the newest resolution first."""
    query = select(csat).where(csat.c.tenant == tenant, csat.c.ticket == number)
    newest = query.order_by(csat.c.resolve_event.desc()).limit(limit)
    return [_line(row) for row in (await c.execute(newest)).mappings()]
