"""Heads of audits and logs: what is signed, kept and demanded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_protocol.audit import (
    MAX_HEAD_BYTES,
    AuditHead,
    check_kept,
    decode_head,
    encode_head,
    head_mark,
    parse_head_mark,
    thinned,
    wanted_hashes,
)
from farhand_protocol.errors import FarhandError

VECTOR = json.loads((Path(__file__).parent / "vectors" / "audit.json").read_text())
HEAD = AuditHead(owner="d-x", seq=3, hash="ab" * 32, at="2026-11-22T08:00:00Z", signature=b"s" * 64)
A, B, C = (letter * 64 for letter in "abc")


@pytest.mark.parametrize("name", ["relay", "device"])
def test_the_vector_is_signed_by_the_written_rule(name: str) -> None:
    made = VECTOR[name]
    head = decode_head(made["head"].encode())
    said = {"at": head.at, "hash": head.hash, "owner": head.owner, "seq": head.seq}
    message = b"farhand audit head v1\0" + json.dumps(said, separators=(",", ":")).encode()
    assert message.hex() == made["signs"]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(made["seed"]))
    key.public_key().verify(head.signature, message)
    assert VECTOR["mark"] == f"{head.seq}:{head.hash}"


def test_a_head_is_read_back_and_bounded() -> None:
    assert decode_head(encode_head(HEAD)) == HEAD
    for broken in (
        b"",
        b"{}",
        b"\xff",
        b"[" * 400,
        encode_head(HEAD).replace(b"3", b"-3"),
        encode_head(HEAD).replace(b"ab", b"a", 1),
        encode_head(HEAD) + b" " * MAX_HEAD_BYTES,
    ):
        with pytest.raises(FarhandError, match="audit-head-malformed"):
            decode_head(broken)


def test_a_mark_is_read_back() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert parse_head_mark(head_mark(12, digest)) == (12, digest)
    with pytest.raises(FarhandError, match="audit-head-malformed"):
        parse_head_mark(f"-1:{digest}")


def test_heads_are_thinned_from_the_old_end_and_the_newest_stay() -> None:
    kept: list[int] = []
    for seq in range(5000):
        kept = thinned([*kept, seq], 64)
        assert len(kept) <= 64
        assert kept[-30:] == list(range(max(0, seq - 29), seq + 1))
        assert kept == sorted(kept)
    assert kept[0] == 0


def test_what_was_shown_is_demanded() -> None:
    wanted = wanted_hashes([(0, "0" * 64), (2, B), (3, C), (2, B)], "the log")
    check_kept(wanted, {1: A, 2: B, 3: C, 4: A}, "the log")
    with pytest.raises(FarhandError, match="audit-cut: record 3"):
        check_kept(wanted, {1: A, 2: B}, "the log")
    with pytest.raises(FarhandError, match="audit-rewritten: record 2"):
        check_kept(wanted, {1: A, 2: C, 3: C}, "the log")
    with pytest.raises(FarhandError, match="audit-forked"):
        wanted_hashes([(2, B), (2, C)], "the log")
