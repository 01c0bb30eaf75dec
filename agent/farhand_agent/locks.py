"""File locks that tell a living process from a dead one.

The operating system drops a `flock` when its holder ends, however it ends; unlike a process id it
cannot be mistaken for another process.  Descriptors are close-on-exec, so that a script body never
inherits the lock of its runner.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["Lock", "is_held", "try_lock"]


class Lock:
    """A held lock; it lasts until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


def try_lock(path: Path) -> Lock | None:
    """Take the lock at `path`, or return None when somebody holds it.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor)


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the lock at `path`; makes no file.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that of two who look neither takes the other for a holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
