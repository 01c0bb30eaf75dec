"""Figures: tables of stories, and what holds for every story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.actors import is_a_person
from farhand_server.desk.calendars import Calendar
from farhand_server.measures.figures import (
    Figures,
    Surveyed,
    figures_by,
    figures_of,
)
from farhand_server.measures.stories import Happened, Story, facts_of

H = 3600
T0 = datetime(2026, 11, 2, 9, tzinfo=UTC)  # a Monday
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
OFFICE = Calendar(zone="UTC", week=(((540, 1020),),) * 5 + ((), ()))  # 9 to 17


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def story(*steps: tuple[Any, ...], **more: Any) -> Story:
    """Each step: hours after T0, kind, actor (ann without)."""
    happened = [Happened("created", "mia", T0)]
    for hours, kind, *actor in steps:
        happened.append(Happened(kind, actor[0] if actor else "ann", at(hours)))
    given = {
        "number": 1, "title": "slow", "kind": "incident", "queue": "desk", "tier": 1,
        "priority": "normal", "created_at": T0, "happened": tuple(happened),
    }  # fmt: skip
    return Story(**{**given, **more})


def figures(*stories: Story, surveys: tuple[Surveyed, ...] = ()) -> Figures:
    return figures_of(stories, surveys, begin=BEGIN, end=END)


@pytest.mark.parametrize(
    ("steps", "first_h", "next_h", "resolution_h", "came_back"),
    [
        ([], None, [], None, 0),
        ([(1, "reply")], 1, [], None, 0),
        # What no person says is no answer, and neither is a note.
        ([(1, "reply", "relay"), (2, "reply", "rule:thanks"), (3, "reply")], 3, [], None, 0),
        # Asked again before the first answer: still one answer is owed.
        ([(1, "requester-reply", "mia"), (2, "reply")], 2, [], None, 0),
        ([(1, "reply"), (2, "requester-reply", "mia"), (5, "reply")], 1, [3], None, 0),
        # Two questions, one answer: counted from the first of them; a second answer owes nothing.
        (
            [(1, "reply"), (2, "requester-reply"), (3, "requester-reply"), (5, "reply"),
             (6, "reply")],
            1, [3], None, 0,
        ),
        ([(4, "resolved")], None, [], 4, 0),
        # Reopened ones are counted to the last resolution.
        ([(4, "resolved"), (10, "reopened"), (30, "resolved")], None, [], 30, 1),
        ([(4, "resolved"), (10, "reopened")], None, [], None, 1),
        # Closing is no resolution, and taking a ticket out of spam no reopening.
        ([(4, "resolved"), (10, "closed")], None, [], 4, 0),
        ([(1, "spam"), (2, "reopened"), (4, "resolved")], None, [], 4, 0),
    ],
)  # fmt: skip
def test_stories(
    steps: list[Any],
    first_h: float | None,
    next_h: list[float],
    resolution_h: float | None,
    came_back: int,
) -> None:
    facts = facts_of(story(*steps), until=END)
    assert (facts.first_response and facts.first_response.wall_s / H) == first_h
    assert [one.wall_s / H for one in facts.next_responses] == next_h
    assert (facts.resolution and facts.resolution.wall_s / H) == resolution_h
    assert len(facts.reopened_at) == came_back


def test_business_time_is_counted_in_the_hours_of_service() -> None:
    # Answered on Tuesday at 10, resolved on Monday at 9.
    one = story((25, "reply"), (7 * 24, "resolved"), calendar=OFFICE)
    found = figures(one)
    assert found.first_response.mean_s == 25 * H
    assert found.first_response_business.mean_s == 9 * H
    assert found.resolution_business.mean_s == 5 * 8 * H


def test_mean_middle_and_nine_of_ten() -> None:
    hours = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100]
    stories = [story((h, "resolved"), number=n) for n, h in enumerate(hours)]
    found = figures(*stories).resolution
    assert (found.count, found.mean_s, found.median_s, found.p90_s) == (
        10, 14.5 * H, 5.5 * H, 9 * H,
    )  # fmt: skip
    assert figures().resolution == msgspec.convert({"count": 0}, type(found))


def test_everything_belongs_to_the_time_in_which_it_happened() -> None:
    slow = story((1, "reply"), (40 * 24, "resolved"), (41 * 24, "reopened"))
    november = figures(slow)
    assert (november.created, november.resolved, november.backlog) == (1, 0, 1)
    assert november.reopen_rate is None
    december = figures_of([slow], [], begin=END, end=datetime(2027, 1, 1, tzinfo=UTC))
    assert (december.created, december.resolved, december.backlog) == (0, 0, 1)
    assert (december.reopened, december.reopen_rate, december.first_response.count) == (1, 1, 0)
    # It was not there yet, and was put away later.
    october = figures_of([slow], [], begin=BEGIN - timedelta(days=31), end=BEGIN)
    assert (october.created, october.backlog) == (0, 0)


def test_what_was_put_away_counts_nowhere() -> None:
    merged = story((1, "reply"), (2, "merged"), number=1)
    back = story((1, "merged"), (2, "unmerged"), (3, "resolved"), number=2)
    never = story((1, "resolved", "relay"), kind="walk-in", number=3)
    spam = story((1, "spam"), number=4)
    found = figures(merged, back, never, spam)
    assert (found.created, found.resolved, found.backlog) == (1, 1, 0)
    assert found.first_response.count == 0


def test_a_reopened_share_is_of_those_that_could_come_back() -> None:
    stories = [
        story((1, "resolved"), number=1),
        story((1, "resolved"), number=2),
        story((1, "resolved"), (2, "reopened"), (3, "resolved"), (4, "reopened"), number=3),
        story(number=4),
    ]
    found = figures(*stories)
    assert (found.reopened, found.reopen_rate, found.resolved) == (1, 1 / 3, 2)


def test_satisfaction_says_of_how_many_it_knows() -> None:
    def said(number: int, score: int | None, days: float = 1) -> Surveyed:
        when = None if score is None else at(24 * days)
        return Surveyed(ticket=number, sent_at=at(1), answered_at=when, score=score)

    stories = [story((1, "resolved"), number=n) for n in range(4)]
    surveys = (said(0, 5), said(1, 4), said(2, 1), said(3, None))
    found = figures(*stories, surveys=surveys).satisfaction
    assert (found.asked, found.answered, found.response_rate) == (4, 3, 0.75)
    assert found.rate == pytest.approx(2 / 3)
    assert found.mean == pytest.approx(10 / 3)
    late = figures(surveys=(said(0, 5, days=40),)).satisfaction
    assert (late.asked, late.answered, late.rate) == (1, 0, None)


def test_downtime_is_cut_to_the_time() -> None:
    long = story(down_from=BEGIN - timedelta(days=1), down_to=BEGIN + timedelta(hours=2))
    on = story(number=2, down_from=END - timedelta(hours=3))
    assert figures(long, on).downtime_s == 5 * H


def test_downtime_ends_with_the_resolution_and_is_never_still_to_come() -> None:
    down = {"down_from": at(1)}
    # Nobody said when it was up again.
    assert figures(story((3, "resolved"), (9, "closed"), **down)).downtime_s == 2 * H
    back = story((3, "resolved"), (5, "reopened"), (8, "resolved"), **down)
    assert figures(back).downtime_s == 7 * H
    # The month after, in which it was only closed.
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert figures_of([story((3, "resolved"), **down)], [], begin=END, end=later).downtime_s == 0
    # The month that runs.
    runs = [story(**down), story(number=2, down_from=at(2), down_to=at(90))]
    assert figures_of(runs, [], begin=BEGIN, end=END, now=at(4)).downtime_s == 5 * H
    groups = figures_by(runs, [], begin=BEGIN, end=END, grouping="queue", now=at(4))
    assert [one.figures.downtime_s for one in groups] == [5 * H]


def test_parts_add_up_and_none_is_a_person() -> None:
    stories = [
        story((n, "reply"), (n + 1, "resolved"), number=n, queue=f"q{n % 3}", tier=n % 2 + 1)
        for n in range(1, 10)
    ]
    whole = figures(*stories)
    for grouping in ("queue", "tier", "contract"):
        groups = figures_by(stories, [], begin=BEGIN, end=END, grouping=grouping)
        assert sum(one.figures.resolved for one in groups) == whole.resolved == 9
    assert not {"owner", "actor", "account", "technician"} & set(Story.__struct_fields__)
    assert is_a_person("ann")
    assert not any(map(is_a_person, ("relay", "rule:x", "mail", "monitor")))


_KINDS = [
    "reply",
    "requester-reply",
    "resolved",
    "reopened",
    "closed",
    "merged",
    "unmerged",
    "spam",
]
_steps = st.lists(
    st.tuples(st.integers(0, 2000), st.sampled_from(_KINDS), st.sampled_from(["ann", "relay"])),
    max_size=12,
).map(sorted)


@given(st.lists(_steps, max_size=4), st.integers(1, 2000))
def test_any_story_has_figures_that_make_sense(all_steps: list[Any], cut: int) -> None:
    stories = [story(*steps, number=n) for n, steps in enumerate(all_steps)]
    found = figures_of(stories, [], begin=BEGIN, end=at(cut))
    assert found.created <= len(stories)
    assert found.backlog <= len(stories)
    assert found.reopen_rate is None or 0 <= found.reopen_rate <= 1
    for spread in (found.first_response, found.next_response, found.resolution):
        if spread.count:
            assert spread.mean_s is not None
            assert spread.mean_s >= 0
            assert spread.median_s <= spread.p90_s  # type: ignore[operator]
    # What happens later changes nothing of what was.
    later = [
        msgspec.structs.replace(one, happened=tuple(e for e in one.happened if e.at < at(cut)))
        for one in stories
    ]
    assert figures_of(later, [], begin=BEGIN, end=at(cut)) == found
