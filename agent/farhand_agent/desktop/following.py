"""The sessions that the page shows: begun here or elsewhere, followed over the local socket.

    watch NAME      a session process says that it began (session/watched.py)   -> followed
    found           an open session that began before this page                 -> followed
    begin()         this page starts a session process for a code; the process ends with the page

Each is followed by one task that asks for the next events until there are none.  What the person
wants goes the same way back; a decision counts once, wherever else it could have been taken.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from farhand_agent import local
from farhand_agent.config import Home
from farhand_agent.desktop.view import SessionView
from farhand_agent.errors import AgentNotRunning
from farhand_agent.journal import Journal
from farhand_agent.people.session_socket import ask_process
from farhand_agent.processes import command as child_command
from farhand_agent.session.events import decode_event
from farhand_agent.session_children import stop_sessions
from farhand_protocol.errors import FarhandError, RefusedError, RemoteError

__all__ = ["MAX_FOLLOWED", "Following"]

_log = logging.getLogger(__name__)

MAX_FOLLOWED: Final = 16
_NAME: Final = re.compile(r"watch-[0-9a-f]{16}\Z")
# A process that was started here and says nothing within this came to nothing.
_BEGIN_S: Final = 30.0
_GRACE_S: Final = 10.0


class Following:
    """All sessions of one page.

    Args:
        home: of the agent.
        group: where the tasks run.
        changed: is told of each change, with the view that changed.
    """

    # Why a Stop did not count, until somebody has been told.
    stop_refused: FarhandError | None = None

    def __init__(
        self, home: Home, group: asyncio.TaskGroup, changed: Callable[[SessionView], None]
    ) -> None:
        self._home = home
        self._group = group
        self._changed = changed
        self._own: asyncio.subprocess.Process | None = None
        self._begun: asyncio.Future[str] | None = None
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.views: dict[str, SessionView] = {}

    @property
    def is_stop_owed(self) -> bool:
        """Whether a Stop waits for an agent that could not be told; a journal takes each."""
        return False

    @property
    def going(self) -> list[SessionView]:
        """Return the sessions that go on now, the newest first."""
        return [one for one in reversed(self.views.values()) if not one.is_over]

    @property
    def open(self) -> list[SessionView]:
        """Return those that go on and are open, the newest first."""
        return [one for one in self.going if one.opened is not None]

    @property
    def current(self) -> SessionView | None:
        """Return the session to look at: one that asks, else the newest; None where none is."""
        going = self.going
        return next((one for one in going if one.phase == "asked"), going[0] if going else None)

    def view(self, name: str) -> SessionView | None:
        """Return one session."""
        return self.views.get(name)

    # What comes over the desktop's own socket.

    async def watch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Follow a session process that tells its name.

        Raises:
            RemoteError: `request-malformed`; `page-full`.
        """
        name = request.get("name")
        if not isinstance(name, str) or not _NAME.match(name):
            raise RemoteError("request-malformed", "this is no name of a session process")
        self._follow(name)
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(name)
        return {}

    def _follow(self, name: str) -> None:
        if name in self.views:
            return
        over = [one for one, view in self.views.items() if view.is_over]
        for one in over[: max(0, len(self.views) - MAX_FOLLOWED + 1)]:
            del self.views[one]
        if len(self.views) >= MAX_FOLLOWED:
            raise RemoteError("page-full", "the page follows as many sessions as it can")
        view = self.views[name] = SessionView(name)
        task = self._group.create_task(self._keep_up(view), name=f"follow-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def find(self) -> None:
        """Follow the sessions that are open already."""
        for session in await asyncio.to_thread(_live, self._home):
            self._follow(session)

    async def _keep_up(self, view: SessionView) -> None:
        after = 0
        while True:
            try:
                request = {"do": "events", "after": after, "page": True}
                answer = await self._ask(view.name, request)
            except FarhandError as error:
                _log.info("%s is gone: %s", view.name, error)
                break
            for number, fields in answer.get("events", []):
                after = int(number)
                view.apply(decode_event(msgspec.json.encode(fields)))
            if answer.get("over"):
                break
            if answer.get("events"):
                self._changed(view)
        view.lost()
        self._changed(view)

    # What the person wants.

    async def begin(self) -> SessionView:
        """Start a session process that shows a code; one at a time.

        Raises:
            RefusedError: `page-busy` while a session goes on.
            FarhandError: `child-failed` when it came to nothing.
        """
        async with self._turn:
            if self.current is not None:
                raise RefusedError("page-busy", "a session goes on already")
            await self.end_own()
            begun = self._begun = asyncio.get_running_loop().create_future()
            self._own = await asyncio.create_subprocess_exec(
                *child_command("farhand_agent.session", "--home", str(self._home.path)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                async with asyncio.TaskGroup() as group:
                    ended = group.create_task(self._own.wait())
                    await asyncio.wait(
                        {begun, ended}, timeout=_BEGIN_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    ended.cancel()
            finally:
                self._begun = None
            if not begun.done():
                begun.cancel()
                await self.end_own()
                raise FarhandError("child-failed", "the session process came to nothing")
            return self.views[begun.result()]

    async def tell(self, view: SessionView, line: dict[str, Any]) -> bool:
        """Hand one line to a session; False when it did not count.

        Raises:
            FarhandError: the process is gone, or did not answer.
        """
        answer = await self._ask(view.name, {"do": "tell", "line": line})
        return answer.get("counted") is True

    async def stop(self, view: SessionView) -> None:
        """End what is not open yet, a code say: its process is told."""
        view.is_stopped = True
        try:
            await self.tell(view, {"stop": True})
        except FarhandError as error:
            _log.info("the session's process is gone already: %s", error)

    async def stop_all(self) -> None:
        """End every session of this computer at once: at the service, and at each process.

        Those that this page does not follow end as well.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stop_at_service())
            for view in self.going:
                group.create_task(self.stop(view))

    async def _stop_at_service(self) -> None:
        try:
            await asyncio.to_thread(_stop_all, self._home)
        except FarhandError as error:
            # The processes are told as well, and must be whatever goes wrong here.
            _log.warning("the stop could not be written down: %s", error)

    async def close(self) -> None:
        """End what was begun here, and follow nothing more."""
        await self.end_own()
        for task in self._tasks:
            task.cancel()

    async def end_own(self) -> None:
        """End the process that was begun here; the session ends with it."""
        process, self._own = self._own, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _ask(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask a session's process."""
        return await ask_process(self._home, name, request)


def _live(home: Home) -> list[str]:
    if not home.journal.exists():
        return []
    journal = Journal(home.journal, read_only=True)
    try:
        return [row.id for row in journal.live_sessions()]
    finally:
        journal.close()


def _stop_all(home: Home) -> None:
    """Stop all sessions as `farhand-agent stop` does, with a resident agent and without."""
    try:
        local.ask(home, {"do": "stop", "session": None})
    except AgentNotRunning:
        journal = Journal(home.journal)
        try:
            stop_sessions(journal, reason="stopped")
        finally:
            journal.close()
