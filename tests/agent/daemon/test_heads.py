"""Heads at the link, and the device's log against its receipts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from farhand_agent.alarms import alarms
from farhand_agent.config import Home, load_settings
from farhand_agent.journal import Journal
from farhand_agent.log_check import checked_records
from farhand_agent.receipts import store_receipt
from farhand_agent.shown_heads import MAX_RELAY_HEADS, keep_relay_head, relay_heads
from farhand_protocol.audit import AuditHead, decode_head, encode_head, head_mark, head_message
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import verify
from farhand_protocol.messages import Present
from tests.agent.agents import agent, resident
from tests.agent.relay import TestRelay
from tests.protocol.samples import receipt, signer


def head(seq: int, letter: str = "a", owner: str = "n-x") -> bytes:
    return encode_head(AuditHead(owner=owner, seq=seq, hash=letter * 64, at=f"t{seq}"))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal.db", create=True)
    for number in range(5):
        made.log("test", number=number)
    return made


async def test_both_heads_are_exchanged_when_the_link_opens(
    relay: TestRelay, enrolled: Home
) -> None:
    settings = load_settings(enrolled)
    relay.audit_head = head(7, owner=settings.tenant)
    async with resident(enrolled.path) as running:
        present = await relay.first(Present)
        shown = decode_head(present.audit_head)
        assert shown.owner == settings.device
        assert verify(settings.device_key_raw, shown.signature, head_message(shown))
        await running.line("ready")
        assert await running.stop() == 0
    with closing(Journal(enrolled.journal, read_only=True)) as journal:
        records = {record.seq: record.hash for record in journal.log_records()}
    assert records.get(shown.seq, "0" * 64) == shown.hash
    told = await agent("log", "--heads", "--home", str(enrolled.path))
    assert told.stdout.strip().encode() == relay.audit_head


def test_relay_heads_are_kept_once_and_bounded(tmp_path: Path, journal: Journal) -> None:
    home = Home.at(tmp_path)
    assert keep_relay_head(home, journal, "n-x", b"") is None
    for seq in (1, 1, *range(2, MAX_RELAY_HEADS * 2)):
        assert keep_relay_head(home, journal, "n-x", head(seq)) is None
    kept = [one.seq for one in relay_heads(home)]
    assert len(kept) <= MAX_RELAY_HEADS
    assert (kept[0], kept[-1]) == (1, MAX_RELAY_HEADS * 2 - 1)
    assert alarms(journal) == []


@pytest.mark.parametrize(("seq", "letter"), [(3, "a"), (9, "b")])
def test_a_relay_whose_audit_went_back_raises_an_alarm_once(
    tmp_path: Path, journal: Journal, seq: int, letter: str
) -> None:
    home = Home.at(tmp_path)
    keep_relay_head(home, journal, "n-x", head(9))
    assert keep_relay_head(home, journal, "n-x", head(seq, letter))
    assert keep_relay_head(home, journal, "n-x", head(seq, letter)) is None
    assert [one["code"] for one in alarms(journal)] == ["relay-audit-broken"]
    assert len(relay_heads(home)) == 2


def test_heads_that_cannot_be_read_are_refused_and_lost_ones_journalled(
    tmp_path: Path, journal: Journal
) -> None:
    home = Home.at(tmp_path)
    for bad in (b"{}", head(1, owner="n-other")):
        with pytest.raises(FarhandError, match="audit-head-malformed"):
            keep_relay_head(home, journal, "n-x", bad)
    (tmp_path / "relay-heads.jsonl").write_bytes(b"nonsense\n")
    keep_relay_head(home, journal, "n-x", head(4))
    assert [one.seq for one in relay_heads(home)] == [4]
    assert journal.log_records()[-1].kind == "relay-heads-lost"


def keep_receipt(home: Home, mark: str) -> None:
    made = receipt(audit_head=mark)
    store_receipt(home, encode_envelope(seal(made, signer("device"), signer("console"))))


def test_a_log_is_held_against_its_receipts(tmp_path: Path, journal: Journal) -> None:
    home = Home.at(tmp_path)
    keep_receipt(home, head_mark(*journal.log_head()))
    journal.log("more")
    assert len(list(checked_records(home, journal))) == 6
    with closing(sqlite3.connect(tmp_path / "journal.db")) as other, other:
        other.execute("DELETE FROM log WHERE seq > 4")
    with pytest.raises(FarhandError, match="audit-cut: record 5"):
        list(checked_records(home, journal))
    journal.log("another")
    with pytest.raises(FarhandError, match="audit-rewritten: record 5"):
        list(checked_records(home, journal))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as other, other:
        other.execute("UPDATE log SET kind = 'x' WHERE seq = 2")
    with pytest.raises(FarhandError, match="log-broken"):
        list(checked_records(home, journal))


async def test_the_log_is_exported_whole_and_verified(enrolled: Home) -> None:
    whole = await agent("log", "--export", "--home", str(enrolled.path))
    records = [msgspec.json.decode(line) for line in whole.stdout.splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert records
    verified = await agent("log", "--verify", "--json", "--home", str(enrolled.path))
    assert f"the chain of {len(records)} records is whole" in verified.stderr
    keep_receipt(enrolled, head_mark(len(records) + 9, "a" * 64))
    refused = await agent("log", "--verify", "--home", str(enrolled.path))
    assert (refused.status, "error: audit-cut:" in refused.stderr) == (1, True)
