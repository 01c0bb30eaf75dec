"""What a command prints, read from both its pipes with a bound on each.

`PolledOutputs` waits for both pipes at once.  Windows cannot wait for pipes so; there
`ThreadedOutputs` reads each in a thread of its own.  Both end at the bound: what a program prints
more stays in its pipe, and the program waits, until whoever started it has ended it.
"""

from __future__ import annotations

import os
import selectors
import threading
from abc import ABC, abstractmethod
from typing import IO, Final

__all__ = ["Outputs", "PolledOutputs", "ThreadedOutputs", "TooMuch"]

_CHUNK_BYTES: Final = 64 * 1024


class TooMuch(Exception):
    """More output than allowed."""


class Outputs(ABC):
    """Both outputs of one process.

    Args:
        stdout, stderr: its pipes; `close` closes them.
        max_bytes: of each.
        keep_tail: keep the last `max_bytes` instead of raising `TooMuch`.
    """

    def __init__(
        self, stdout: IO[bytes], stderr: IO[bytes], max_bytes: int, *, keep_tail: bool
    ) -> None:
        self._pipes = (stdout, stderr)
        self._buffers = (bytearray(), bytearray())
        self._max_bytes = max_bytes
        self._keep_tail = keep_tail

    @property
    def stdout(self) -> bytes:
        """Return what came on standard output."""
        return bytes(self._buffers[0])

    @property
    def stderr(self) -> bytes:
        """Return what came on standard error."""
        return bytes(self._buffers[1])

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Tell whether both pipes have ended."""

    @abstractmethod
    def read(self, wait_s: float) -> None:
        """Take what is there; wait so long at most where nothing is.

        Raises:
            TooMuch: the bound is passed.
        """

    def close(self) -> None:
        """Close both pipes.  The process has been ended before."""
        for pipe in self._pipes:
            pipe.close()

    def _add(self, number: int, data: bytes) -> None:
        buffer = self._buffers[number]
        buffer += data
        if len(buffer) > self._max_bytes:
            if not self._keep_tail:
                raise TooMuch
            del buffer[: len(buffer) - self._max_bytes]


class PolledOutputs(Outputs):
    """Waits for both pipes at once."""

    def __init__(
        self, stdout: IO[bytes], stderr: IO[bytes], max_bytes: int, *, keep_tail: bool
    ) -> None:
        super().__init__(stdout, stderr, max_bytes, keep_tail=keep_tail)
        self._selector = selectors.DefaultSelector()
        for number, pipe in enumerate(self._pipes):
            self._selector.register(pipe, selectors.EVENT_READ, number)

    @property
    def ended(self) -> bool:
        """Tell whether both pipes have ended."""
        return not self._selector.get_map()

    def read(self, wait_s: float) -> None:
        """Take what is there."""
        for key, _ in self._selector.select(wait_s):
            data = os.read(key.fd, _CHUNK_BYTES)
            if data:
                self._add(key.data, data)
            else:
                self._selector.unregister(key.fileobj)

    def close(self) -> None:
        """Close both pipes."""
        self._selector.close()
        super().close()


class ThreadedOutputs(Outputs):
    """Reads each pipe in a thread of its own."""

    def __init__(
        self, stdout: IO[bytes], stderr: IO[bytes], max_bytes: int, *, keep_tail: bool
    ) -> None:
        super().__init__(stdout, stderr, max_bytes, keep_tail=keep_tail)
        self._changed = threading.Condition()
        self._open = len(self._pipes)
        self._too_much = False
        self._threads = [
            threading.Thread(target=self._drain, args=(number,), daemon=True)
            for number in range(len(self._pipes))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ended(self) -> bool:
        """Tell whether both pipes have ended."""
        with self._changed:
            return self._open == 0

    def read(self, wait_s: float) -> None:
        """Wait until something changes: the threads read."""
        with self._changed:
            if self._open and not self._too_much:
                self._changed.wait(wait_s)
            too_much, is_open = self._too_much, self._open > 0
        if too_much:
            raise TooMuch
        if not is_open and wait_s > 0:
            threading.Event().wait(wait_s)  # nothing is left to be woken by

    def close(self) -> None:
        """Close both pipes; a thread that an orphan of the process keeps waiting is left behind."""
        for thread, pipe in zip(self._threads, self._pipes, strict=True):
            thread.join(1.0)
            if not thread.is_alive():
                pipe.close()

    def _drain(self, number: int) -> None:
        try:
            while data := os.read(self._pipes[number].fileno(), _CHUNK_BYTES):
                with self._changed:
                    self._add(number, data)
                    self._changed.notify()
        except TooMuch:
            self._too_much = True
        except OSError:
            pass  # the pipe is broken, which is its end
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify()
