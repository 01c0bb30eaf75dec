"""What a body left behind: its descendants, found by their parents, however they forked.

A process whose parent ends is given to the nearest subreaper above it (prctl(2)); while a body runs
that is its runner.  So everything that a body started hangs below the runner in /proc, with or
without a process group, a session or an environment of its own.  Where there is no /proc, the
process group and a cgroup are all there is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["descendants", "end_descendants", "subreaper"]

_PR_SET_CHILD_SUBREAPER: Final = 36
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.01


@contextlib.contextmanager
def subreaper() -> Iterator[frozenset[int]]:
    """Inherit every orphan among our descendants; yields those descendants that are there already,
    which are none of the body's."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            yield frozenset(descendants())
        finally:
            library.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    else:
        yield frozenset()


def descendants() -> dict[int, bool]:
    """Return the process ids below this process, and whether each is dead but not yet reaped."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # proc(5): the name in brackets may hold anything; state and parent stand behind it.
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended while we looked
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        if fields[0] in (b"Z", b"X"):
            dead.add(int(entry.name))
    found: dict[int, bool] = {}
    waiting = [os.getpid()]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found[child] = child in dead
            waiting.append(child)
    return found


def end_descendants(spared: frozenset[int], *, leader: int) -> None:
    """Kill every descendant but those spared, until none is left; reap all but the leader.

    Args:
        spared: process ids that were there before the body.
        leader: the body itself, which its own waiter reaps.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = {pid: dead for pid, dead in descendants().items() if pid not in spared}
        for pid, is_dead in found.items():
            if not is_dead:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            elif pid != leader:
                with contextlib.suppress(ChildProcessError):  # another's, who reaps it
                    os.waitpid(pid, os.WNOHANG)
        if all(pid == leader and is_dead for pid, is_dead in found.items()):
            return
        time.sleep(_PAUSE_S)
