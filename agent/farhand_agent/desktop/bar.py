"""The Stop bar from the page's side: a child process that is there while a session is open.

(none)   a session is open                       -> shown
shown    another state of it                     -> shown, with the new words
shown    it is over                              -> (none)
shown    STOP is pressed                         -> the session is stopped, at the service
any      no tkinter, no display (status 3)       -> never again: the page has a Stop as well
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from farhand_agent.consent import scope_names
from farhand_agent.desktop.stop_bar import NO_DISPLAY
from farhand_agent.desktop.view import SessionView
from farhand_agent.processes import command as child_command
from farhand_agent.terminal import printable
from farhand_agent.wording import Wording

__all__ = ["StopBar", "bar_words"]

_log = logging.getLogger(__name__)

_MODULE: Final = "farhand_agent.desktop.stop_bar"
_GRACE_S: Final = 5.0


def bar_words(view: SessionView, w: Wording) -> dict[str, Any]:
    """Return what the bar shows of an open session."""
    assert view.opened is not None
    who = w("{who} is working on this computer", who=printable(view.operator, 60))
    ends = w("It ends by itself at {at}.", at=printable(w.instant(view.opened.expires_at), 40))
    return {
        "title": w("Help on this computer"),
        "who": who,
        "since": ends,
        "scopes": [scope_names([one], w) for one in view.scopes],
        "stop": w("STOP"),
        "stopping": w("stopping"),
    }


class StopBar:
    """The bar of one desktop process.

    Args:
        group: where its task runs.
        stop: ends a session at once.
    """

    def __init__(
        self, group: asyncio.TaskGroup, stop: Callable[[SessionView], Awaitable[None]]
    ) -> None:
        self._group = group
        self._stop = stop
        self._process: asyncio.subprocess.Process | None = None
        self._view: SessionView | None = None
        self._shown: dict[str, Any] = {}
        self._is_impossible = False
        self._turn = asyncio.Lock()

    async def show(self, view: SessionView | None, w: Wording) -> None:
        """Show an open session; with None the bar goes."""
        async with self._turn:
            if view is None or view.opened is None or view.is_over:
                await self._end()
                return
            words = bar_words(view, w)
            if self._is_impossible or (words == self._shown and view is self._view):
                return
            if self._process is None:
                self._process = await asyncio.create_subprocess_exec(
                    *child_command(_MODULE),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                self._group.create_task(self._listen(self._process), name="stop-bar")
            self._view, self._shown = view, words
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(words).encode() + b"\n")

    async def close(self) -> None:
        """Take the bar away."""
        async with self._turn:
            await self._end()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while await process.stdout.readline():
            if self._view is not None:
                self._view.is_stopped = True
                await self._stop(self._view)
        if await process.wait() == NO_DISPLAY:
            _log.info("there is no display or no tkinter, so there is no Stop bar")
            self._is_impossible = True
        if self._process is process:
            self._process, self._shown = None, {}

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._view, self._shown = None, {}
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
