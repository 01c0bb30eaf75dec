"""What a console can tell of a device's own log without standing at the device.

A device signs the head of its log when its link opens (the relay keeps those) and puts its mark
into every receipt (this console keeps its own).  Among themselves these must tell one story: no
number with two hashes, and none that comes after a higher one.  With the log itself, written by
`farhand-agent log --export`, every one of them is demanded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from farhand_console.home import Home
from farhand_protocol.audit import (
    AuditHead,
    check_kept,
    head_message,
    parse_head_mark,
    wanted_hashes,
)
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.keys import verify
from farhand_protocol.receipts import verify_receipt

__all__ = ["MAX_LOG_LINE", "check_log_file", "check_shown", "receipt_marks"]

MAX_LOG_LINE: Final = 1024 * 1024
_FIRST: Final = "0" * 64


class _LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: str
    kind: str
    detail: str
    previous: str
    hash: str


def receipt_marks(home: Home, device: str, key: bytes) -> list[tuple[int, str]]:
    """Return (seq, hash) of the log out of each receipt of this device, oldest session first.

    Raises:
        FarhandError: a `receipt-...` code when one does not verify under the device's key.
    """
    folder = home.folder / "receipts"
    found: list[tuple[str, tuple[int, str]]] = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        with path.open("rb") as opened:
            data = opened.read(MAX_ENVELOPE_BYTES + 1)
        receipt = verify_receipt(data).receipt
        if receipt.device != device:
            continue
        verify_receipt(data, key)
        if receipt.audit_head:
            found.append((receipt.ended_at, parse_head_mark(receipt.audit_head)))
    return [mark for _, mark in sorted(found)]


def check_shown(
    device: str, key: bytes, heads: Sequence[AuditHead], marks: Iterable[tuple[int, str]]
) -> dict[int, str]:
    """Demand that all heads of a device's log tell one story.

    Args:
        device: its id.
        key: its pinned key.
        heads: those that the relay kept, in the order of their coming.
        marks: from `receipt_marks`.

    Returns:
        Which hash each numbered record must have.

    Raises:
        FarhandError: `audit-broken` when one is not the device's; `audit-cut` when the log went
            back; `audit-forked`.
    """
    what = f"the log of {device}"
    highest = 0
    for head in heads:
        if head.owner != device or not verify(key, head.signature, head_message(head)):
            raise FarhandError("audit-broken", f"a head of {what} is not signed by the device")
        if head.seq < highest:
            raise FarhandError(
                "audit-cut",
                f"{what} ended at {head.seq} on {head.at}, but had record {highest} before",
                hint="the device was restored from a snapshot, or the end of its log was cut off",
            )
        highest = head.seq
    return wanted_hashes([*((one.seq, one.hash) for one in heads), *marks], what)


def check_log_file(path: Path, device: str, wanted: dict[int, str]) -> int:
    """Check a device's exported log and demand every head in it.

    Returns:
        How many records it has.

    Raises:
        UsageError: `audit-log-missing`.
        FarhandError: `audit-broken` where it does not follow; `audit-cut`, `audit-rewritten`.
    """
    what = f"the log of {device}"
    hashes: dict[int, str] = {}
    previous, seq = _FIRST, 0
    try:
        with path.open("rb") as lines:
            while line := lines.readline(MAX_LOG_LINE):
                seq += 1
                record = msgspec.json.decode(line, type=_LogRecord)
                body = [previous, seq, record.at, record.kind, record.detail]
                digest = hashlib.sha256(msgspec.json.encode(body)).hexdigest()
                if (record.seq, record.previous, record.hash) != (seq, previous, digest):
                    raise FarhandError("audit-broken", f"{what} breaks at record {seq}")
                previous = digest
                if seq in wanted:
                    hashes[seq] = digest
    except OSError as error:
        raise UsageError("audit-log-missing", f"{path} cannot be read") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FarhandError("audit-broken", f"record {seq} of {what} cannot be read") from error
    check_kept(wanted, hashes, what)
    return seq
