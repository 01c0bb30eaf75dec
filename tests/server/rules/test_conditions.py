"""Conditions of rules: what holds, and that nothing else can be one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_server.rules.conditions import (
    FIELDS,
    MAX_CONDITIONS,
    OPERATORS,
    Condition,
    check_conditions,
    first_unmet,
)

FACTS = {
    "title": "The Printer is slow",
    "priority": "high",
    "queue": "desk",
    "tier": 2,
    "owner": None,
    "security": False,
    "text": "",
}


def _one(field: Any, operator: Any, value: Any = "") -> Condition:
    return Condition(field=field, operator=operator, value=value)


@pytest.mark.parametrize(
    ("field", "operator", "value", "holds"),
    [
        ("title", "contains", "printer", True),
        ("title", "contains", "PRINTER", True),
        ("title", "lacks", "scanner", True),
        ("title", "starts-with", "the p", True),
        ("title", "is", "printer", False),
        ("queue", "is", " DESK ", True),
        ("queue", "is-not", "desk", False),
        ("queue", "in", ["vip", "Desk"], True),
        ("queue", "not-in", ["vip"], True),
        ("owner", "empty", "", True),
        ("owner", "not-empty", "", False),
        ("text", "empty", "", True),
        ("category", "empty", "", True),
        ("security", "is", "no", True),
        ("priority", "at-least", "high", True),
        ("priority", "at-least", "urgent", False),
        ("priority", "at-most", "normal", False),
        ("tier", "at-least", "2", True),
        ("tier", "at-most", "1", False),
        ("reopen_count", "at-least", "0", False),
    ],
)
def test_what_holds(field: str, operator: str, value: Any, holds: bool) -> None:
    one = _one(field, operator, value)
    check_conditions([one])
    assert (first_unmet([one], FACTS) is None) == holds


def test_all_must_hold_and_the_first_that_does_not_is_told() -> None:
    good, bad = _one("queue", "is", "desk"), _one("owner", "is", "ann")
    assert first_unmet([], FACTS) is None
    assert first_unmet([good, bad, good], FACTS) is bad
    assert bad.words() == "owner is ann"


@pytest.mark.parametrize(
    "conditions",
    [
        [_one("queue", "in", "desk")],
        [_one("queue", "is", ["desk"])],
        [_one("queue", "is", "")],
        [_one("owner", "empty", "x")],
        [_one("title", "at-least", "3")],
        [_one("tier", "at-least", "many")],
        [_one("queue", "in", [])],
        [_one("title", "contains", "x" * 401)],
        [_one("owner", "empty")] * (MAX_CONDITIONS + 1),
    ],
)
def test_what_is_no_condition(conditions: list[Condition]) -> None:
    with pytest.raises(FarhandError, match="rule-malformed"):
        check_conditions(conditions)


@given(
    st.sampled_from(FIELDS),
    st.sampled_from(OPERATORS),
    st.text(max_size=30) | st.lists(st.text(max_size=5), max_size=3),
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
)
def test_whatever_is_checked_can_be_judged(
    field: Any, operator: Any, value: Any, fact: Any
) -> None:
    one = _one(field, operator, value)
    try:
        check_conditions([one])
    except FarhandError:
        return
    assert first_unmet([one], {field: fact}) in (None, one)
