"""What became of a ticket, read off its events: the facts of which every figure is made.

Pure.  A story is what happened to one ticket and the hours in which it is served; its facts are
when it was first answered, how long each later answer took, when it was resolved and reopened, and
how it stood at an instant.  Only people answer: what the relay, a rule or a mailbox says by itself
is no answer, and neither is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from farhand_server.actors import is_a_person
from farhand_server.desk.calendars import ALWAYS, Calendar, open_seconds

__all__ = ["HEEDED", "Facts", "Happened", "Span", "Standing", "Story", "facts_of"]

Standing = Literal["open", "ended", "away", "unborn"]

# The kinds of events that a story is made of.
HEEDED: Final = (
    "created",
    "reply",
    "requester-reply",
    "resolved",
    "reopened",
    "closed",
    "merged",
    "unmerged",
    "spam",
)


class Happened(msgspec.Struct, frozen=True):
    """One event."""

    kind: str
    actor: str
    at: datetime
    detail: dict[str, Any] = {}


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket, with what happened in the order of time."""

    number: int
    title: str
    kind: str
    queue: str
    tier: int
    priority: str
    created_at: datetime
    organisation: str | None = None
    contract: str | None = None
    security: bool = False
    down_from: datetime | None = None
    down_to: datetime | None = None
    happened: tuple[Happened, ...] = ()
    calendar: Calendar = ALWAYS


class Span(msgspec.Struct, frozen=True):
    """A time that something took: `wall_s` by the clock, `business_s` in the hours of service."""

    begin: datetime
    end: datetime
    wall_s: float
    business_s: float


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a ticket at an instant.

    Attributes:
        standing: `away` for what was merged, is spam, or was a session that never began.
        first_response: from the request to the first answer.
        next_responses: from a question of the requester's to the answer, after the first.
        resolution: from the request to the last time that it was resolved, if it is now.
        resolved_at: every time that it was.
        reopened_at: every time that it came back after that.
    """

    story: Story
    standing: Standing
    first_response: Span | None
    next_responses: tuple[Span, ...]
    resolution: Span | None
    resolved_at: tuple[datetime, ...]
    reopened_at: tuple[datetime, ...]


def _span(story: Story, begin: datetime, end: datetime) -> Span:
    wall = (end - begin).total_seconds()
    business = wall if story.calendar == ALWAYS else open_seconds(story.calendar, begin, end)
    return Span(begin, end, wall, business)


def _responses(story: Story, events: Sequence[Happened]) -> Iterator[Span]:
    """Yield the first answer, then each later one to a question."""
    owed: datetime | None = story.created_at
    for one in events:
        if one.kind == "reply" and is_a_person(one.actor):
            if owed is not None:
                yield _span(story, owed, one.at)
            owed = None
        elif one.kind == "requester-reply" and owed is None:
            owed = one.at


def facts_of(story: Story, *, until: datetime) -> Facts:
    """Return what is known of a ticket at an instant; what happens later changes nothing of it."""
    events = [one for one in story.happened if one.at < until]
    resolved: list[datetime] = []
    reopened: list[datetime] = []
    standing: Standing = "open" if story.created_at < until else "unborn"
    resolved_by = ""
    for one in events:
        if one.kind == "resolved":
            standing, resolved_by = "ended", one.actor
            resolved.append(one.at)
        elif one.kind == "reopened":
            if standing == "ended":
                reopened.append(one.at)
            standing = "open"
        elif one.kind in ("merged", "spam"):
            standing = "away"
        elif one.kind == "unmerged":
            ended = one.detail.get("state") in ("resolved", "closed")
            standing = "ended" if ended else "open"
    if story.kind == "walk-in" and standing == "ended" and not is_a_person(resolved_by):
        standing = "away"
    spans = list(_responses(story, events))
    return Facts(
        story=story,
        standing=standing,
        first_response=spans[0] if spans else None,
        next_responses=tuple(spans[1:]),
        resolution=(
            _span(story, story.created_at, resolved[-1])
            if standing == "ended" and resolved
            else None
        ),
        resolved_at=tuple(resolved),
        reopened_at=tuple(reopened),
    )
