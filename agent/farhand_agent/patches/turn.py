"""One change to packages at a time on a device, whichever package manager makes it.

Package managers lock themselves, each in its own way and none against another.  This lock is on
top: bodies of two orders, or an order and a person, wait in line.  It ends with its process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from farhand_agent.patches.provider import ProviderError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["packages_turn"]

_POLL_S: Final = 0.2


@contextmanager
def packages_turn(folder: Path, *, wait_s: float = 600.0) -> Iterator[None]:
    """Hold the device's one turn for changing packages.

    Args:
        folder: where the lock file lies; made if it is not there.
        wait_s: how long to wait for another one.

    Raises:
        ProviderError: `patch-locked` when another one still has it, `patch-denied` when the folder
            cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "packages.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ProviderError(
            "patch-denied", f"{folder} cannot be used", detail=str(error), state="denied"
        ) from error
    try:
        deadline = time.monotonic() + wait_s
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                raise ProviderError(
                    "patch-locked",
                    "another change to packages is going on",
                    state="locked",
                    retryable=True,
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # somebody else has it; every other cause ends at the deadline
    return True
