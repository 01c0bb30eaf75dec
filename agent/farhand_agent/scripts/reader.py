"""Reading what a body prints, both pipes at once, into bounded captures.

PolledReader     waits for both pipes together: everywhere but on Windows
ThreadedReader   a thread for each pipe: on Windows, where pipes cannot be waited for
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Final, Protocol

from farhand_agent.scripts.capture import Capture

__all__ = ["PolledReader", "Reader", "ThreadedReader"]

_CHUNK_BYTES: Final = 65_536
# A process that the body left behind may hold its pipes open; nobody waits longer for it.
_ORPHAN_WAIT_S: Final = 0.5
_POLL_S: Final = 0.05


class Reader(Protocol):
    """What both readers do."""

    def read(self, has_ended: Callable[[], bool], deadline: float) -> bool:
        """Read until the body has ended; False when the deadline (monotonic) came first."""

    def close(self) -> None:
        """Close the pipes."""


class PolledReader:
    """Reads pipes that can be polled.

    Args:
        pipes: each with what takes its bytes.
    """

    def __init__(self, pipes: dict[IO[bytes], Capture]) -> None:
        self._pipes = pipes
        self._selector = selectors.DefaultSelector()
        for pipe, capture in pipes.items():
            if sys.platform != "win32":
                os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, capture)

    def read(self, has_ended: Callable[[], bool], deadline: float) -> bool:
        """Read until the body has ended; False when the deadline (monotonic) came first."""
        ended_at: float | None = None
        while True:
            now = time.monotonic()
            if ended_at is None and has_ended():
                ended_at = now
            if ended_at is not None and (
                not self._selector.get_map() or now - ended_at > _ORPHAN_WAIT_S
            ):
                return True
            if now >= deadline:
                return ended_at is not None
            if not self._selector.get_map():
                time.sleep(_POLL_S / 5)
                continue
            for key, _ in self._selector.select(_POLL_S):
                self._take(key)

    def _take(self, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if data:
            key.data.add(data)
        else:
            self._selector.unregister(key.fileobj)

    def close(self) -> None:
        """Close the pipes."""
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()


class ThreadedReader:
    """Reads pipes with a thread for each.

    Args:
        pipes: each with what takes its bytes.
    """

    def __init__(self, pipes: dict[IO[bytes], Capture]) -> None:
        self._pipes = pipes
        self._threads = [
            threading.Thread(target=self._take, args=item, name="body-output", daemon=True)
            for item in pipes.items()
        ]
        for thread in self._threads:
            thread.start()

    def read(self, has_ended: Callable[[], bool], deadline: float) -> bool:
        """Wait until the body has ended; False when the deadline (monotonic) came first."""
        while not has_ended():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        for thread in self._threads:
            thread.join(_ORPHAN_WAIT_S)
        return True

    def _take(self, pipe: IO[bytes], capture: Capture) -> None:
        while data := os.read(pipe.fileno(), _CHUNK_BYTES):
            capture.add(data)

    def close(self) -> None:
        """Close the pipes; their other ends are gone with the job."""
        for thread in self._threads:
            thread.join(_ORPHAN_WAIT_S)
        for pipe in self._pipes:
            pipe.close()
