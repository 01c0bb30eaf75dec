"""The table of a session's states."""

from __future__ import annotations

import contextlib
from typing import get_args

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.sessions.states import (
    FINAL,
    STATES,
    SessionEvent,
    first_state,
    next_state,
)


def test_a_session_that_is_over_stays_over() -> None:
    for state in FINAL:
        for event in get_args(SessionEvent):
            after = state
            with contextlib.suppress(FarhandError):
                after = next_state(state, event)
            assert after == state


def test_nothing_becomes_active_without_having_been_asked() -> None:
    before = set()
    for state in STATES:
        try:
            if next_state(state, "active") == "active":
                before.add(state)
        except FarhandError:
            continue
    assert before == {"asked", "active"}


def test_sessions_begin_by_a_code_or_by_a_grant() -> None:
    assert first_state("claimed") == "pairing"
    assert first_state("offered") == "asked"
    with pytest.raises(KeyError):
        first_state("active")
