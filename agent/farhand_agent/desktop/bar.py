"""The Stop bar from the page's side: a child process that is there while a session is open.

(none)   a session is open                       -> shown
shown    another state of it, another session    -> shown, with the new words
shown    none is open any more                   -> (none)
shown    STOP is pressed                         -> all sessions are stopped, at the service
any      no tkinter, no display (status 3)       -> never again: the page has a Stop as well
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
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
_MAX_OTHERS: Final = 3


def bar_words(views: Sequence[SessionView], w: Wording) -> dict[str, Any]:
    """Return what the bar shows: the first session, and who else is there."""
    view = views[0]
    assert view.opened is not None
    ends = w("It ends by itself at {at}.", at=printable(w.instant(view.opened.expires_at), 40))
    who, *others = (
        w("{who} is working on this computer", who=printable(one.operator, 60)) for one in views
    )
    left_out = len(others) - _MAX_OTHERS
    others = [*others[:_MAX_OTHERS], *([f"+ {left_out}"] if left_out > 0 else [])]
    return {
        "title": w("Help on this computer"),
        "who": who,
        "since": "\n".join([ends, *others]),
        "scopes": [scope_names([one], w) for one in view.scopes],
        "stop": w("STOP"),
        "stopping": w("stopping"),
    }


class StopBar:
    """The bar of one desktop process.

    Args:
        group: where its task runs.
        stop: ends all sessions at once.
    """

    def __init__(self, group: asyncio.TaskGroup, stop: Callable[[], Awaitable[None]]) -> None:
        self._group = group
        self._stop = stop
        self._process: asyncio.subprocess.Process | None = None
        self._shown: dict[str, Any] = {}
        self._is_impossible = False
        self._turn = asyncio.Lock()

    async def show(self, views: Sequence[SessionView], w: Wording) -> None:
        """Show open sessions, the first above all; without any the bar goes."""
        async with self._turn:
            if not views:
                await self._end()
                return
            words = bar_words(views, w)
            if self._is_impossible or words == self._shown:
                return
            if self._process is None:
                self._process = await asyncio.create_subprocess_exec(
                    *child_command(_MODULE),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                self._group.create_task(self._listen(self._process), name="stop-bar")
            self._shown = words
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(words).encode() + b"\n")

    async def close(self) -> None:
        """Take the bar away."""
        async with self._turn:
            await self._end()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while await process.stdout.readline():
            await self._stop()
        if await process.wait() == NO_DISPLAY:
            _log.info("there is no display or no tkinter, so there is no Stop bar")
            self._is_impossible = True
        if self._process is process:
            self._process, self._shown = None, {}

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._shown = {}
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
