"""What the resident agent does about sessions: start unattended ones, stop any, bury the dead.

The registry is the journal (see farhand_agent.local); nothing of a session is parsed here.  A
session whose lock is free while the journal calls it live has lost its process: it is ended as
`interrupted`, with its report in the outbox, and never reopens.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import Final

import msgspec

from farhand_agent.child import command
from farhand_agent.config import Home, write_atomically
from farhand_agent.journal import Journal
from farhand_agent.journal_tables import SessionRow
from farhand_agent.journal_thread import JournalThread
from farhand_agent.locks import is_held
from farhand_agent.notices import say
from farhand_agent.processes import is_process, signal_process
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id
from farhand_protocol.messages import EndSession, OfferGrant

__all__ = ["SessionChildren", "stop_sessions"]

MAX_SESSIONS: Final = 8
_POLL_S: Final = 30.0


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
            write_atomically(path, message.envelope)
            self._children[session] = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [
                    *command("farhand_agent.session"),
                    "--home",
                    str(self._home.path),
                    "--grant",
                    str(path),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            say(f"{session} was not opened: {error}")

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
        return dropped

    async def run(self) -> None:
        """Bury sessions whose process died; runs until cancelled."""
        while True:
            self._wake.clear()
            self._reap()
            try:
                for row in await self._journal.do(lambda j: j.live_sessions()):
                    if not self._is_served(row):
                        await self._bury(row)
            except FarhandError as error:
                say(str(error))
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

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
        self._posted.set()

    async def close(self, timeout_s: float) -> None:
        """End the sessions that this agent started and wait for their processes a while."""
        self._reap()
        for session in self._children:
            await self.stop(session, reason="agent-stopped")
        # A child that has not journalled its session yet is asking for consent.
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
