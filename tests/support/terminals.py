"""A program on a terminal of its own, as a person sits before it: a screen and keys.

The program leads a session with a pseudo terminal as its controlling one, so that keys, job control
and terminal settings are those of real life.  A thread reads the screen; `wait_for` goes on where
the last one ended, so that the same words can be waited for twice.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Terminal"]

# Makes the terminal at stdin the controlling one, then becomes the program.
_LOGIN = "import os, sys; os.login_tty(0); os.execvp(sys.argv[1], sys.argv[1:])"
_WAIT_S = 90.0


class Terminal:
    """One program and its terminal; a context manager that ends both.

    Args:
        words: the command line.
        env: its environment.
    """

    def __init__(self, words: Sequence[str], *, env: Mapping[str, str]) -> None:
        self.words = list(words)
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self.settings: list[Any] = termios.tcgetattr(self._slave)
        self.text = ""
        self._seen = 0
        self._changed = threading.Condition()
        self._is_open = True
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LOGIN, *self.words],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**env, "TERM": "xterm"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._is_open = False
        os.close(self._slave)  # the last of them, so the reader's read ends
        self._reader.join(10)
        os.close(self._master)

    def _read(self) -> None:
        pending = b""
        while self._is_open:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            pending += data
            text = pending.decode("utf-8", "ignore")
            pending = b"" if text.encode() == pending else pending[len(text.encode()) :]
            with self._changed:
                self.text += text
                self._changed.notify_all()

    def wait_for(self, pattern: str, *, timeout_s: float = _WAIT_S) -> re.Match[str]:
        """Wait until the screen shows what matches, behind the last match; return the match."""
        deadline = time.monotonic() + timeout_s
        wanted = re.compile(pattern)
        with self._changed:
            while (found := wanted.search(self.text, self._seen)) is None:
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._changed.wait(2)):
                    shown = self.text[-4000:]
                    raise AssertionError(
                        f"{' '.join(self.words)}: no {pattern!r}"
                        f" (status {self.process.poll()}) on this screen:\n{shown}"
                    )
                self._changed.wait(min(left, 1.0))
            self._seen = found.end()
            return found

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def status(self, *, timeout_s: float = _WAIT_S) -> int:
        """Wait for the program's end and return its exit status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it does not end; its screen:\n{self.text[-4000:]}") from error

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal's settings are those of the beginning."""
        return termios.tcgetattr(self._slave) == self.settings
