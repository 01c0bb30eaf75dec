"""This process's stdin on the event loop, without making it non-blocking.

O_NONBLOCK belongs to the open file, which a terminal's stdin shares with its stdout and with the
person's shell: setting it makes large writes fail and outlives the command.  So stdin is read only
when the loop says that there is something, and plain files and /dev/null, which no loop can watch,
are read in place (they never block for long).
"""

from __future__ import annotations

import asyncio
import os
import sys

__all__ = ["StdinReader"]

_CHUNK = 32 * 1024


class StdinReader:
    """Reads stdin piece by piece; one reader at a time."""

    def __init__(self) -> None:
        try:
            self._descriptor: int | None = sys.stdin.fileno()
        except (AttributeError, ValueError, OSError):
            self._descriptor = None  # started without a stdin

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end; may be cancelled without losing any."""
        if self._descriptor is None:
            return b""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except OSError:  # EPERM: nothing to wait for
            return self._take()
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return self._take()

    def _take(self) -> bytes:
        assert self._descriptor is not None
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError:  # the terminal is gone
            return b""
