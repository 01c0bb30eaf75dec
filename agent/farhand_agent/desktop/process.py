"""The desktop process: page, socket and bar wired together, one per home and user.

Where the home is another user's (an agent that runs as a service), everything that it tells and is
told goes through that agent's door (farhand_agent.door), and the page keeps its socket and lock in
this user's own folder.

locked   another one is there already     its page is opened once more
serving  until told to stop; a session that was begun here ends with it, others go on
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from farhand_agent import local
from farhand_agent.config import Home
from farhand_agent.desktop.app import READ_FIRST_S, App
from farhand_agent.desktop.at_door import DoorFollowing
from farhand_agent.desktop.bar import StopBar
from farhand_agent.desktop.following import Following
from farhand_agent.desktop.gate import Gate
from farhand_agent.desktop.listener import Listener
from farhand_agent.desktop.sources import DoorSources, OwnSources, Sources
from farhand_agent.desktop.view import SessionView
from farhand_agent.door import Door
from farhand_agent.errors import AgentNotRunning
from farhand_agent.local_server import LocalServer
from farhand_agent.locks import try_lock
from farhand_agent.session.watched import DESKTOP
from farhand_protocol.errors import FarhandError

__all__ = ["Desktop", "way_in_there"]

_ASK_S: Final = 5.0
_LOOK_S: Final = 15.0


def way_in_there(home: Home) -> str | None:
    """Return a way into the page that runs already, None where none does; blocks.

    Raises:
        FarhandError: one runs and does not answer.
    """
    try:
        answer = local.ask(home, {"do": "url"}, session=DESKTOP, timeout_s=_ASK_S)
    except AgentNotRunning:
        return None
    return str(answer.get("url"))


class Desktop:
    """One run.

    Args:
        home: of the agent.
        door: of that home, where it is another user's.
        has_bar: whether a Stop bar is shown where that is possible.
        read_first_s: how long a question stands before a yes counts.
        idle_s: ends by itself when nobody looked at it for so long and no session goes on.
    """

    def __init__(
        self,
        home: Home,
        *,
        door: Door | None = None,
        has_bar: bool = True,
        read_first_s: float = READ_FIRST_S,
        idle_s: float | None = None,
    ) -> None:
        self._home = home
        self._door = door
        self._has_bar = has_bar
        self._read_first_s = read_first_s
        self._idle_s = idle_s
        self._stopping = asyncio.Event()
        self._gate: Gate
        self._app: App
        self._following: Following
        self._bar: StopBar
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Begin to stop."""
        self._stopping.set()

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until told to stop.

        Args:
            ready: is told a way in.

        Raises:
            FarhandError: `desktop-running` where another one serves this home.
        """
        lock = try_lock(self._lock_file())
        if lock is None:
            raise FarhandError("desktop-running", "another process serves this page")
        with ExitStack() as held:
            held.callback(lock.release)
            async with asyncio.TaskGroup() as group:
                with Listener() as listener:
                    await self._serve(group, listener, ready)

    def _lock_file(self) -> Path:
        if self._door is not None:
            return local.socket_path(self._home, session=DESKTOP, make=True).with_suffix(".lock")
        self._home.make()
        return self._home.desktop_lock

    def _parts(self, group: asyncio.TaskGroup) -> tuple[Sources, Following]:
        if self._door is None:
            return OwnSources(self._home), Following(self._home, group, self._on_change)
        return DoorSources(self._door), DoorFollowing(self._door, group, self._on_change)

    async def _serve(
        self, group: asyncio.TaskGroup, listener: Listener, ready: Callable[[str], None]
    ) -> None:
        self._gate = Gate(listener.port)
        sources, self._following = self._parts(group)
        self._app = App(sources, self._gate, self._following, read_first_s=self._read_first_s)
        self._bar = StopBar(group, self._following.stop_all)
        handlers = {"watch": self._following.watch, "url": self._way_in}
        async with LocalServer(self._home, handlers, session=DESKTOP):
            await self._following.find()
            listener.start(self._app.handle)
            ready(self._gate.way_in())
            tasks = [
                group.create_task(self._keep_bar(), name="bar"),
                group.create_task(self._leave_when_idle(), name="idle"),
            ]
            await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await self._following.close()
        await self._bar.close()

    async def _way_in(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"url": self._gate.way_in()}

    def _on_change(self, view: SessionView) -> None:
        self._app.changed(view)
        self._changed.set()

    async def _leave_when_idle(self) -> None:
        while self._idle_s is not None:
            await asyncio.sleep(min(self._idle_s, _LOOK_S))
            is_done = self._following.current is None and not self._following.is_stop_owed
            if is_done and self._app.unseen_s() >= self._idle_s:
                self.stop()

    async def _keep_bar(self) -> None:
        while self._has_bar:
            self._changed.clear()
            await self._bar.show(self._following.open, self._app.wording)
            await self._changed.wait()
