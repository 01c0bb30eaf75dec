"""The journal: each state once, in order, durable, chained, and full disks said clearly."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from farhand_agent.audit import verify_chain
from farhand_agent.cli import cli
from farhand_agent.journal import Journal
from farhand_protocol.errors import FarhandError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def accept(journal: Journal, order: str = "o-1") -> bool:
    return journal.accept_order(
        order, envelope=b"e", payload_sha256="p", operator="bo", script="check.x", version=1
    )


def grant(journal: Journal, session: str = "s-1") -> None:
    journal.grant_session(
        session,
        grant=b"g",
        operator="bo",
        operator_key=b"k" * 32,
        organisation="Org",
        ticket="FH-1",
        scopes=["view", "files"],
        expires="2030-01-01T00:00:00Z",
        pid=1,
        pid_started=2.0,
    )


def test_an_order_is_accepted_started_and_finished_once(path: Path) -> None:
    journal, other = Journal(path, create=True), Journal(path)
    assert accept(journal)
    assert not accept(other)
    assert other.start_order("o-1", pid=7)
    assert not journal.start_order("o-1", pid=8)
    assert not journal.finish_order("o-1", state="cancelled", result=b"c", expected=("accepted",))
    assert journal.finish_order("o-1", state="succeeded", result=b"r")
    assert not other.finish_order("o-1", state="interrupted", result=b"i")
    row = journal.order("o-1")
    assert row is not None
    assert (row.state, row.result, row.pid) == ("succeeded", b"r", None)
    assert [(one.kind, one.subject) for one in journal.outbox()] == [
        ("progress", "o-1"),
        ("progress", "o-1"),
        ("result", "o-1"),
    ]
    for journal_ in (journal, other):
        journal_.close()


def test_the_outbox_keeps_its_order_and_never_reuses_a_number(path: Path) -> None:
    journal = Journal(path, create=True)
    accept(journal)
    journal.start_order("o-1", pid=1)
    first, second = journal.outbox()
    journal.acknowledge(second.seq)
    journal.finish_order("o-1", state="failed", result=b"r")
    assert [one.seq for one in journal.outbox()] == [first.seq, second.seq + 1]
    journal.acknowledge(first.seq, refused="order-unknown")
    assert "report-refused" in [one.kind for one in journal.log_records()]
    journal.close()


def test_a_refused_payload_is_remembered_and_an_early_one_is_not(path: Path) -> None:
    journal = Journal(path, create=True)
    journal.refuse_offer("o-1", payload_sha256="a", code="order-expired", result=b"r")
    journal.refuse_offer("o-2", payload_sha256="b", code="order-early", result=b"e", remember=False)
    assert journal.refusal("a") == ("order-expired", b"r")
    assert journal.refusal("b") is None
    journal.repost_result("o-1", b"r")
    assert [one.subject for one in journal.outbox()] == ["o-2", "o-1"]
    journal.close()


def test_no_refusal_is_journalled_under_the_id_of_an_accepted_order(path: Path) -> None:
    journal = Journal(path, create=True)
    accept(journal)
    journal.start_order("o-1", pid=1)
    journal.finish_order("o-1", state="succeeded", result=b"genuine")
    before = journal.outbox()
    assert not journal.refuse_offer("o-1", payload_sha256="a", code="order-malformed", result=b"r")
    assert journal.outbox() == before
    assert journal.refusal("a") is None
    journal.close()


def test_a_session_never_reopens(path: Path) -> None:
    journal = Journal(path, create=True)
    grant(journal)
    assert journal.stop_session("s-1", "stopped")
    assert not journal.stop_session("s-1", "again")
    report = msgspec.msgpack.encode({"session": "s-1", "state": "ended"})
    assert journal.end_session("s-1", reason="expired", report=report)
    assert not journal.end_session("s-1", reason="expired", report=b"m")
    row = journal.session("s-1")
    assert row is not None
    assert (row.state, row.reason, row.scopes) == ("ended", "stopped", ["view", "files"])
    with pytest.raises(FarhandError) as caught:
        grant(journal)
    assert caught.value.code == "grant-replayed"
    assert journal.live_sessions() == []
    assert [one.kind for one in journal.outbox()] == ["session"]
    journal.close()


def test_time_never_goes_back(path: Path) -> None:
    clock = [1_000_000.0]
    journal = Journal(path, create=True, clock=lambda: clock[0])
    journal.raise_clock()
    high = journal.now()
    clock[0] = 10.0
    assert journal.now() == high
    journal.close()
    again = Journal(path, clock=lambda: 20.0)
    assert again.now() == high
    again.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log SET detail = '{}' WHERE seq = 2",
        "UPDATE log SET at = '2020-01-01T00:00:00Z' WHERE seq = 1",
        "DELETE FROM log WHERE seq = 2",
        "DELETE FROM log WHERE seq = 1",
    ],
)
def test_a_changed_log_is_noticed(path: Path, change: str) -> None:
    journal = Journal(path, create=True)
    for number in range(3):
        journal.log("note", number=number)
    verify_chain(journal.log_records())
    journal.close()
    with sqlite3.connect(path) as raw:
        raw.execute(change)
    raw.close()
    journal = Journal(path)
    with pytest.raises(FarhandError) as caught:
        verify_chain(journal.log_records())
    assert caught.value.code == "log-broken"
    journal.close()


def test_a_full_disk_accepts_nothing_and_goes_on_later(path: Path) -> None:
    journal = Journal(path, create=True)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(FarhandError) as caught:
        journal.accept_order(
            "o-1",
            envelope=b"x" * 100_000,
            payload_sha256="p",
            operator="bo",
            script="s",
            version=1,
        )
    assert caught.value.code == "journal-full"
    assert journal.order("o-1") is None
    assert journal.outbox() == []
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    assert accept(journal)
    journal.close()


def test_a_journal_that_is_gone_or_damaged_is_not_replaced(path: Path) -> None:
    with pytest.raises(FarhandError) as caught:
        Journal(path)
    assert caught.value.code == "journal-missing"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(FarhandError) as caught:
        Journal(path)
    assert caught.value.code == "journal-failed"


def test_others_may_not_read_it(path: Path) -> None:
    Journal(path, create=True).close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_report_that_cannot_be_delivered_is_set_aside_when_it_is_posted(path: Path) -> None:
    journal = Journal(path, create=True)
    for number, note in enumerate(["fine\n", "no\x1b[2J", "x" * 4001, "x" * 20_000]):
        grant(journal, f"s-{number}")
        fields = {"session": f"s-{number}", "state": "ended", "note": note}
        report = msgspec.msgpack.encode(fields)
        assert journal.end_session(f"s-{number}", reason="closed", report=report)
    assert [one.subject for one in journal.outbox()] == ["s-0"]
    kinds = [one.kind for one in journal.latest_log_records(50)]
    assert kinds.count("report-malformed") == 3
    journal.close()


def test_a_journal_that_cannot_be_written_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command, as a user who may only read (root may write anywhere)."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir()
        journal = Journal(home / "journal.db", create=True)
        journal.log("something", what="happened")
        journal.close()
        (home / "journal.db").chmod(0o444)
        home.chmod(0o555)
        Path(folder).chmod(0o755)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65_534)
        try:
            with pytest.raises(PermissionError):
                (home / "probe").touch()
            for command in (["log", "--verify"], ["status"]):
                done = CliRunner().invoke(cli, [*command, "--home", str(home)])
                assert done.exit_code == 0, done.exception
                assert "something" in done.output or command == ["status"]
        finally:
            os.seteuid(user)
            home.chmod(0o755)
        assert [one.name for one in home.iterdir()] == ["journal.db"]
