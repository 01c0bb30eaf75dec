"""The journal as the resident agent uses it: in one worker thread, never on the event loop.

Each write waits for the disk; one thread keeps them in order and the loop free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from farhand_agent.journal import Journal

__all__ = ["JournalThread"]

T = TypeVar("T")


class JournalThread:
    """Runs functions on the journal, one after the other.

    Args:
        journal: from now on to be touched by this alone.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def do(self, act: Callable[[Journal], T]) -> T:
        """Run `act` and return its result.  Cancelling the wait does not undo the write.

        Raises:
            FarhandError: as the journal's methods.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, act, self._journal)

    def close(self) -> None:
        """Wait for what was begun, then close the journal."""
        self._executor.shutdown(wait=True)
        self._journal.close()
