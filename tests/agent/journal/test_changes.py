"""What changes while a session is open or the agent runs: scopes, and the policy with its time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from farhand_agent import scope_changes
from farhand_agent.cli import cli
from farhand_agent.config import Home
from farhand_agent.journal import Journal
from farhand_agent.policy_changes import note_policy, policy_since, unshown_policy
from farhand_agent.scope_changes import add_scopes, withdraw_scopes, withdraw_scopes_everywhere
from farhand_protocol.errors import UsageError
from farhand_protocol.trust import GroupPolicy
from tests.agent.journal.test_journal import grant

REPORT = msgspec.msgpack.encode({"session": "s-1", "state": "active", "scopes": ["view"]})


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were told; the rows of these tests name process 1."""
    told: list[int] = []
    monkeypatch.setattr(scope_changes, "signal_process", lambda pid, *_: told.append(pid))
    return told


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.make()
    return made


@pytest.fixture
def journal(home: Home) -> Iterator[Journal]:
    made = Journal(home.journal, create=True)
    yield made
    made.close()


def scopes(journal: Journal, session: str = "s-1") -> list[str]:
    row = journal.session(session)
    assert row is not None
    return row.scopes


def logged(journal: Journal, kind: str) -> list[dict[str, object]]:
    return [json.loads(one.detail) for one in journal.log_records() if one.kind == kind]


def test_what_is_withdrawn_and_added_stands_in_row_log_and_outbox(journal: Journal) -> None:
    grant(journal)
    assert withdraw_scopes(journal, "s-1", ["files", "forward"], by="person") == ["files"]
    assert withdraw_scopes(journal, "s-1", ["files"], by="person") == []
    assert scopes(journal) == ["view"]
    add_scopes(journal, "s-1", ["forward"], forward=["b:2", "a:1"], report=REPORT)
    assert scopes(journal) == ["view", "forward"]
    assert logged(journal, "scope-withdrawn") == [
        {"session": "s-1", "scopes": ["files"], "by": "person"}
    ]
    assert logged(journal, "scope-added") == [
        {"session": "s-1", "scopes": ["forward"], "forward": ["a:1", "b:2"]}
    ]
    assert [(one.kind, one.subject) for one in journal.outbox()] == [("session", "s-1")]


def test_a_session_that_stops_is_not_changed_any_more(journal: Journal) -> None:
    grant(journal)
    journal.stop_session("s-1", "stopped")
    assert withdraw_scopes(journal, "s-1", ["view"], by="person") == []
    add_scopes(journal, "s-1", ["forward"], forward=[], report=REPORT)
    assert scopes(journal) == ["view", "files"]
    assert journal.outbox() == []


def test_every_session_or_the_one_named(journal: Journal, signals: list[int]) -> None:
    grant(journal)
    grant(journal, "s-2")
    assert withdraw_scopes_everywhere(journal, ["view"], by="person", session="s-2") == {
        "s-2": ["view"]
    }
    assert withdraw_scopes_everywhere(journal, ["view", "files"], by="policy") == {
        "s-1": ["view", "files"],
        "s-2": ["files"],
    }
    assert signals == [1, 1, 1]


def test_the_command_takes_back_and_knows_the_scopes(
    home: Home, journal: Journal, signals: list[int]
) -> None:
    grant(journal)
    run = CliRunner().invoke(cli, ["stop", "--scope", "files", "--home", str(home.path)])
    assert run.output == "s-1: files taken back\n"
    again = ["stop", "--scope", "files", "--json", "--home", str(home.path)]
    assert json.loads(CliRunner().invoke(cli, again).output) == {"withdrawn": {}}
    for scope in ("everything", "", ","):
        failed = CliRunner().invoke(cli, ["stop", "--scope", scope, "--home", str(home.path)])
        assert isinstance(failed.exception, UsageError)
        assert failed.exception.code == "scope-unknown"
    assert signals == [1]


def test_a_change_of_policy_has_a_time_and_is_shown_once(
    journal: Journal, signals: list[int]
) -> None:
    grant(journal)
    first = GroupPolicy()
    assert unshown_policy(journal, first) is None
    assert policy_since(journal) is None
    stricter = msgspec.structs.replace(first, scopes=["view"], minutes_max=5)
    news = note_policy(journal, stricter)
    assert news is not None
    assert news.since == policy_since(journal)
    assert "a session lasts 5 minutes at most" in news.words
    assert note_policy(journal, stricter) is None
    assert unshown_policy(journal, stricter) == news
    assert unshown_policy(journal, stricter) is None
    assert len(logged(journal, "policy-changed")) == 2
    assert scopes(journal) == ["view"]
    assert signals == [1]
