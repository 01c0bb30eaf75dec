"""What the agent's commands show of a relay's and a console's words: nothing of it acts."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from farhand_agent import local
from farhand_agent.cli import main
from farhand_agent.config import Home
from farhand_agent.journal import Journal

TRICKS = (
    "<b>\x1b]0;owned\x07\x1b[2J\x1b]52;c;b3du\x07\x9b31m\x9d0;x\x9c\0\r\n\u202egpj\u2066\u2069\u200e"
    "\u061c\u2028\u2029\xad\U000e0041\ufeff"
) + "x" * 10_000
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
STATUS: dict[str, Any] = {
    "device": "d-x", "name": TRICKS, "group": TRICKS, "url": TRICKS, "version": "1",
    "connected": True, "since": "2026-11-22T12:00:00Z", "trouble": TRICKS, "orders": [TRICKS],
    "warnings": [{"code": "relay-says", "words": TRICKS, "at": "2026-11-22T12:00:00Z"}],
    "sessions": [{"id": "s-x", "operator": TRICKS, "ticket": TRICKS, "state": "active"}],
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a log full of such words, and an agent that answers in them."""
    made = Home.at(tmp_path)
    journal = Journal(made.journal, create=True)
    try:
        for _ in range(2):
            journal.log("session-granted", operator=TRICKS, ticket=TRICKS, scopes=[TRICKS, TRICKS])
    finally:
        journal.close()
    monkeypatch.setattr(local, "ask", lambda *_, **__: {**STATUS, "stopped": ["s-x"], "out": True})
    return made


@pytest.mark.parametrize(
    "words",
    [
        ["status"], ["status", "--json"], ["log"], ["log", "--json"], ["log", "--export"],
        ["stop"], ["stop", "--operator", TRICKS], ["stop", "--scope", TRICKS], ["receipts"],
        ["policy"], ["later"], ["later", TRICKS], ["log", "--limit", TRICKS], ["help", TRICKS],
    ],
    ids=lambda words: "-".join(words)[:12],
)  # fmt: skip
def test_no_word_acts_on_the_terminal(
    home: Home, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--home", str(home.path), *words])
    said = capsys.readouterr()
    shown = said.out + said.err
    assert not [f"{one!a}" for one in shown if one != "\n" and unicodedata.category(one) in UNSAFE]
    assert shown


def test_an_exported_log_says_the_same(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--home", str(home.path), "log", "--export"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert json.loads(records[-1]["detail"])["operator"] == TRICKS
