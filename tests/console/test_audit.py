"""The relay's audit chain, checked by a console that remembers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farhand_console.audit import check_chain, keep_head, kept_heads, read_heads_file
from farhand_console.home import Home
from farhand_protocol.audit import AuditHead, encode_head
from farhand_protocol.errors import FarhandError, UsageError
from tests.console.organisation import TENANT, signer

RELAY = signer()


def chain(length: int, *, salt: str = "") -> list[dict[str, Any]]:
    """Return records as docs/protocol.md says they are hashed."""
    records: list[dict[str, Any]] = []
    previous = "0" * 64
    for seq in range(1, length + 1):
        record = {
            "seq": seq,
            "at": f"2026-11-22T12:00:{seq:02d}Z",
            "actor": "ada",
            "action": "test",
            "subject": salt,
            "detail": '{"a":1}',
            "previous": previous,
        }
        covered = record | {"tenant": TENANT}
        text = msgspec.json.encode({name: covered[name] for name in sorted(covered)})
        previous = hashlib.sha256(text).hexdigest()
        records.append(record | {"hash": previous})
    return records


def head(record: dict[str, Any], by: Any = RELAY, **changes: Any) -> dict[str, Any]:
    said = {"at": record["at"], "hash": record["hash"], "owner": TENANT, "seq": record["seq"]}
    said |= changes
    message = b"farhand audit head v1\0" + msgspec.json.encode(said)
    return said | {"signature": by.sign(message)}


def as_head(said: dict[str, Any]) -> AuditHead:
    return msgspec.convert(said, AuditHead)


def verdict(records: list[dict[str, Any]], kept: list[AuditHead]) -> int:
    return len(list(check_chain(TENANT, records, kept[-1], kept)))


def test_a_whole_chain() -> None:
    records = chain(5)
    assert verdict(records, [as_head(head(records[2])), as_head(head(records[4]))]) == 5


@pytest.mark.parametrize("field", ["actor", "action", "subject", "detail", "at"])
def test_a_changed_record(field: str) -> None:
    records = chain(5)
    kept = [as_head(head(records[4]))]
    records[1] = records[1] | {field: "other"}
    with pytest.raises(FarhandError, match=r"audit-broken.*record 2"):
        verdict(records, kept)


def test_a_record_cut_out_a_tail_cut_off_and_another_order() -> None:
    records = chain(5)
    kept = [as_head(head(records[2])), as_head(head(records[4]))]
    broken: list[tuple[str, list[dict[str, Any]]]] = [
        ("audit-broken", records[:1] + records[2:]),
        ("audit-cut: record 5", records[:4]),
        ("audit-cut: record 3", []),
        ("audit-broken", [records[1], records[0], *records[2:]]),
        ("audit-rewritten: record 3", chain(5, salt="another history")),
        ("audit-broken", [*records[:2], {"seq": "x"}]),
    ]
    for code, told in broken:
        with pytest.raises(FarhandError, match=code):
            verdict(told, kept)


def test_two_stories_about_one_record() -> None:
    records, others = chain(3), chain(3, salt="another")
    kept = [as_head(head(others[2])), as_head(head(records[2]))]
    with pytest.raises(FarhandError, match="audit-forked"):
        verdict(records, kept)


def test_a_head_is_kept_once_and_only_from_the_relay(home: Home) -> None:
    records = chain(3)
    key = RELAY.public_key
    keep_head(home, head(records[0]), key)
    keep_head(home, head(records[2]), key)
    keep_head(home, head(records[2]), key)
    assert [one.seq for one in kept_heads(home)] == [1, 3]
    for lie in (
        head(records[2], signer()),
        head(records[2]) | {"seq": 9},
        head(records[2]) | {"hash": "0" * 64},
        head(records[2]) | {"owner": "n-other"},
        head(records[2]) | {"signature": b""},
    ):
        with pytest.raises(FarhandError, match="audit-broken"):
            keep_head(home, lie, key)
    nonsense: list[object] = [{}, [], None, {"seq": "x"}]
    for unreadable in nonsense:
        with pytest.raises(FarhandError, match="relay-answer"):
            keep_head(home, unreadable, key)
    assert len(kept_heads(home)) == 2


def test_a_chain_that_goes_back_or_splits_is_told_and_its_head_kept_as_proof(home: Home) -> None:
    records, others = chain(3), chain(3, salt="another")
    keep_head(home, head(records[2]), RELAY.public_key)
    for code, lie in (("audit-forked", others[2]), ("audit-cut", others[1])):
        with pytest.raises(FarhandError, match=code):
            keep_head(home, head(lie), RELAY.public_key)
    assert len(kept_heads(home)) == 3


def test_heads_that_were_kept_elsewhere_are_demanded_too(tmp_path: Path) -> None:
    records, key = chain(5), RELAY.public_key
    file = tmp_path / "heads"
    sent = [as_head(head(records[2])), as_head(head(records[3]))]
    file.write_bytes(
        encode_head(sent[0])
        + b"\nNov 22 host <109>1 2026-11-22T12:00:00Z host farhand-server - audit-head - "
        + encode_head(sent[1])
        + b"\r\nother words\n"
    )
    assert read_heads_file(file, key) == sent
    with pytest.raises(FarhandError, match="audit-cut: record 4"):
        verdict(records[:3], [*sent, as_head(head(records[2]))])
    file.write_bytes(encode_head(as_head(head(records[2], signer()))))
    with pytest.raises(FarhandError, match="audit-broken"):
        read_heads_file(file, key)
    file.write_bytes(b'{"owner":"n-x"}\n')
    with pytest.raises(FarhandError, match="audit-head-malformed"):
        read_heads_file(file, key)
    file.write_bytes(b"no head at all\n")
    with pytest.raises(UsageError, match="audit-heads-missing"):
        read_heads_file(file, key)
    with pytest.raises(UsageError, match="audit-heads-missing"):
        read_heads_file(tmp_path, key)


def test_a_damaged_memory_is_an_error(home: Home) -> None:
    home.folder.mkdir()
    (home.folder / "audit-heads.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(FarhandError, match="home-unreadable"):
        kept_heads(home)
