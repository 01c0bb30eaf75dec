"""When a check that runs again and again counts as changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.checks.finding import State
from farhand_agent.standing.damping import MAX_RECENT, damped

LETTERS: dict[str, State] = {
    "o": "ok",
    "w": "warning",
    "c": "critical",
    "?": "unknown",
    "-": "unsupported",
}


def shown(runs: str, confirm: tuple[int, int]) -> str:
    """Return the states that count after each run; a space is none yet."""
    recent: list[State] = []
    state: State | None = None
    letters = ""
    for letter in runs:
        recent = [*recent, LETTERS[letter]][-MAX_RECENT:]
        state = damped(state, recent, confirm)
        letters += next((k for k, v in LETTERS.items() if v == state), " ")
    return letters


@pytest.mark.parametrize(
    ("runs", "confirm", "expected"),
    [
        ("owcwo", (1, 1), "owcwo"),  # without damping each run counts
        ("owowww", (2, 3), "ooowww"),  # 2 of the last 3
        ("oooc", (2, 3), "oooo"),  # once is not enough
        ("ocooocc", (2, 3), "ooooooc"),
        ("wwoowooo", (2, 3), " wwwwwwo"),  # better only after 3 in a row
        ("ccww", (2, 2), " ccw"),  # milder is better, too
        ("cwcw", (2, 3), " wwc"[:1] + "wcc"),  # the severity that enough runs reached
        ("?o", (1, 1), "?o"),
        ("c?cc", (2, 3), "  cc"),  # not knowing is no word against a breach
        ("cc??", (2, 3), " cc?"),  # what cannot be found out twice is not known
        ("cc?oo?oo", (2, 3), " cccccccc"[:8]),
        ("-", (3, 3), "-"),
        ("-o", (3, 3), "-o"),
        ("ww-", (2, 2), " w-"),
    ],
)
def test_what_counts_after_each_run(runs: str, confirm: tuple[int, int], expected: str) -> None:
    assert shown(runs, confirm) == expected


confirms = st.tuples(st.integers(1, 5), st.integers(1, 5)).map(lambda p: (min(p), max(p)))


@given(runs=st.text("owc", min_size=1, max_size=40), confirm=confirms)
def test_a_breach_needs_its_runs_and_a_recovery_all_of_them(
    runs: str, confirm: tuple[int, int]
) -> None:
    enough, window = confirm
    states = shown(runs, confirm)
    ranks = " owc"
    for at, (before, after) in enumerate(zip(" " + states, states, strict=False)):
        last = runs[max(0, at + 1 - window) : at + 1]
        if ranks.index(after) > max(ranks.index(before), 1):
            assert sum(ranks.index(one) >= ranks.index(after) for one in last) >= enough
        if before != " " and ranks.index(after) < ranks.index(before):
            assert len(last) == window
            assert all(ranks.index(one) <= ranks.index(after) for one in last)


@given(state=st.sampled_from("owc"), runs=st.text("owc?", max_size=20), confirm=confirms)
def test_what_stays_long_enough_counts(state: str, runs: str, confirm: tuple[int, int]) -> None:
    assert shown(runs + state * confirm[1], confirm)[-1] == state
