"""Figures of a time: how fast, how lasting, how content people were.  Pure.

One function makes them for the screen, the command line and the report, so they cannot differ.
Everything belongs to the time in which it happened: an answer to the month in which it was given,
a resolution to the month of the last one, a reopening to the month in which the ticket came back.
What happens after the time does not change its figures.

Speed never stands alone: whoever asks for it gets the share of tickets that came back and how
content people were with it.  There are figures of queues, tiers, priorities, contracts and
organisations, and none of persons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from statistics import fmean, median
from typing import Final, Literal, get_args

import msgspec

from farhand_server.measures.stories import Facts, Span, Story, facts_of

__all__ = [
    "GROUPINGS",
    "SATISFIED_FROM",
    "Figures",
    "Group",
    "Grouping",
    "Satisfaction",
    "Spread",
    "Surveyed",
    "figures_by",
    "figures_of",
]

Grouping = Literal["queue", "tier", "priority", "contract", "organisation"]
GROUPINGS: Final[tuple[Grouping, ...]] = get_args(Grouping)
# Of 1 to 5.
SATISFIED_FROM: Final = 4


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took: mean, middle, and what nine of ten did not exceed; seconds.

    Of nothing there is no mean: null.  The ninetieth percentile is a time that really occurred
    (nearest rank).
    """

    count: int
    mean_s: float | None = None
    median_s: float | None = None
    p90_s: float | None = None


class Surveyed(msgspec.Struct, frozen=True, kw_only=True):
    """One survey that was sent."""

    ticket: int
    sent_at: datetime
    answered_at: datetime | None = None
    score: int | None = None


class Satisfaction(msgspec.Struct, frozen=True, kw_only=True):
    """How content people were, and of how many that is known."""

    asked: int
    answered: int
    response_rate: float | None
    rate: float | None
    mean: float | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a time.

    Attributes:
        created: tickets that came.
        resolved: tickets whose last resolution is of this time.
        backlog: tickets that were open at its end.
        reopened: tickets that came back after they were resolved.
        reopen_rate: share of these among the tickets that were resolved or came back; null of none.
        first_response: to the first answer of a person; wall time, and in the hours of service.
        next_response: to each later answer.
        resolution: to the last resolution.
        satisfaction: what surveys said that were answered in this time.
        downtime_s: of what stood still for it, within this time; until it was up or resolved.
    """

    created: int
    resolved: int
    backlog: int
    reopened: int
    reopen_rate: float | None
    first_response: Spread
    first_response_business: Spread
    next_response: Spread
    next_response_business: Spread
    resolution: Spread
    resolution_business: Spread
    satisfaction: Satisfaction
    downtime_s: int


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one part."""

    name: str
    figures: Figures


def _spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(count=0)
    ordered = sorted(values)
    nearest = ordered[math.ceil(0.9 * len(ordered)) - 1]
    return Spread(
        count=len(ordered), mean_s=fmean(ordered), median_s=median(ordered), p90_s=nearest
    )


def _downtime(facts: Facts, begin: datetime, end: datetime) -> float:
    """Return for how long it stood still within a time, of which nothing is still to come."""
    story = facts.story
    if story.down_from is None:
        return 0.0
    until = end
    if story.down_to is not None:
        until = min(story.down_to, end)
    elif facts.resolution is not None:
        # Nobody said when it was up again; what was resolved does not go on standing still.
        until = facts.resolution.end
    return max((until - max(story.down_from, begin)).total_seconds(), 0.0)


def figures_of(
    stories: Iterable[Story],
    surveys: Iterable[Surveyed],
    *,
    begin: datetime,
    end: datetime,
    now: datetime | None = None,
) -> Figures:
    """Return the figures of [begin, end).

    Args:
        stories: every ticket of which something happened then, or that was open at its end.
        surveys: those that were sent or answered then.
        begin: aware.
        end: aware, after `begin`.
        now: where the time is not over yet: what stands still has not done so any longer.
    """
    facts = [facts_of(one, until=end) for one in stories]
    return _figures([one for one in facts if one.standing not in ("away", "unborn")],
                    list(surveys), begin, end, end if now is None else min(end, now))  # fmt: skip


def _figures(
    facts: Sequence[Facts],
    surveys: Sequence[Surveyed],
    begin: datetime,
    end: datetime,
    known_until: datetime,
) -> Figures:
    def within(at: datetime) -> bool:
        return begin <= at < end

    def ended(spans: Iterable[Span | None]) -> list[Span]:
        return [one for one in spans if one is not None and within(one.end)]

    first = ended(one.first_response for one in facts)
    following = ended(span for one in facts for span in one.next_responses)
    whole = ended(one.resolution for one in facts)
    back = sum(any(map(within, one.reopened_at)) for one in facts)
    moved = sum(any(map(within, (*one.resolved_at, *one.reopened_at))) for one in facts)
    return Figures(
        created=sum(within(one.story.created_at) for one in facts),
        resolved=len(whole),
        backlog=sum(one.standing == "open" for one in facts),
        reopened=back,
        reopen_rate=back / moved if moved else None,
        first_response=_spread([one.wall_s for one in first]),
        first_response_business=_spread([one.business_s for one in first]),
        next_response=_spread([one.wall_s for one in following]),
        next_response_business=_spread([one.business_s for one in following]),
        resolution=_spread([one.wall_s for one in whole]),
        resolution_business=_spread([one.business_s for one in whole]),
        satisfaction=_satisfaction(surveys, within),
        downtime_s=round(sum(_downtime(one, begin, known_until) for one in facts)),
    )


def _satisfaction(surveys: Sequence[Surveyed], within: Callable[[datetime], bool]) -> Satisfaction:
    asked = sum(within(one.sent_at) for one in surveys)
    scores = [
        one.score
        for one in surveys
        if one.score is not None and one.answered_at is not None and within(one.answered_at)
    ]
    # An answer may come in the month after the question: then more may answer than were asked.
    of = max(asked, len(scores))
    return Satisfaction(
        asked=asked,
        answered=len(scores),
        response_rate=len(scores) / of if of else None,
        rate=sum(one >= SATISFIED_FROM for one in scores) / len(scores) if scores else None,
        mean=fmean(scores) if scores else None,
    )


def figures_by(
    stories: Sequence[Story],
    surveys: Sequence[Surveyed],
    *,
    begin: datetime,
    end: datetime,
    grouping: Grouping,
    names: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> list[Group]:
    """Return the figures of each queue, tier, priority, contract or organisation, by its name.

    Args:
        stories: as `figures_of`.
        surveys: as `figures_of`.
        begin: as `figures_of`.
        end: as `figures_of`.
        grouping: by what.
        names: what is shown for a value, where that is not the value itself.
        now: as `figures_of`.
    """
    parts: dict[str, list[Story]] = {}
    for one in stories:
        value = getattr(one, grouping)
        parts.setdefault("" if value is None else str(value), []).append(one)
    shown = names or {}
    made = []
    for value, its in parts.items():
        numbers = {one.number for one in its}
        said = [one for one in surveys if one.ticket in numbers]
        figures = figures_of(its, said, begin=begin, end=end, now=now)
        made.append(Group(name=shown.get(value, value), figures=figures))
    return sorted(made, key=lambda group: group.name)
