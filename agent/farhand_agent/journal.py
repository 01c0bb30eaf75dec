"""The journal: what this device accepted, did, and still has to report.  SQLite in one file.

The agent journals before it acts.  Several processes write here at once (the resident agent, the
script runners, session processes, the command line); SQLite in WAL mode with synchronous=FULL makes
each write one transaction that is on the disk when the call returns, and kill -9 at any moment
leaves the state before or after it.  Nothing here does I/O other than SQLite, and nothing decides.

Every write goes through `Journal.commit` under its write point: where a crash is interesting.

    order:   accepted -> running -> succeeded | failed | timeout | interrupted
                      -> cancelled | refused | expired          (before the body started)
    session: active -> active                                   (another process serves it)
                    -> stopping -> ended                        (neither ever reopens)

A final state is written together with its report in the outbox, and a row leaves the outbox only
when the relay has acknowledged it.  Time is the later of the clock and the highest time ever seen.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from farhand_agent.audit import FIRST_HASH, LogRecord, append_log
from farhand_agent.errors import JournalUnusable
from farhand_agent.journal_tables import (
    ASIDE,
    SCHEMA,
    SCHEMA_VERSION,
    OrderRow,
    OutboxKind,
    OutboxRow,
    SessionRow,
    journal_error,
    open_to_read,
    post_report,
    progress_body,
    session_row,
    set_aside,
)
from farhand_agent.write_points import (
    CLOCK_RAISED,
    LOG_WRITTEN,
    META_SET,
    OFFER_REFUSED,
    ORDER_ACCEPTED,
    ORDER_FINAL,
    ORDER_RUNNING,
    OUTBOX_ACKED,
    SECTION_ACKED,
    SESSION_ENDED,
    SESSION_GRANTED,
    SESSION_RESUMED,
    SESSION_STOPPING,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix

__all__ = [
    "SESSION_GRANTED",
    "SESSION_STOPPING",
    "Journal",
    "OrderRow",
    "OutboxKind",
    "OutboxRow",
    "SessionRow",
]

_BUSY_TIMEOUT_S = 20.0
# Refusals of statements that nobody signed are remembered only so far; a hostile relay can fill
# this ring and nothing else.
_MAX_REFUSALS = 5_000
T = TypeVar("T")


class Journal:
    """An open journal; not to be shared between threads at the same time.

    Args:
        path: the file; made with its tables if `create` is set and it is not there.
        create: whether a missing journal may be made.
        read_only: for looking only, where nothing can or may be written; a write then fails.
        clock: Unix seconds; injected by tests.

    Raises:
        JournalUnusable: missing (and `create` is not set), damaged, or of a newer version.
        JournalFull: the disk is full.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._clock = clock
        if not create and not path.exists():
            raise FarhandError(
                "journal-missing",
                "this device has lost its journal, so it cannot know what it has already done",
                hint="enrol it again with a new token and --again; it takes a new key",
            )
        try:
            if read_only:
                self._connection = open_to_read(path, timeout_s=_BUSY_TIMEOUT_S)
                return
            # The umask of whoever starts the agent must not decide who reads the journal.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError, FarhandError) as error:
            raise journal_error(error, path) from error
        try:
            self._prepare()
        except (sqlite3.Error, FarhandError) as error:
            self._connection.close()
            raise journal_error(error, path) from error

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA cache_size = -256")
        version = run("PRAGMA user_version").fetchone()[0]
        if version == 0:
            run("BEGIN IMMEDIATE")
            try:
                # Two processes may meet here; the second finds the work done.
                if run("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in SCHEMA.split(";\n"):
                        if statement.strip():
                            run(statement)
                    run(f"PRAGMA user_version = {SCHEMA_VERSION}")
                run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    run("ROLLBACK")
                raise
        elif version != SCHEMA_VERSION:
            raise JournalUnusable(f"version {version} is not known to this agent")

    def close(self) -> None:
        """Close the file; every write is on the disk already."""
        self._connection.close()

    def commit(self, point: str, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run `act` in one durable transaction, the write point `point`.

        Args:
            point: one of `write_points`; tests end the process before or after it.
            act: SQL on the connection it is given, nothing else.

        Raises:
            JournalFull, JournalUnusable: nothing was written.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                outcome = act(connection)
                connection.execute(
                    "UPDATE clock SET highest = ? WHERE highest < ?", (self._clock(),) * 2
                )
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise journal_error(error, self._path) from error
        return outcome

    def _rows(self, sql: str, *arguments: object) -> list[Any]:
        try:
            with closing(self._connection.execute(sql, arguments)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise journal_error(error, self._path) from error

    # Time.

    def now(self) -> datetime:
        """Return the later of the clock and the highest time this device has seen."""
        (highest,) = self._rows("SELECT highest FROM clock")[0]
        return from_unix(max(self._clock(), highest))

    def now_text(self) -> str:
        """Return `now` as RFC 3339."""
        return format_instant(self.now())

    def raise_clock(self) -> None:
        """Remember the present time, so that a clock set back later is noticed."""
        self.commit(CLOCK_RAISED, lambda _: None)

    # Facts about the journal itself.

    def meta(self, key: str) -> str | None:
        """Return a stored fact, such as the device the journal belongs to."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    def set_meta(self, key: str, value: str, *, kind: str = "", **detail: object) -> None:
        """Store a fact, with a log record in the same transaction where `kind` is given."""
        at = self.now_text()

        def act(c: sqlite3.Connection) -> None:
            c.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
            if kind:
                append_log(c, at, kind, detail)

        self.commit(META_SET, act)

    # The device's log.

    def log(self, kind: str, **detail: object) -> None:
        """Append one record to the device's hash-chained log."""
        at = self.now_text()
        self.commit(LOG_WRITTEN, lambda c: append_log(c, at, kind, detail))

    def log_records(self, *, after: int = 0, limit: int = 1000) -> list[LogRecord]:
        """Return records in order, those with a higher `seq` than `after`."""
        rows = self._rows(
            "SELECT seq, at, kind, detail, previous, hash FROM log WHERE seq > ? ORDER BY seq"
            " LIMIT ?",
            after,
            limit,
        )
        return [
            LogRecord(seq=r[0], at=r[1], kind=r[2], detail=r[3], previous=r[4], hash=r[5])
            for r in rows
        ]

    def log_head(self) -> tuple[int, str]:
        """Return the newest record's number and hash; (0, 64 zeros) of an empty log."""
        rows = self._rows("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1")
        return (rows[0][0], rows[0][1]) if rows else (0, FIRST_HASH)

    def latest_log_records(self, limit: int) -> list[LogRecord]:
        """Return the last records, oldest first."""
        (highest,) = self._rows("SELECT coalesce(max(seq), 0) FROM log")[0]
        return self.log_records(after=max(0, highest - limit), limit=limit)

    # Orders.

    def order(self, order: str) -> OrderRow | None:
        """Return an accepted order, however it ended."""
        rows = self._rows("SELECT * FROM orders WHERE id = ?", order)
        return OrderRow(*rows[0]) if rows else None

    def open_orders(self) -> list[OrderRow]:
        """Return accepted and running orders, oldest first."""
        rows = self._rows(
            "SELECT * FROM orders WHERE state IN ('accepted', 'running') ORDER BY accepted_at, id"
        )
        return [OrderRow(*row) for row in rows]

    def accept_order(
        self,
        order: str,
        *,
        envelope: bytes,
        payload_sha256: str,
        operator: str,
        script: str,
        version: int,
    ) -> bool:
        """Journal an order as accepted, with its progress report; False when the id is known."""
        at = self.now_text()

        def act(c: sqlite3.Connection) -> bool:
            done = c.execute(
                "INSERT OR IGNORE INTO orders (id, state, envelope, payload_sha256, operator,"
                " script, version, accepted_at) VALUES (?, 'accepted', ?, ?, ?, ?, ?, ?)",
                (order, envelope, payload_sha256, operator, script, version, at),
            )
            if done.rowcount != 1:
                return False
            append_log(
                c,
                at,
                "order-accepted",
                {"order": order, "script": script, "version": version, "operator": operator},
            )
            post_report(c, at, "progress", order, progress_body(order, "accepted", at))
            return True

        return self.commit(ORDER_ACCEPTED, act)

    def start_order(self, order: str, *, pid: int) -> bool:
        """Journal that the body is about to start; only the first caller gets True, ever."""
        at = self.now_text()

        def act(c: sqlite3.Connection) -> bool:
            done = c.execute(
                "UPDATE orders SET state = 'running', started_at = ?, pid = ?"
                " WHERE id = ? AND state = 'accepted'",
                (at, pid, order),
            )
            if done.rowcount != 1:
                return False
            append_log(c, at, "order-running", {"order": order})
            post_report(c, at, "progress", order, progress_body(order, "running", at))
            return True

        return self.commit(ORDER_RUNNING, act)

    def finish_order(
        self,
        order: str,
        *,
        state: str,
        result: bytes,
        code: str | None = None,
        expected: tuple[str, ...] = ("running",),
    ) -> bool:
        """Journal a final state and its sealed result, and post the result in the outbox.

        Args:
            order: its id.
            state: the final state.
            result: the sealed Result.
            code: why it was refused, cancelled or interrupted.
            expected: one or two states from which it may go there; in any other nothing happens.

        Returns:
            Whether this call ended the order.
        """
        at = self.now_text()

        def act(c: sqlite3.Connection) -> bool:
            done = c.execute(
                "UPDATE orders SET state = ?, ended_at = ?, code = ?, result = ?, pid = NULL"
                " WHERE id = ? AND state IN (?, ?)",
                (state, at, code, result, order, expected[0], expected[-1]),
            )
            if done.rowcount != 1:
                return False
            append_log(c, at, "order-final", {"order": order, "state": state, "code": code})
            post_report(c, at, "result", order, result)
            return True

        return self.commit(ORDER_FINAL, act)

    def refuse_offer(
        self, order: str, *, payload_sha256: str, code: str, result: bytes, remember: bool = True
    ) -> bool:
        """Journal the refusal of an offer that was never accepted, and post its result.

        Args:
            order: the id in it, or the one the relay gave.
            payload_sha256: of the signed payload; the same payload is never accepted later.
            code: the refusal.
            result: the sealed Result.
            remember: False where the same offer may well be accepted later (`order-early`).

        Returns:
            False, with nothing written, where an order of this id was accepted (meanwhile, too).
        """
        at = self.now_text()

        def act(c: sqlite3.Connection) -> bool:
            if c.execute("SELECT 1 FROM orders WHERE id = ?", (order,)).fetchone():
                return False
            if remember:
                done = c.execute(
                    "INSERT OR IGNORE INTO refusals (payload_sha256, id, code, at, result)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (payload_sha256, order, code, at, result),
                )
                if done.rowcount == 1:
                    append_log(c, at, "order-refused", {"order": order, "code": code})
                c.execute(
                    "DELETE FROM refusals WHERE seq <= (SELECT max(seq) FROM refusals) - ?",
                    (_MAX_REFUSALS,),
                )
            c.execute("DELETE FROM outbox WHERE kind = 'result' AND subject = ?", (order,))
            post_report(c, at, "result", order, result)
            return True

        return self.commit(OFFER_REFUSED, act)

    def refusal(self, payload_sha256: str) -> tuple[str, bytes] | None:
        """Return code and sealed result of a remembered refusal."""
        rows = self._rows(
            "SELECT code, result FROM refusals WHERE payload_sha256 = ?", payload_sha256
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def repost_result(self, order: str, result: bytes) -> None:
        """Post a final result once more, for a relay that asks again; one copy at most."""

        at = self.now_text()

        def act(c: sqlite3.Connection) -> None:
            c.execute("DELETE FROM outbox WHERE kind = 'result' AND subject = ?", (order,))
            post_report(c, at, "result", order, result)

        self.commit(OFFER_REFUSED, act)

    # The outbox.

    def outbox(self, *, after: int = 0, limit: int = 16) -> list[OutboxRow]:
        """Return unacknowledged reports in the order they were posted, without those set aside."""
        rows = self._rows(
            "SELECT seq, kind, subject, body FROM outbox WHERE seq > ? AND kind NOT LIKE ?"
            " ORDER BY seq LIMIT ?",
            after,
            f"{ASIDE}%",
            limit,
        )
        return [OutboxRow(*row) for row in rows]

    def acknowledge(self, seq: int, *, refused: str | None = None, ref: str = "") -> None:
        """Drop a report that the relay stored (as `ref`), or (with a code) refused for good."""
        at = self.now_text()

        def act(c: sqlite3.Connection) -> None:
            rows = c.execute("SELECT kind, subject FROM outbox WHERE seq = ?", (seq,)).fetchall()
            c.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
            for kind, subject in rows:
                if refused:
                    detail = {"kind": kind, "subject": subject, "code": refused}
                    append_log(c, at, "report-refused", detail)
                elif kind == "help":
                    append_log(c, at, "help-taken", {"id": subject, "ticket": ref})

        self.commit(OUTBOX_ACKED, act)

    def set_aside(self, seq: int) -> None:
        """Keep a report that can never be delivered, so that it holds up none behind it."""
        self.commit(OUTBOX_ACKED, lambda c: set_aside(c, self.now_text(), seq))

    # Sessions.

    def grant_session(
        self,
        session: str,
        *,
        grant: bytes,
        operator: str,
        operator_key: bytes,
        organisation: str,
        ticket: str,
        scopes: Iterable[str],
        expires: str,
        pid: int,
        pid_started: float,
        report: bytes | None = None,
    ) -> None:
        """Journal a consented session before anything is opened.

        Args:
            session: its id.
            grant: the sealed grant, canonical bytes.
            operator, operator_key, organisation, ticket, scopes, expires: as granted.
            pid, pid_started: the session process (`processes.started_at`).
            report: MessagePack of the SessionReport's fields, posted in the outbox.

        Raises:
            FarhandError: `grant-replayed` when there ever was a session of this id.
        """
        at = self.now_text()
        scope_text = msgspec.json.encode(list(scopes)).decode()

        def act(c: sqlite3.Connection) -> None:
            done = c.execute(
                "INSERT OR IGNORE INTO sessions VALUES"
                " (?, 'active', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (
                    session,
                    grant,
                    operator,
                    operator_key.hex(),
                    organisation,
                    ticket,
                    scope_text,
                    expires,
                    pid,
                    pid_started,
                    at,
                ),
            )
            if done.rowcount != 1:
                raise FarhandError("grant-replayed", "this session was opened before")
            detail = {"session": session, "operator": operator, "organisation": organisation}
            append_log(
                c, at, "session-granted", {**detail, "ticket": ticket, "scopes": list(scopes)}
            )
            if report is not None:
                post_report(c, at, "session", session, report)

        self.commit(SESSION_GRANTED, act)

    def resume_session(self, session: str, *, pid: int, pid_started: float) -> bool:
        """Journal that another process serves an active session from now on.

        Args:
            session: its id.
            pid, pid_started: the new session process (`processes.started_at`).

        Returns:
            False when it is being stopped or has ended, and must not be opened.
        """
        at = self.now_text()

        def act(c: sqlite3.Connection) -> bool:
            done = c.execute(
                "UPDATE sessions SET pid = ?, pid_started = ? WHERE id = ? AND state = 'active'",
                (pid, pid_started, session),
            )
            if done.rowcount == 1:
                append_log(c, at, "session-resumed", {"session": session})
            return done.rowcount == 1

        return self.commit(SESSION_RESUMED, act)

    def stop_session(self, session: str, reason: str) -> bool:
        """Journal the wish to end a session, before its process is told; False when it ended."""
        at = self.now_text()

        def act(c: sqlite3.Connection) -> bool:
            done = c.execute(
                "UPDATE sessions SET state = 'stopping', reason = ?"
                " WHERE id = ? AND state = 'active'",
                (reason, session),
            )
            if done.rowcount == 1:
                append_log(c, at, "session-stopping", {"session": session, "reason": reason})
            return done.rowcount == 1

        return self.commit(SESSION_STOPPING, act)

    def end_session(self, session: str, *, reason: str, report: bytes | None) -> bool:
        """Journal the end of a session; False when it had ended.

        Args:
            session: its id.
            reason: a stable word; that of an earlier `stop_session` is kept instead.
            report: MessagePack of the SessionReport's fields, posted in the outbox.
        """
        at = self.now_text()

        def act(c: sqlite3.Connection) -> bool:
            done = c.execute(
                "UPDATE sessions SET state = 'ended', ended_at = ?, reason = coalesce(reason, ?)"
                " WHERE id = ? AND state != 'ended'",
                (at, reason, session),
            )
            if done.rowcount != 1:
                return False
            append_log(c, at, "session-ended", {"session": session, "reason": reason})
            if report is not None:
                post_report(c, at, "session", session, report)
            return True

        return self.commit(SESSION_ENDED, act)

    def session(self, session: str) -> SessionRow | None:
        """Return a session, ended or not."""
        rows = self._rows("SELECT * FROM sessions WHERE id = ?", session)
        return session_row(rows[0]) if rows else None

    def live_sessions(self) -> list[SessionRow]:
        """Return sessions that have not ended, oldest first."""
        rows = self._rows("SELECT * FROM sessions WHERE state != 'ended' ORDER BY started_at, id")
        return [session_row(row) for row in rows]

    # Inventory.

    def section_hashes(self) -> dict[str, str]:
        """Return the hash of each section that the relay has acknowledged."""
        return dict(self._rows("SELECT name, hash FROM sections"))

    def acknowledge_sections(self, hashes: dict[str, str]) -> None:
        """Remember that the relay holds these sections with these hashes."""

        def act(c: sqlite3.Connection) -> None:
            c.executemany("INSERT OR REPLACE INTO sections VALUES (?, ?)", hashes.items())

        self.commit(SECTION_ACKED, act)

    def forget_sections(self, names: Iterable[str]) -> None:
        """Forget what the relay says it does not hold, so that it is sent whole again."""

        def act(c: sqlite3.Connection) -> None:
            c.executemany("DELETE FROM sections WHERE name = ?", [(name,) for name in names])

        self.commit(SECTION_ACKED, act)
