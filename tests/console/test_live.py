"""live: who is shown which words in a chat."""

from __future__ import annotations

import pytest

from farhand_console.cli.live import _lines
from farhand_console.relay.channels import Words


def test_what_the_other_side_does_not_see_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    at = "2026-11-22T12:00:00Z"
    said = [
        Words(seq=1, ticket="FH-1", kind="chat", author="mia", body="hello", at=at, public=True),
        Words(seq=2, ticket="FH-1", kind="note", author="ann", body="angry\x1b[2J\nagain", at=at),
    ]
    _lines(said)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "12:00  mia: hello"
    assert [line.partition("ann")[0] for line in shown[1:]] == ["12:00  (note) "] * 2
    assert "\x1b" not in "".join(shown)
