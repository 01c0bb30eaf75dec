"""Scopes of an open session that are withdrawn or added, journalled before they count.

The journal's row of a session names the scopes that are open now.  Whoever withdraws one writes it
there first and then tells the session's process with SIGWITHDRAW, which reads the row and closes
what is no longer in it; so `farhand-agent stop --scope` works with and without a resident agent.
A row whose session has ended never changes.
"""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from farhand_agent.audit import append_log
from farhand_agent.journal import SESSION_GRANTED, SESSION_STOPPING, Journal
from farhand_agent.journal_tables import post_report, session_row
from farhand_agent.processes import signal_process

__all__ = [
    "SIGWITHDRAW",
    "add_scopes",
    "report_scopes",
    "withdraw_scopes",
    "withdraw_scopes_everywhere",
]

SIGWITHDRAW: Final = signal.SIGUSR1


def withdraw_scopes(journal: Journal, session: str, scopes: Iterable[str], *, by: str) -> list[str]:
    """Journal that scopes of one session are closed.

    Args:
        journal: of the home.
        session: its id.
        scopes: to be closed; those that are not open are left out.
        by: a stable word for the log: `person`, `policy`.

    Returns:
        The scopes that were open.
    """
    return _change(journal, session, set(scopes), (), kind="scope-withdrawn", detail={"by": by})


def add_scopes(
    journal: Journal,
    session: str,
    scopes: Iterable[str],
    *,
    forward: Iterable[str],
    report: bytes,
) -> None:
    """Journal that scopes of one session are opened, with the report to the relay.

    Args:
        journal: of the home.
        session: its id.
        scopes: that are added.
        forward: `host:port` destinations that are added.
        report: MessagePack of the SessionReport's fields.
    """
    detail = {"forward": sorted(forward)}
    _change(journal, session, set(), scopes, kind="scope-added", detail=detail, report=report)


def report_scopes(journal: Journal, *, session: str, report: bytes) -> None:
    """Post a report of what is open now, where the change itself was journalled without one."""
    at = journal.now_text()
    journal.commit(SESSION_STOPPING, lambda c: post_report(c, at, "session", session, report))


def withdraw_scopes_everywhere(
    journal: Journal, scopes: Iterable[str], *, by: str, session: str | None = None
) -> dict[str, list[str]]:
    """Close scopes of every live session, or of one, and tell the processes.

    Returns:
        The scopes that were closed, by session.
    """
    wanted = set(scopes)
    closed = {}
    for row in journal.live_sessions():
        if session is not None and row.id != session:
            continue
        if gone := withdraw_scopes(journal, row.id, wanted, by=by):
            closed[row.id] = gone
            signal_process(row.pid, row.pid_started, SIGWITHDRAW)
    return closed


def _change(
    journal: Journal,
    session: str,
    without: set[str],
    more: Iterable[str],
    *,
    kind: str,
    detail: Mapping[str, object],
    report: bytes | None = None,
) -> list[str]:
    at = journal.now_text()
    added = list(more)

    def act(c: sqlite3.Connection) -> list[str]:
        rows = c.execute(
            "SELECT * FROM sessions WHERE id = ? AND state = 'active'", (session,)
        ).fetchall()
        if not rows:
            return []
        before = list(session_row(rows[0]).scopes)
        gone = [scope for scope in before if scope in without]
        after = [scope for scope in before if scope not in without]
        after += [scope for scope in added if scope not in after]
        if not gone and not added:
            return []
        c.execute(
            "UPDATE sessions SET scopes = ? WHERE id = ?",
            (msgspec.json.encode(after).decode(), session),
        )
        append_log(c, at, kind, {"session": session, "scopes": gone or added, **detail})
        if report is not None:
            post_report(c, at, "session", session, report)
        return gone

    return journal.commit(SESSION_GRANTED if added else SESSION_STOPPING, act)
