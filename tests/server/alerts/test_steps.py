"""The table of alerts, cell by cell, and what it can never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.alerts.steps import Told, step

BREACHES: tuple[Told, ...] = ("warning", "critical")


@pytest.mark.parametrize(
    ("state", "severity", "before", "told", "expected"),
    [
        (None, "", "", "ok", "none"),
        (None, "", "", "warning", "raise"),
        (None, "", "", "critical", "raise"),
        (None, "", "", "unknown", "blind"),
        (None, "", "", "gone", "none"),
        ("recovered", "warning", "ok", "ok", "none"),
        ("recovered", "warning", "ok", "critical", "reopen"),
        ("recovered", "warning", "ok", "unknown", "blind"),
        ("withdrawn", "warning", "warning", "gone", "none"),
        ("blind", "unknown", "unknown", "unknown", "none"),
        ("blind", "unknown", "unknown", "warning", "raise"),
        ("blind", "unknown", "unknown", "ok", "recover"),
        ("blind", "unknown", "unknown", "gone", "withdraw"),
        ("open", "warning", "warning", "warning", "none"),
        ("open", "warning", "warning", "critical", "worse"),
        ("open", "critical", "critical", "warning", "milder"),
        ("open", "critical", "critical", "unknown", "lost"),
        ("open", "critical", "unknown", "unknown", "none"),
        ("open", "critical", "unknown", "critical", "found"),
        ("open", "critical", "critical", "ok", "recover"),
        ("open", "critical", "critical", "gone", "withdraw"),
        ("acknowledged", "warning", "warning", "critical", "worse"),
        ("acknowledged", "warning", "warning", "ok", "recover"),
    ],
)
def test_each_cell(
    state: str | None, severity: str, before: str, told: Told, expected: str
) -> None:
    assert step(state, severity, before, told) == expected


@given(
    state=st.sampled_from([None, "open", "acknowledged", "blind", "recovered", "withdrawn"]),
    severity=st.sampled_from(["warning", "critical", "unknown"]),
    before=st.sampled_from(["ok", "warning", "critical", "unknown"]),
    told=st.sampled_from(["ok", "warning", "critical", "unknown", "gone"]),
)
def test_only_a_breach_opens_and_only_ok_or_gone_closes(
    state: str | None, severity: str, before: str, told: Told
) -> None:
    taken = step(state, severity, before, told)
    if taken in ("raise", "reopen", "worse", "milder", "found"):
        assert told in BREACHES
    if taken in ("recover", "withdraw"):
        assert told in ("ok", "gone")
        assert state in ("open", "acknowledged", "blind")
