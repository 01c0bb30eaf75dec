"""Checks of a ticket that are run twice: what counts as a difference."""

from __future__ import annotations

from typing import Any

from farhand_console.cli.ticket_checks import differences_between


def _found(check: str, state: str, summary: str, outcome: str = "succeeded") -> dict[str, Any]:
    return {"id": check, "state": state, "summary": summary, "outcome": outcome, "value": 1.0}


def test_another_state_or_outcome_is_a_difference_and_another_number_is_none() -> None:
    first = [
        _found("disk.space", "ok", "40 % free"),
        _found("dns.resolve", "ok", "works"),
        _found("cpu.load", "ok", "0.2"),
    ]
    second = [
        _found("disk.space", "ok", "39 % free"),
        _found("dns.resolve", "critical", "no answer"),
        _found("cpu.load", "unknown", "the order ended as timeout", outcome="timeout"),
    ]
    differences = differences_between(first, second)
    assert [one["id"] for one in differences] == ["dns.resolve", "cpu.load"]
    assert differences[0]["second"]["summary"] == "no answer"
    assert differences_between(first, first) == []
