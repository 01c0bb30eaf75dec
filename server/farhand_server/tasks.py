"""The relay's background work, owned in one place.

`Tasks` is the only thing that starts an asyncio task outside a TaskGroup.  It keeps each until it
ends, logs a failure with its traceback (a bug of ours ends that task, not the relay), and at the
end cancels and awaits what is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["Tasks"]

_log = logging.getLogger(__name__)


class Tasks:
    """Owns every background task of one relay."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False
        self.failures = 0

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start `work`; its failure is logged and counted, never raised here.

        Raises:
            RuntimeError: `aclose` has begun (a bug in the stop order).
        """
        if self._closed:
            work.close()
            raise RuntimeError(f"{name} was started while the relay stops")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures += 1
            _log.error("task %s failed", task.get_name(), exc_info=error)

    def __len__(self) -> int:
        return len(self._running)

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it."""
        self._closed = True
        running = list(self._running)
        for task in running:
            task.cancel()
        # The outcomes were logged by the callback; gather only waits.
        await asyncio.gather(*running, return_exceptions=True)
