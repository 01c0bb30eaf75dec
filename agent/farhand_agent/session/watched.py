"""The session process as a page of this user sees it: what happens, and what she wants.

Beside the pipe of whoever started the process, over owner-only sockets (farhand_agent.local): one
of its own from the first moment, whose name is told to the desktop process where one listens, and
to the resident agent for the pages of the computer's other people (farhand_agent.people); and the
open session's (live_help.py), for a page that comes later.  Both answer

    {"do": "events", "after": N, "page": true}
                                      -> {"events": [[NUMBER, EVENT], ...], "over": true | false}
    {"do": "tell", "line": {...}}     -> {"counted": true | false}

EVENT and line are those of farhand_agent.session.events; a line that the resident hands on says who
it is from (`person`).  `events` waits a moment where there is nothing new, and `over` says that
nothing more will come; `page` says that a picture can be looked over there, which a terminal at
the door cannot.  Of the earliest events, actions and lines are dropped first; what says who is
here and what is open stays.

    announced   a desktop process took the name, or the resident knows of a page: somebody may be
                asked
    watched     a page asked for events within `WATCHED_S`: it is there to look at
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from farhand_agent import local
from farhand_agent.config import Home
from farhand_agent.errors import AgentNotRunning
from farhand_agent.local_server import Handler, LocalServer
from farhand_agent.session.events import ActionSeen, Event, LineChanged, Said
from farhand_protocol.errors import FarhandError, RemoteError

__all__ = ["DESKTOP", "MAX_KEPT_EVENTS", "Watched"]

_log = logging.getLogger(__name__)

# Whose socket the desktop process listens on, in the place of a session's id.
DESKTOP: Final = "desktop"
MAX_KEPT_EVENTS: Final = 1000
WATCHED_S: Final = 20.0
_ANNOUNCE_S: Final = 3.0
_WAIT_S: Final = 4.0
_AT_ONCE: Final = 50
# How long the last words wait for the page to fetch them.
_LAST_S: Final = 2.0
_DROPPED: Final = (ActionSeen, LineChanged, Said)


class Watched:
    """The events of one session process for its pages, and the way back.

    Args:
        home: of the agent.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._name = f"watch-{secrets.token_hex(8)}"
        self._events: list[tuple[int, Event]] = []
        self._count = 0
        self._fetched = 0
        self._news = asyncio.Event()
        self._over = False
        self._asked_at = self._page_at = float("-inf")
        self._listening = AsyncExitStack()
        self.hear: Callable[[Mapping[str, object]], bool] = lambda _: False
        self.is_announced = False

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Return what may be asked, by its `do`."""
        return {"events": self._tell_events, "tell": self._take}

    @property
    def is_watched(self) -> bool:
        """Whether a page followed the session a moment ago."""
        return time.monotonic() - self._page_at < WATCHED_S

    async def open(self) -> None:
        """Listen, and tell whoever has a page; where nobody has, nothing is listened on."""
        server = LocalServer(self._home, self.handlers, session=self._name)
        try:
            await self._listening.enter_async_context(server)
        except (OSError, FarhandError) as error:
            # The terminal, or policy, decides as ever.
            _log.info("no page can watch this session: %s", error)
            return
        own = await self._tell({"do": "watch", "name": self._name}, session=DESKTOP)
        others = await self._tell({"do": "watch", "name": self._name, "pid": os.getpid()})
        self.is_announced = own is not None or bool(others and others.get("pages"))
        if not self.is_announced:
            await self._listening.aclose()

    async def _tell(self, request: dict[str, Any], *, session: str = "") -> dict[str, Any] | None:
        """Tell a process of this home; None where it is not there, or does not take it."""
        try:
            return await asyncio.to_thread(
                local.ask, self._home, request, session=session, timeout_s=_ANNOUNCE_S
            )
        except FarhandError as error:
            if not isinstance(error, AgentNotRunning):
                _log.info("no page can watch this session there: %s", error)
            return None

    async def close(self) -> None:
        """Let whoever follows fetch the last events, then stop listening."""
        self._over = True
        self._news.set()
        is_followed = time.monotonic() - self._asked_at < WATCHED_S
        try:
            async with asyncio.timeout(_LAST_S if is_followed else 0):
                while self._fetched < self._count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            _log.info("nobody fetched the last events")
        await self._listening.aclose()

    def emit(self, event: Event) -> None:
        """Keep one event for whoever asks."""
        self._count += 1
        self._events.append((self._count, event))
        if len(self._events) > MAX_KEPT_EVENTS:
            loose = (n for n, (_, one) in enumerate(self._events) if isinstance(one, _DROPPED))
            del self._events[next(loose, 0)]
        self._news.set()

    async def _tell_events(self, request: dict[str, Any]) -> dict[str, Any]:
        after = request.get("after")
        if not isinstance(after, int):
            raise RemoteError("request-malformed", "the number of the last event is missing")
        self._asked_at = time.monotonic()
        if request.get("page") is True:
            self._page_at = self._asked_at
        self._fetched = max(self._fetched, after)  # what was answered before has arrived
        self._news.set()
        try:
            async with asyncio.timeout(_WAIT_S):
                while after >= self._count and not self._over:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # nothing is new, which is an answer as well
        told = [one for one in self._events if one[0] > after][:_AT_ONCE]
        return {
            "events": [[number, msgspec.to_builtins(event)] for number, event in told],
            "over": self._over and not told,
        }

    async def _take(self, request: dict[str, Any]) -> dict[str, Any]:
        line = request.get("line")
        if not isinstance(line, dict):
            raise RemoteError("request-malformed", "there is no line")
        return {"counted": self.hear(line)}
