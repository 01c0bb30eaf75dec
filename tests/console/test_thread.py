"""A ticket's thread on the screen: what mails quote is one line, unless somebody asks for it."""

from __future__ import annotations

import pytest

from farhand_console.cli.thread import show_thread
from farhand_console.relay.desk import TicketMessage

BODY = "It works.\n\nOn Monday Ann wrote:\n> Does it?\n> \x1b[2Jann\nThanks!"
START, END = BODY.index("On Monday"), BODY.index("Thanks")


def shown(
    capsys: pytest.CaptureFixture[str], folded: list[tuple[int, int]], *, quoted: bool = False
) -> list[str]:
    message = TicketMessage(
        seq=1, ticket="FH-2", kind="reply", author="mia", body=BODY, at="now", folded=folded
    )
    show_thread("FH-1", [message], quoted=quoted)
    return capsys.readouterr().out.splitlines()


def test_quoted_words_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, [(START, END)]) == [
        "",
        "now  mia  (reply, FH-2)",
        "  It works.",
        "  ",
        "  ... 3 quoted lines; --quoted shows them",
        "  Thanks!",
    ]
    one = BODY.index("> Does")
    assert "  ... 1 quoted line; --quoted shows it" in shown(capsys, [(one, one + 9)])


def test_they_are_shown_where_asked_for_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, [(START, END)], quoted=True)
    assert len(lines) == len(BODY.splitlines()) + 2
    assert "  > Does it?" in lines
    assert not any("\x1b" in one for one in lines)


@pytest.mark.parametrize("folded", [[(-5, 3)], [(3, 3)], [(9, 2)], [(0, 10**6)]])
def test_ranges_that_cannot_be_hide_nothing(
    capsys: pytest.CaptureFixture[str], folded: list[tuple[int, int]]
) -> None:
    assert len(shown(capsys, folded)) == len(BODY.splitlines()) + 2


def test_ranges_over_each_other_hide_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, [(START, END), (START + 1, len(BODY))])
    assert lines[-1] == "  Thanks!"
