"""The journal's tables, the rows that are read from them, and what its errors mean.

The fields of each row class stand in the order of the table's columns.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from farhand_agent.errors import JournalFull, JournalUnusable
from farhand_protocol.errors import FarhandError

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "OrderRow",
    "OutboxKind",
    "OutboxRow",
    "SessionRow",
    "journal_error",
    "session_row",
]

OutboxKind = Literal["progress", "result", "session"]

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
