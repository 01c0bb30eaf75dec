"""The sessions that a page follows through the door of another user's agent.

As `Following`, with the door in the place of the owner-only sockets: it asks again and again which
processes there are, and follows each; what was lost because the agent was away is followed anew.  A
session that is begun here ends with the connection that began it.
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
            answer = await self._held.enter_async_context(
                self._door.hold(request, timeout_s=_BEGIN_S)
            )
            name = str(answer.get("name"))
            self._follow(name)
            return self.views[name]

    async def end_own(self) -> None:
        """Let go of what was begun here; the session ends with it."""
        await self._held.aclose()

    async def _stop_at_service(self) -> None:
        try:
            await self._door.call({"do": "stop", "session": None})
        except FarhandError as error:
            # The processes are told as well, and must be whatever goes wrong here.
            _log.warning("the stop could not be written down: %s", error)

    async def _ask(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        return await self._door.call({**request, "name": name})
