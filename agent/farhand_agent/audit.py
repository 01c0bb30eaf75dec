"""The device's own log: what was done here and by whom, as a hash chain.

Each record's hash covers the hash before it, so that none can be changed, dropped or put in later
without breaking all that follow.  A root user on the device can still write a whole new chain; the
log answers honest questions, it is not evidence against the machine's owner.

The records live in the journal's `log` table (farhand_agent.journal appends them in the
same transaction as the act they describe); this module holds the record, its hash, how one is
appended, and the check.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = ["FIRST_HASH", "LogRecord", "append_log", "chain_hash", "check_record", "verify_chain"]

FIRST_HASH = "0" * 64


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log; `detail` is canonical JSON text."""

    seq: int
    at: str
    kind: str
    detail: str
    previous: str
    hash: str


def chain_hash(previous: str, seq: int, at: str, kind: str, detail: str) -> str:
    """Return the hex hash of a record that follows one with hash `previous`."""
    body = msgspec.json.encode([previous, seq, at, kind, detail])
    return hashlib.sha256(body).hexdigest()


def verify_chain(records: Iterable[LogRecord]) -> None:
    """Check a chain from its first record.

    Raises:
        FarhandError: `log-broken`, naming the first record that does not follow.
    """
    previous = FIRST_HASH
    for seq, record in enumerate(records, start=1):
        check_record(record, seq, previous)
        previous = record.hash


def check_record(record: LogRecord, seq: int, previous: str) -> None:
    """Check that a record is number `seq` and follows the one with hash `previous`.

    Raises:
        FarhandError: `log-broken`.
    """
    expected = chain_hash(previous, seq, record.at, record.kind, record.detail)
    if record.seq != seq or record.previous != previous or record.hash != expected:
        raise FarhandError(
            "log-broken",
            f"record {record.seq} of the device's log does not follow from those before it",
            hint="the journal was changed by something other than the agent",
        )


def append_log(c: sqlite3.Connection, at: str, kind: str, detail: dict[str, Any]) -> None:
    """Append a record to the device's log, within the transaction of what it tells."""
    last = c.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = (last[0] + 1, last[1]) if last else (1, FIRST_HASH)
    text = msgspec.json.encode(detail, order="sorted").decode()
    c.execute(
        "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)",
        (seq, at, kind, text, previous, chain_hash(previous, seq, at, kind, text)),
    )
