"""The one thread in which a session's file requests are carried out, in the order they came.

The thread takes all that waits in one turn, and the loop hears of several at once: waking each
other for every block of a file costs more than writing it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

__all__ = ["FileWorker"]

# So many at most before the loop hears of them: a console that waits for answers sends on then.
_TOGETHER: Final = 4

T = TypeVar("T")
_Outcome = tuple[asyncio.Future[Any], Any, Exception | None]


class FileWorker:
    """Runs what blocks, one after the other.  Belongs to the loop that made it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="files")
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._is_running = False

    def add(self, act: Callable[[], T]) -> asyncio.Future[T]:
        """Queue what is to be done.

        Returns:
            A future with its result or its error.  Cancelling that does not stop what was queued.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((act, future))
        if not self._is_running:
            self._is_running = True
            self._thread.submit(self._run)
        return future

    def close(self) -> None:
        """Begin nothing more; the thread ends once it is done with what it has begun."""
        while self._waiting:
            self._waiting.popleft()[1].cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        """Work until nothing waits; in the thread."""
        outcomes: list[_Outcome] = []
        while self._waiting:
            act, future = self._waiting.popleft()
            try:
                outcomes.append((future, act(), None))
            except Exception as error:  # belongs to whoever waits for this future
                outcomes.append((future, None, error))
            if len(outcomes) == _TOGETHER:
                self._loop.call_soon_threadsafe(self._tell, outcomes)
                outcomes = []
        self._loop.call_soon_threadsafe(self._rest, outcomes)

    def _tell(self, outcomes: list[_Outcome]) -> None:
        for future, result, error in outcomes:
            if future.done():
                continue  # its request was cancelled
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _rest(self, outcomes: list[_Outcome]) -> None:
        self._tell(outcomes)
        if self._waiting:  # came when the thread had looked already
            self._thread.submit(self._run)
        else:
            self._is_running = False
