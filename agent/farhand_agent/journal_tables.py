"""The journal's tables, the rows that are read from them, and what its errors mean.

The fields of each row class stand in the order of the table's columns.  What an outbox row says to
the relay is made here too, so that whoever posts a report and whoever sends it judge it alike.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from farhand_agent.audit import append_log
from farhand_agent.errors import JournalFull, JournalUnusable
from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import (
    DeviceMessage,
    HelpRequest,
    OrderProgress,
    ResultReport,
    SessionReport,
    decode_device_message,
    encode_message,
)

__all__ = [
    "ASIDE",
    "MAX_NOTE_CHARS",
    "SCHEMA",
    "SCHEMA_VERSION",
    "OrderRow",
    "OutboxKind",
    "OutboxRow",
    "SessionRow",
    "is_note",
    "journal_error",
    "open_to_read",
    "post_report",
    "progress_body",
    "report_message",
    "session_row",
    "set_aside",
]

OutboxKind = Literal["progress", "result", "session", "help"]
# Before the kind of an outbox row that can never be delivered; it is kept and not sent.
ASIDE: Final = "aside-"
MAX_NOTE_CHARS: Final = 4000
_MAX_ASIDE: Final = 100

SCHEMA_VERSION: Final = 1
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE orders (
  id TEXT PRIMARY KEY, state TEXT NOT NULL, envelope BLOB NOT NULL, payload_sha256 TEXT NOT NULL,
  operator TEXT NOT NULL, script TEXT NOT NULL, version INTEGER NOT NULL,
  accepted_at TEXT NOT NULL, started_at TEXT, ended_at TEXT, pid INTEGER, code TEXT, result BLOB
) WITHOUT ROWID;
CREATE INDEX orders_open ON orders (state, accepted_at);
CREATE TABLE refusals (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, payload_sha256 TEXT NOT NULL UNIQUE, id TEXT NOT NULL,
  code TEXT NOT NULL, at TEXT NOT NULL, result BLOB NOT NULL
);
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE sessions (
  id TEXT PRIMARY KEY, state TEXT NOT NULL, grant BLOB NOT NULL, operator TEXT NOT NULL,
  operator_key TEXT NOT NULL, organisation TEXT NOT NULL, ticket TEXT NOT NULL,
  scopes TEXT NOT NULL, expires TEXT NOT NULL, pid INTEGER NOT NULL, pid_started REAL NOT NULL,
  started_at TEXT NOT NULL, ended_at TEXT, reason TEXT
) WITHOUT ROWID;
CREATE TABLE sections (name TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 1), highest REAL NOT NULL);
CREATE TABLE log (
  seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
  previous TEXT NOT NULL, hash TEXT NOT NULL
);
INSERT INTO clock VALUES (1, 0);
"""


# What is posted as MessagePack of its fields; a result is posted as it is.
_KINDS: Final[dict[str, type[OrderProgress | SessionReport | HelpRequest]]] = {
    "progress": OrderProgress,
    "session": SessionReport,
    "help": HelpRequest,
}


class OrderRow(msgspec.Struct, frozen=True):
    """One accepted order; `code` says why it was refused or interrupted."""

    id: str
    state: str
    envelope: bytes
    payload_sha256: str
    operator: str
    script: str
    version: int
    accepted_at: str
    started_at: str | None
    ended_at: str | None
    pid: int | None
    code: str | None
    result: bytes | None


class OutboxRow(msgspec.Struct, frozen=True):
    """One report that the relay has not acknowledged.

    `subject` is the order or session; `body` the sealed Result of a `result`, else MessagePack of
    the message's fields.
    """

    seq: int
    kind: str
    subject: str
    body: bytes


class SessionRow(msgspec.Struct, frozen=True):
    """One session; `pid` and `pid_started` name the process that serves it."""

    id: str
    state: str
    grant: bytes
    operator: str
    operator_key: str
    organisation: str
    ticket: str
    scopes: list[str]
    expires: str
    pid: int
    pid_started: float
    started_at: str
    ended_at: str | None
    reason: str | None


def open_to_read(path: Path, *, timeout_s: float) -> sqlite3.Connection:
    """Open a journal that is only looked at, also where its folder cannot be written.

    Raises:
        sqlite3.Error: it cannot be read.
        JournalUnusable: it is of a version that is not known.
    """
    # A reader of a WAL journal makes two files beside it.  Where it cannot, and nothing waits in
    # the WAL, the file alone is the whole journal and nobody changes it (SQLite, "Write-Ahead
    # Logging", section 5).
    wal = path.with_name(f"{path.name}-wal")
    try:
        return _connect_to_read(path, "mode=ro", timeout_s)
    except sqlite3.OperationalError:
        if wal.exists() and wal.stat().st_size:
            raise
        return _connect_to_read(path, "mode=ro&immutable=1", timeout_s)


