"""Many small writes as one transaction: what a thousand devices say in the same moment.

A transaction costs a dozen hops to the database's thread and a wait for the disk, whether it holds
one row or a hundred.  `Batches.put` waits a few milliseconds for company and for the batch before
it, then hands all that has come to one function, and returns when that has committed.  So nobody is
answered before the row is safe, and an idle relay still answers at once.

    one key at a time     a batch holds one item of a key; the next one waits for the next batch, so
                          what is said about an order is stored in the order in which it came
    one bad item          the function returns its error in its place; where the whole batch fails
                          for another reason than a store that is away, each item is tried alone
    nobody waits any more the item is stored all the same; its device says it again, and again is
                          harmless

It is no queue: what waits is bounded by who waits, and nothing outlives the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

from farhand_protocol.errors import FarhandError
from farhand_server.tasks import Tasks

__all__ = ["MAX_BATCH_ITEMS", "Batches"]

_log = logging.getLogger(__name__)

MAX_BATCH_ITEMS: Final = 256
_WINDOW_S: Final = 0.003
# The store is away or full: trying each item alone would only make it worse.
_STORE_AWAY: Final = frozenset({"store-busy", "store-full", "store-unreachable"})

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


class Batches(Generic[I, R]):
    """Gathers items and stores them together.

    Args:
        tasks: where the storing runs; there is no task while nothing waits.
        store: stores these items and returns for each its result, or the error to raise for it.
        key: what an item is about; see the module's words.
        name: of the task, for the log.
    """

    def __init__(
        self,
        tasks: Tasks,
        store: Callable[[Sequence[I]], Awaitable[Sequence[R | Exception]]],
        *,
        key: Callable[[I], Hashable],
        name: str,
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._key = key
        self._name = name
        self._waiting: deque[tuple[I, asyncio.Future[R]]] = deque()
        self._is_working = False

    async def put(self, item: I) -> R:
        """Store an item with whatever else comes now; returns once it is committed.

        Raises:
            Exception: what `store` returned or raised for this item.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if not self._is_working:
            self._is_working = True
            self._tasks.spawn(self._work(), name=self._name)
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_WINDOW_S)
                await self._settle(self._take())
        finally:
            self._is_working = False
            # Only when the relay stops: whoever still waits ends with it.
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _take(self) -> list[tuple[I, asyncio.Future[R]]]:
        taken: list[tuple[I, asyncio.Future[R]]] = []
        later: list[tuple[I, asyncio.Future[R]]] = []
        keys: set[Hashable] = set()
        while self._waiting and len(taken) < MAX_BATCH_ITEMS:
            one = self._waiting.popleft()
            key = self._key(one[0])
            (later if key in keys else taken).append(one)
            keys.add(key)
        self._waiting.extendleft(reversed(later))
        return taken

    async def _settle(self, batch: Sequence[tuple[I, asyncio.Future[R]]]) -> None:
        try:
            outcomes = await self._store([item for item, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            if len(batch) == 1 or getattr(error, "code", "") in _STORE_AWAY:
                outcomes = [_again(error) for _ in batch]
            else:
                _log.warning("%s: %d items are tried one by one: %r", self._name, len(batch), error)
                for one in batch:
                    await self._settle([one])
                return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue  # nobody waits any more
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


def _again(error: Exception) -> Exception:
    """Return an error of its own for each who waits: what is raised twice mixes two tracebacks."""
    if isinstance(error, FarhandError):
        return type(error)(error.code, error.message, hint=error.hint, detail=error.detail)
    return error
