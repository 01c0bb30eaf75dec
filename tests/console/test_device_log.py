"""What a console demands of a device's own log."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from farhand_console.device_log import check_log_file, check_shown, receipt_marks
from farhand_console.home import Home
from farhand_protocol.audit import AuditHead, head_mark, head_message
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError, UsageError
from tests.protocol.samples import DEVICE, DEVICE_KEY, receipt, signer


def log(length: int, salt: str = "") -> list[dict[str, object]]:
    """Return records as docs/protocol.md says they are hashed."""
    records: list[dict[str, object]] = []
    previous = "0" * 64
    for seq in range(1, length + 1):
        at, detail = f"2026-11-22T12:00:{seq:02d}Z", f'{{"é":"{salt}"}}'
        body = msgspec.json.encode([previous, seq, at, "kind", detail])
        digest = hashlib.sha256(body).hexdigest()
        records.append(
            {"seq": seq, "at": at, "kind": "kind", "detail": detail}
            | {"previous": previous, "hash": digest}
        )
        previous = digest
    return records


RECORDS = log(6)


def digest(seq: int, records: list[dict[str, object]] = RECORDS) -> str:
    return str(records[seq - 1]["hash"])


def head(seq: int, by: str = "device", **changes: str) -> AuditHead:
    unsigned = AuditHead(
        **{"owner": DEVICE, "seq": seq, "hash": digest(seq), "at": f"t{seq}"} | changes  # type: ignore[arg-type]
    )
    signature = signer(by).sign(head_message(unsigned))
    return msgspec.structs.replace(unsigned, signature=signature)


def write(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    return path


def test_a_log_that_passes_through_every_head(tmp_path: Path) -> None:
    wanted = check_shown(DEVICE, DEVICE_KEY, [head(2), head(4)], [(3, digest(3)), (0, "0" * 64)])
    assert sorted(wanted) == [2, 3, 4]
    assert check_log_file(write(tmp_path / "log", RECORDS), DEVICE, wanted) == 6


def test_heads_that_contradict_each_other() -> None:
    for code, heads, marks in (
        ("audit-broken", [head(2, by="other")], []),
        ("audit-broken", [head(2, owner="d-other")], []),
        ("audit-cut", [head(4), head(2)], []),
        ("audit-forked", [head(4)], [(4, "a" * 64)]),
        ("audit-forked", [head(4), head(4, hash="a" * 64)], []),
    ):
        with pytest.raises(FarhandError, match=code):
            check_shown(DEVICE, DEVICE_KEY, heads, marks)


def test_a_log_whose_end_was_cut_or_that_was_written_anew(tmp_path: Path) -> None:
    wanted = check_shown(DEVICE, DEVICE_KEY, [head(2), head(4)], [])
    told: list[tuple[str, list[dict[str, object]]]] = [
        ("audit-cut: record 4", RECORDS[:3]),
        ("audit-rewritten: record 2", log(6, "anew")),
        ("audit-broken", [*RECORDS[:1], *RECORDS[2:]]),
        ("audit-broken", [RECORDS[0] | {"kind": "other"}, *RECORDS[1:]]),
        ("audit-broken", [{"seq": "x"}]),
    ]
    for code, records in told:
        with pytest.raises(FarhandError, match=code):
            check_log_file(write(tmp_path / "log", records), DEVICE, wanted)
    with pytest.raises(UsageError, match="audit-log-missing"):
        check_log_file(tmp_path / "none", DEVICE, wanted)


def test_receipts_of_the_device_are_heads_too(home: Home) -> None:
    folder = home.folder / "receipts"
    folder.mkdir(parents=True)
    made = receipt(audit_head=head_mark(3, digest(3)))
    path = folder / f"{made.session}.json"
    path.write_bytes(encode_envelope(seal(made, signer("device"), signer("console"))))
    assert receipt_marks(home, DEVICE, DEVICE_KEY) == [(3, digest(3))]
    assert receipt_marks(home, "d-other", DEVICE_KEY) == []
    with pytest.raises(FarhandError, match="receipt-device-key"):
        receipt_marks(home, DEVICE, signer("other").public_key)
    path.write_bytes(path.read_bytes().replace(b"sig", b"gis", 1))
    with pytest.raises(FarhandError, match="receipt-malformed"):
        receipt_marks(home, DEVICE, DEVICE_KEY)
