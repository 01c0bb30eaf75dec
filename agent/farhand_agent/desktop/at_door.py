"""The sessions that a page follows through the door of another user's agent.

As `Following`, with the door in the place of the owner-only sockets: it asks again and again which
processes there are, and follows each; what was lost because the agent was away is followed anew.  A
session that is begun here ends with the connection that began it.

There is no journal here that a Stop could be written into.  So it counts as done when the door has
taken it, and until then it is owed: it is repeated, the page says that it has not arrived, and
what is lost meanwhile has failed and not ended.

    pressed   the door takes it          -> done
    pressed   the door does not answer   -> owed     again before each look for sessions
    pressed   the door refuses her       -> refused  it is hers no more, and the page says so
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from farhand_agent.desktop.following import Following
from farhand_agent.desktop.view import SessionView
from farhand_agent.door import Door
from farhand_protocol.errors import FarhandError, RefusedError

__all__ = ["DoorFollowing"]

_log = logging.getLogger(__name__)

_BEGIN_S: Final = 40.0
_AGAIN_S: Final = 2.0
_ALL: Final = ""


class DoorFollowing(Following):
    """All sessions of one page.

    Args:
        door: of the agent.
        group, changed: see `Following`.
    """

    def __init__(
        self, door: Door, group: asyncio.TaskGroup, changed: Callable[[SessionView], None]
    ) -> None:
        super().__init__(door.home, group, changed)
        self._group = group
        self._door = door
        self._held = AsyncExitStack()
        # The processes that are to be told; `_ALL` is the agent itself.
        self._owed: set[str] = set()

    @property
    def is_stop_owed(self) -> bool:
        """Whether a Stop waits for the agent to take it."""
        return bool(self._owed)

    @property
    def open(self) -> list[SessionView]:
        """Return the open ones; what was lost counts on while the agent has not taken her Stop."""
        if not self._owed:
            return super().open
        shown = (one for one in reversed(self.views.values()) if one.over is None)
        return [one for one in shown if one.opened is not None]

    async def find(self) -> None:
        """Follow what goes on, now and from now on."""
        number = await self._try_to_look(-1)
        task = self._group.create_task(self._keep_looking(number), name="look-for-sessions")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_looking(self, number: int) -> None:
        while True:
            if (number := await self._try_to_look(number)) < 0:
                await asyncio.sleep(_AGAIN_S)

    async def _try_to_look(self, number: int) -> int:
        """Look as `_look` does; -1 where the agent cannot be asked just now."""
        try:
            await self._repeat_stop()
            return await self._look(number)
        except FarhandError as error:
            _log.info("the agent cannot be asked what goes on: %s", error)
            return -1

    async def _look(self, number: int) -> int:
        answer = await self._door.call({"do": "sessions", "after": number, "pages": True})
        for name in answer.get("names", []):
            view = self.views.get(name)
            if view is not None and view.is_lost:
                del self.views[name]
            self._follow(str(name))
        return int(answer.get("number", -1))

    async def begin(self) -> SessionView:
        """Have a session's process started that shows a code; one at a time.

        Raises:
            RefusedError: `page-busy`, `people-...`.
            FarhandError: `child-failed`.
        """
        async with self._turn:
            if self.current is not None:
                raise RefusedError("page-busy", "a session goes on already")
            await self.end_own()
            request = {"do": "code", "scopes": None, "minutes": None}
            held = await self._held.enter_async_context(
                self._door.hold(request, timeout_s=_BEGIN_S)
            )
            name = str(held.answer.get("name"))
            self._follow(name)
            return self.views[name]

    async def end_own(self) -> None:
        """Let go of what was begun here; the session ends with it."""
        await self._held.aclose()

    async def stop(self, view: SessionView) -> None:
        """End what is not open yet, a code say, now or as soon as its process can be told."""
        view.is_stopped = True
        view.is_stopped = await self._say_stop(view.name)
        self._changed(view)

    async def stop_all(self) -> None:
        """End every session of this computer, now or as soon as the agent can be told."""
        going = self.going
        is_taken, *_ = await asyncio.gather(self._say_stop(_ALL), *map(self.stop, going))
        if not is_taken:
            # Whatever its process said, the agent may take the session up again.
            for view in going:
                view.is_stopped = False
                self._changed(view)

    async def _say_stop(self, name: str) -> bool:
        """Say it to the agent or to one process; False where neither knows of it now."""
        self._owed.add(name)
        try:
            if name == _ALL:
                await self._door.call({"do": "stop", "session": None})
            else:
                await self._ask(name, {"do": "tell", "line": {"stop": True}})
        except FarhandError as error:
            _log.warning("a stop did not arrive: %s", error)
            if error.code == "people-stranger":
                self._owed.discard(name)
                self.stop_refused = error
                return False
            if name == _ALL or error.code != "people-session":
                return False
        self._owed.discard(name)
        return True

    async def _repeat_stop(self) -> None:
        owed = sorted(self._owed)
        for name in owed:
            await self._say_stop(name)
        if len(self._owed) < len(owed):
            for view in self.views.values():
                view.changed()
                self._changed(view)

    async def _ask(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        return await self._door.call({**request, "name": name})
