"""What the resident agent does about sessions: start unattended ones, stop any, revive the dead.

The registry is the journal (see farhand_agent.local); nothing of a session is parsed here.

    lock held                            served, by whomever
    lock free, the journal says live     another process is started for it (`--resume`): it goes on
                                         under the same grant and consent, or (expired, stopped,
                                         policy changed) ends with the receipt of what was done
    that came to nothing MAX_TRIES times ended as `interrupted`, with its report in the outbox

An ended session never reopens.  When the agent itself stops, its sessions' processes go and the
sessions stay: they go on when it starts again.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections import Counter
from typing import Final

import msgspec

from farhand_agent.config import Home, write_atomically
from farhand_agent.journal import Journal
from farhand_agent.journal_tables import SessionRow
from farhand_agent.journal_thread import JournalThread
from farhand_agent.locks import is_held
from farhand_agent.notices import say
from farhand_agent.processes import command, is_process, signal_process
from farhand_agent.scope_changes import SIGWITHDRAW
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id
from farhand_protocol.messages import EndSession, OfferGrant

__all__ = ["SessionChildren", "stop_sessions"]

MAX_SESSIONS: Final = 8
MAX_TRIES: Final = 3
_POLL_S: Final = 30.0
# While a session runs here, the end of its process is noticed this soon.
_CHILD_POLL_S: Final = 1.0


def stop_sessions(journal: Journal, *, reason: str, session: str | None = None) -> list[str]:
    """Journal that sessions stop, then tell their processes; works without a resident agent.

    Args:
        journal: of the home.
        reason: a stable word for the receipt.
        session: only this one.

    Returns:
        The sessions that were live.
    """
    stopped = []
    for row in journal.live_sessions():
        if session is not None and row.id != session:
            continue
        journal.stop_session(row.id, reason)
        signal_process(row.pid, row.pid_started, signal.SIGTERM)
        stopped.append(row.id)
    return stopped


class SessionChildren:
    """Runs as one task of the resident agent."""

    def __init__(self, home: Home, journal: JournalThread, posted: asyncio.Event) -> None:
        self._home = home
        self._journal = journal
        self._posted = posted
        self._wake = asyncio.Event()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._tries: Counter[str] = Counter()
        self._is_closing = False

    def wake(self) -> None:
        """Look into the journal soon."""
        self._wake.set()

    async def offer(self, message: OfferGrant) -> None:
        """Start a session process for a sealed grant; it checks the grant and may refuse it."""
        session = message.session
        self._reap()
        if not is_session_id(session) or session in self._children:
            return
        if await self._journal.do(lambda j: j.session(session)) is not None:
            return  # a replay; an ended grant never reopens
        if len(self._children) >= MAX_SESSIONS:
            say(f"{session} was not opened: too many sessions")
            return
        path = self._home.sessions / f"{session}.grant"
        try:
            approvals = b"".join(one + b"\n" for one in message.approvals)
            if approvals:
                write_atomically(self._home.session_approvals(session), approvals)
            write_atomically(path, message.envelope)
            self._start(session, "--grant", str(path))
        except OSError as error:
            say(f"{session} was not opened: {error}")

    def _start(self, session: str, *how: str) -> None:
        self._children[session] = subprocess.Popen(
            [*command("farhand_agent.session"), "--home", str(self._home.path), *how],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.wake()  # its end is looked for from now on

    async def end(self, message: EndSession) -> None:
        """The relay ends a session; that it may always do."""
        await self.stop(message.session, reason="ended-by-relay")

    async def stop(self, session: str | None, *, reason: str) -> list[str]:
        """Stop one session or all; returns those that were live."""
        return await self._journal.do(lambda j: stop_sessions(j, reason=reason, session=session))

    async def drop_operators(self, keys: set[str], *, reason: str) -> list[str]:
        """End the sessions of everybody who is not in the roster any more.

        Args:
            keys: hex of every operator key that is.
            reason: a stable word for the receipt.
        """
        dropped = []
        for row in await self._journal.do(lambda j: j.live_sessions()):
            if row.operator_key not in keys:
                dropped += await self.stop(row.id, reason=reason)
            else:
                # Others may have joined it, whom only its own process knows.
                signal_process(row.pid, row.pid_started, SIGWITHDRAW)
        return dropped

    async def run(self) -> None:
        """Revive sessions whose process died; runs until cancelled."""
        while True:
            self._wake.clear()
            self._reap()
            try:
                for row in await self._journal.do(lambda j: j.live_sessions()):
                    if row.id not in self._children and not self._is_served(row):
                        await self._revive(row)
            except FarhandError as error:
                say(str(error))
            try:
                async with asyncio.timeout(_CHILD_POLL_S if self._children else _POLL_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _revive(self, row: SessionRow) -> None:
        """Start another process for a session; one that cannot be served is buried."""
        if self._is_closing or len(self._children) >= MAX_SESSIONS:
            return
        if self._tries[row.id] >= MAX_TRIES or not is_session_id(row.id):
            await self._bury(row)
            return
        self._tries[row.id] += 1
        try:
            self._start(row.id, "--resume", row.id)
        except OSError as error:
            say(f"{row.id} was not taken up again: {error}")
            return
        if row.state == "active":
            say(f"session {row.id} goes on; farhand-agent stop ends it")

    def _is_served(self, row: SessionRow) -> bool:
        return is_held(self._home.session_lock(row.id)) or is_process(row.pid, row.pid_started)

    async def _bury(self, row: SessionRow) -> None:
        report = msgspec.msgpack.encode(
            {
                "session": row.id,
                "state": "ended",
                "reason": row.reason or "interrupted",
                "started_at": row.started_at,
            }
        )
        await self._journal.do(lambda j: j.end_session(row.id, reason="interrupted", report=report))
        self._home.session_lock(row.id).unlink(missing_ok=True)
        self._home.session_approvals(row.id).unlink(missing_ok=True)
        self._home.session_before(row.id).unlink(missing_ok=True)
        self._posted.set()

    async def close(self, timeout_s: float) -> None:
        """Let go of the sessions that run here and wait for their processes a while.

        A child that has not journalled its session yet is asking for consent, and ends.
        """
        self._is_closing = True
        self._reap()
        for child in self._children.values():
            child.send_signal(signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._children and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
            self._reap()
        for child in self._children.values():
            child.kill()
            child.wait()
        self._children.clear()

    def _reap(self) -> None:
        for session, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[session]
                (self._home.sessions / f"{session}.grant").unlink(missing_ok=True)
