"""What the person is told of the technician's line: what was lost, and not each command's end."""

from __future__ import annotations

import io

import pytest

from farhand_agent.session.events import LineChanged, LineShown
from farhand_agent.session.screen import SessionScreen
from tests.agent.session.test_asking import QUESTION

LOST = "The line is down; it is waited for, 45 s at most."


def told(capsys: pytest.CaptureFixture[str], *states: LineShown) -> list[str]:
    screen = SessionScreen(yes=False, as_json=False, send=lambda _: None, stop=lambda: None)
    for state in states:
        left_s = 45 if state == "reconnecting" else None
        screen.show(LineChanged(session="s-1", state=state, left_s=left_s))
    screen.close()
    return capsys.readouterr().err.splitlines()


def test_commands_that_end_in_order_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "connected", "idle", "connected", "idle") == []


def test_a_lost_line_and_what_became_of_it_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "connected", "reconnecting", "connected", "idle", "connected") == [
        LOST,
        "The technician is connected.",
    ]
    assert told(capsys, "connected", "reconnecting", "idle", "connected") == [
        LOST,
        "The technician is not connected just now.",
    ]


@pytest.mark.parametrize("has_page", [True, False])
def test_without_a_terminal_she_is_told_where_she_can_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, has_page: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    screen = SessionScreen(
        yes=False,
        as_json=False,
        send=lambda _: None,
        stop=lambda: None,
        has_page=lambda: has_page,
    )
    screen.show(QUESTION)
    screen.close()
    said = capsys.readouterr().err
    assert ("Answer on the page in your browser." in said) is has_page
    assert ("There is no terminal to ask on, so the answer will be no." in said) is not has_page
