"""The clipboard of macOS, by the system's own `pbcopy` and `pbpaste`.

Neither tells when something was copied, so what is there is read a few times a second and compared
with before; what lay there when the scope opened is never sent.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Final

from farhand_agent.screen.rfb_clipboard import MAX_CLIPBOARD_BYTES

__all__ = ["MacClipboard"]

_RUN_S: Final = 5
_READ_EVERY_S: Final = 0.5
_ENVIRONMENT: Final = {"LANG": "en_US.UTF-8", "PATH": "/usr/bin:/bin"}


def _run(words: list[str], text: bytes) -> bytes:
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, timeout=_RUN_S, check=False, env=_ENVIRONMENT
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout


class MacClipboard:
    """The clipboard of this login.

    Args:
        run: runs a command with some input and returns its output.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        run: Callable[[list[str], bytes], bytes] = _run,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._clock = clock
        self._known: bytes | None = None
        self._read_at = float("-inf")

    def put(self, text: str) -> None:
        """Let programs here have a text."""
        self._known = text.encode()
        self._run(["/usr/bin/pbcopy"], self._known)

    def poll(self, *, take: bool) -> str | None:
        """Return a text that was copied here since the last call; with `take` False never any."""
        if not take:
            self._known = None
            return None
        if self._clock() - self._read_at < _READ_EVERY_S:
            return None
        self._read_at = self._clock()
        before, self._known = self._known, self._run(["/usr/bin/pbpaste"], b"")
        is_new = before is not None and before != self._known
        if not is_new or len(self._known) > MAX_CLIPBOARD_BYTES:
            return None
        return self._known.decode("utf-8", "replace")

    def close(self) -> None:
        """Nothing is held."""