def _connect_to_read(path: Path, how: str, timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != SCHEMA_VERSION:
            raise JournalUnusable(f"version {version} is not known to this agent")
    except BaseException:
        connection.close()
        raise
    return connection


def is_note(text: str) -> bool:
    """Tell whether a relay stores this closing note (empty is no note, and is stored)."""
    return len(text) <= MAX_NOTE_CHARS and not any(
        (ord(one) < 32 and one not in "\n\t")
        or 0x7F <= ord(one) < 0xA0
        or "\ud800" <= one <= "\udfff"
        for one in text
    )


def report_message(row: OutboxRow, seq: int = 0) -> DeviceMessage:
    """Return the message of a report, after reading it as the relay will.

    A relay closes the link on a message that it cannot read, and a report is sent until it is
    acknowledged: one such report would keep the device away for ever.

    Args:
        row: as posted.
        seq: number of the message on its link.

    Raises:
        FarhandError: `report-malformed`; it can never be delivered.
    """
    try:
        message: DeviceMessage
        if row.kind == "result":
            message = ResultReport(seq=seq, order=row.subject, envelope=row.body)
        else:
            fields = msgspec.msgpack.decode(row.body, type=dict[str, Any])
            message = _KINDS[row.kind](**{**fields, "seq": seq})
        message = decode_device_message(encode_message(message))
    except (
        FarhandError,
        msgspec.MsgspecError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        why = error.detail if isinstance(error, FarhandError) else str(error)
        raise FarhandError(
            "report-malformed", "a report can never be delivered", detail=why
        ) from error
    if isinstance(message, SessionReport) and not is_note(message.note):
        raise FarhandError(
            "report-malformed", "a report can never be delivered", detail="its note is malformed"
        )
    return message


def session_row(row: tuple[Any, ...]) -> SessionRow:
    """Return a session from its columns, in order."""
    fields = dict(zip(SessionRow.__struct_fields__, row, strict=True))
    return SessionRow(**{**fields, "scopes": msgspec.json.decode(fields["scopes"])})


def journal_error(error: Exception, path: Path) -> FarhandError:
    """Turn an SQLite or file error into one of ours; ours pass through."""
    if isinstance(error, FarhandError):
        return error
    if isinstance(error, OSError):
        return JournalFull(str(error)) if error.errno in _NO_SPACE else JournalUnusable(str(error))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return JournalFull(str(error))
    if code == sqlite3.SQLITE_IOERR:
        # Where SQLite cannot even grow its shared-memory file it says "I/O error".
        space = os.statvfs(path.parent)
        if space.f_bavail * space.f_frsize < 128 * 1024:
            return JournalFull(str(error))
    return JournalUnusable(str(error))


def progress_body(order: str, state: str, at: str) -> bytes:
    """Return the outbox body of an order's progress."""
    return msgspec.msgpack.encode({"order": order, "state": state, "at": at})


def post_report(
    c: sqlite3.Connection, at: str, kind: OutboxKind, subject: str, body: bytes
) -> None:
    """Put a report into the outbox; one that can never be delivered is set aside at once."""
    done = c.execute(
        "INSERT INTO outbox (kind, subject, body) VALUES (?, ?, ?)", (kind, subject, body)
    )
    seq = done.lastrowid or 0
    try:
        report_message(OutboxRow(seq, kind, subject, body))
    except FarhandError:
        # A bug of ours; what it reports on has happened and is journalled all the same.
        set_aside(c, at, seq)


def set_aside(c: sqlite3.Connection, at: str, seq: int) -> None:
    """Keep a report out of the queue, with a log record; only the latest of them are kept."""
    rows = c.execute(
        "UPDATE outbox SET kind = ? || kind WHERE seq = ? AND kind NOT LIKE ?"
        " RETURNING substr(kind, ?), subject",
        (ASIDE, seq, f"{ASIDE}%", len(ASIDE) + 1),
    ).fetchall()
    if rows:
        detail = {"kind": rows[0][0], "subject": rows[0][1], "seq": seq}
        append_log(c, at, "report-malformed", detail)
    c.execute(
        "DELETE FROM outbox WHERE kind LIKE ? AND seq NOT IN"
        " (SELECT seq FROM outbox WHERE kind LIKE ? ORDER BY seq DESC LIMIT ?)",
        (f"{ASIDE}%", f"{ASIDE}%", _MAX_ASIDE),
    )
