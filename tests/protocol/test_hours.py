"""Weekly hours: what a line means, what two policies have in common, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_protocol.hours import MAX_HOURS, common_hours, is_within

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def at(text: str) -> tuple[int, int]:
    day, clock = text.split()
    hour, minute = clock.split(":")
    return DAYS.index(day), int(hour) * 60 + int(minute)


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        (
            "mon-fri 08:00-18:00",
            ["mon 08:00", "fri 17:59"],
            ["mon 07:59", "fri 18:00", "sat 09:00"],
        ),
        ("sat,sun 10:00-12:00", ["sat 10:00", "sun 11:59"], ["fri 10:00", "mon 10:00"]),
        ("sat-mon 10:00-12:00", ["sat 10:00", "sun 11:00", "mon 11:00"], ["tue 11:00"]),
        ("daily 00:00-24:00", ["mon 00:00", "sun 23:59"], []),
        ("fri 22:00-06:00", ["fri 22:00", "sat 05:59"], ["fri 05:00", "sat 06:00"]),
        ("sun 22:00-06:00", ["sun 23:00", "mon 05:59"], ["sun 05:00", "mon 06:00"]),
        ("wed 12:00-24:00", ["wed 23:59"], ["thu 00:00"]),
    ],
)
def test_a_line_means_what_it_says(line: str, inside: list[str], outside: list[str]) -> None:
    assert all(is_within([line], *at(moment)) for moment in inside)
    assert not any(is_within([line], *at(moment)) for moment in outside)


def test_no_hours_are_always_and_several_lines_add_up() -> None:
    assert is_within([], *at("sun 03:00"))
    both = ["mon 08:00-10:00", "mon 14:00-16:00"]
    assert [is_within(both, *at(f"mon {hour}:30")) for hour in ("09", "11", "15")] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "mon",
        "Mon 08:00-18:00",
        "mon 8:00-18:00",
        "mon 08:00-18:60",
        "mon 24:00-06:00",
        "mon 08:00-24:01",
        "mon 08:00-08:00",
        "mon-xyz 08:00-18:00",
        "mon- 08:00-18:00",
        "mon,, 08:00-18:00",
        "mon 08:00-18:00\n",
        "mon  08:00-18:00",
        "mon ०८:00-18:00",
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(FarhandError, match="hours-malformed"):
        is_within([line], 0, 0)


def test_too_many_lines_are_refused() -> None:
    with pytest.raises(FarhandError, match="hours-malformed"):
        is_within(["mon 08:00-18:00"] * (MAX_HOURS + 1), 0, 0)


CLOCK = st.integers(0, 23).map(lambda hour: f"{hour:02d}:30")
LINE = st.builds(
    lambda first, last, start, end: f"{first}-{last} {start}-{end}",
    st.sampled_from(DAYS),
    st.sampled_from(DAYS),
    CLOCK,
    st.integers(0, 24).map(lambda hour: f"{hour:02d}:00"),
)


@given(
    one=st.lists(LINE, max_size=3),
    other=st.lists(LINE, max_size=3),
    weekday=st.integers(0, 6),
    minute=st.integers(0, 1439),
)
def test_what_is_common_is_what_both_allow(
    one: list[str], other: list[str], weekday: int, minute: int
) -> None:
    common = common_hours(one, other)
    allowed = common is not None and is_within(common, weekday, minute)
    assert allowed == (is_within(one, weekday, minute) and is_within(other, weekday, minute))
