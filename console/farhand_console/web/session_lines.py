"""One SSH connection per session, shared by what the page does in it, in however many tabs.

    nobody uses it       kept for `GRACE_S`, so that a reload does not sign in again, then closed
    the line is down     the pipe under it holds on; users hear it as a line of words
    the device's side    what ran there is gone: users get `session-restarted`, and the next one
    was restarted        opens another connection under the same consent
    the session is over  users get `session-ended`, in words

A connection is opened and closed by one task of its own, because its pipe lives in a task group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import asyncssh
from litestar import Litestar

from farhand_console.home import Home
from farhand_console.relay import connect_signed_in
from farhand_console.session.record import SessionRecord, load
from farhand_console.session.scopes import not_open
from farhand_console.session.ssh import connect_ssh
from farhand_console.web.sockets import first_of
from farhand_protocol.errors import FarhandError

__all__ = ["GRACE_S", "MAX_SESSION_LINES", "SessionLine", "SessionLines", "hold_lines"]

MAX_SESSION_LINES: Final = 32
GRACE_S: Final = 20.0
_log = logging.getLogger(__name__)
Notice = Callable[[str], None]


class SessionLine:
    """The connection of one session."""

    def __init__(self) -> None:
        self.is_over = False
        self.listeners: set[Notice] = set()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._record: SessionRecord | None = None
        self._sftp: asyncssh.SFTPClient | None = None
        self._opening = asyncio.Lock()
        self._error: FarhandError | None = None
        self._ready, self._ended = asyncio.Event(), asyncio.Event()
        self._users = 0
        self._taken, self._free = asyncio.Event(), asyncio.Event()

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        """The open connection."""
        assert self._connection is not None
        return self._connection

    @property
    def record(self) -> SessionRecord:
        """What this console keeps of the session."""
        assert self._record is not None
        return self._record

    async def sftp(self) -> asyncssh.SFTPClient:
        """Return the one SFTP channel; paths on it are bytes.

        Raises:
            FarhandError: `scope-missing`, `session-lost`.
        """
        async with self._opening:
            if self._sftp is None:
                try:
                    self._sftp = await self.connection.start_sftp_client(path_encoding=None)
                except asyncssh.ChannelOpenError as error:
                    raise not_open("files", error) from error
                except (asyncssh.Error, OSError) as error:
                    raise await self.reason(error) from error
            return self._sftp

    async def reason(self, error: Exception | None = None) -> FarhandError:
        """Return why the connection has gone, as whoever kept it found out; waits a moment."""
        try:
            async with asyncio.timeout(5):
                await self._ended.wait()
        except TimeoutError:
            detail = str(error) if error else None
            return FarhandError("session-lost", "the device gave no answer", detail=detail)
        return self._error or FarhandError("session-lost", "the line to the device was closed")

    def say(self, words: str) -> None:
        """Pass a line of words on to everybody who uses the connection."""
        for one in list(self.listeners):
            one(words)

    def enter(self) -> None:
        """Count one user more."""
        self._users += 1
        self._free.clear()
        self._taken.set()

    def leave(self) -> None:
        """Count one user less."""
        self._users -= 1
        if not self._users:
            self._taken.clear()
            self._free.set()

    async def opened(self) -> None:
        """Wait until the connection stands.

        Raises:
            FarhandError: what kept it from being opened.
        """
        await self._ready.wait()
        if self._connection is None:
            raise await self.reason()

    def begin(self, connection: asyncssh.SSHClientConnection, record: SessionRecord) -> None:
        """Hand the connection to whoever waits for it."""
        self._connection, self._record = connection, record
        self._ready.set()

    def end(self, error: FarhandError | None) -> None:
        """Say that the connection has gone, and why."""
        self.is_over, self._error = True, error
        self._ended.set()
        self._ready.set()

    async def unused(self, grace_s: float) -> None:
        """Return when nobody has used it for that long; from then on nobody may."""
        while True:
            await self._free.wait()
            try:
                async with asyncio.timeout(grace_s):
                    await self._taken.wait()
            except TimeoutError:
                if not self._users:
                    self.is_over = True
                    return


class SessionLines:
    """Every session that the page works in.

    Args:
        home: of this console.
        group: in which the connections live.
        grace_s: for how long one stays that nobody uses.
    """

    def __init__(self, home: Home, group: asyncio.TaskGroup, *, grace_s: float = GRACE_S) -> None:
        self._home = home
        self._group = group
        self._grace_s = grace_s
        self._lines: dict[str, SessionLine] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def use(self, session: str, notice: Notice | None = None) -> AsyncIterator[SessionLine]:
        """Use the session's connection, which is opened where there is none.

        Args:
            session: its id.
            notice: takes lines of words about the line, such as that it is down.

        Raises:
            FarhandError: as `connect_ssh`, `session-unknown`, `web-busy`.
        """
        line = self._lines.get(session)
        if line is None or line.is_over:
            if len(self._lines) >= MAX_SESSION_LINES:
                raise FarhandError(
                    "web-busy", f"this console works in {MAX_SESSION_LINES} sessions already"
                )
            line = self._lines[session] = SessionLine()
            task = self._group.create_task(self._keep(session, line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        line.enter()
        if notice is not None:
            line.listeners.add(notice)
        try:
            await line.opened()
            yield line
        finally:
            if notice is not None:
                line.listeners.discard(notice)
            line.leave()

    def close(self) -> None:
        """Give all of them up."""
        for task in self._tasks:
            task.cancel()

    async def _keep(self, session: str, line: SessionLine) -> None:
        error: FarhandError | None = None
        try:
            await self._hold(session, line)
        except Exception as caught:
            error = _told(caught)
        finally:
            line.end(error)
            if self._lines.get(session) is line:
                del self._lines[session]

    async def _hold(self, session: str, line: SessionLine) -> None:
        record = await asyncio.to_thread(load, self._home, session)
        _, relay = await asyncio.to_thread(connect_signed_in, self._home)
        try:
            async with connect_ssh(self._home, relay, record, notice=line.say) as connection:
                line.begin(connection, record)
                await first_of(connection.wait_closed(), line.unused(self._grace_s))
                if not line.is_over:
                    # `connect_ssh` says what became of the session, where it knows.
                    raise FarhandError("session-lost", "the line to the device was closed")
        finally:
            await asyncio.to_thread(relay.close)


def _told(caught: Exception) -> FarhandError:
    """Return what to tell the users of a connection that ended by this."""
    if isinstance(caught, FarhandError):
        return caught
    if isinstance(caught, ExceptionGroup):
        for one in caught.exceptions:
            if (told := _told(one)).code != "session-lost":
                return told
    elif not isinstance(caught, asyncssh.Error | OSError | EOFError):
        _log.error("a session's connection ended by a fault of ours", exc_info=caught)
    return FarhandError("session-lost", "the line to the device broke", detail=str(caught))


def hold_lines(home: Home) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Return the part of the application's life in which sessions are connected."""

    @asynccontextmanager
    async def held(app: Litestar) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            app.state.session_lines = lines = SessionLines(home, group)
            try:
                yield
            finally:
                lines.close()

    return held
