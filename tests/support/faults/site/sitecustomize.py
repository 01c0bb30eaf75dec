"""Loaded by every Python process of an agent under test: faults at named journal writes, a clock.

Nothing of the product knows this file.  `FAULT_KILL` and `FAULT_CLOCK` name files that are read at
each journal write and at each look at the clock; see tests/support/faults/environment.py.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

KILL = os.environ.get("FAULT_KILL", "")
CLOCK = os.environ.get("FAULT_CLOCK", "")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return ""


if CLOCK:
    _real_time = time.time

    def _moved_time() -> float:
        return _real_time() + float(_read(CLOCK) or "0")

    time.time = _moved_time


def _die_at(point: str, moment: str) -> None:
    words = _read(KILL).split()
    if words[:2] != [point, moment] or (words[2:] and words[2] not in sys.orig_argv):
        return
    try:
        os.unlink(KILL)
    except FileNotFoundError:
        return  # another process got here first
    os.kill(os.getpid(), signal.SIGKILL)


if KILL and any("farhand_agent" in word for word in sys.orig_argv):
    from farhand_agent import journal

    _commit = journal.Journal.commit

    def _faulty_commit(self: Any, point: str, act: Callable[[Any], Any]) -> Any:
        def inside(connection: Any) -> Any:
            outcome = act(connection)
            _die_at(point, "inside")
            return outcome

        _die_at(point, "before")
        outcome = _commit(self, point, inside)
        _die_at(point, "after")
        return outcome

    journal.Journal.commit = _faulty_commit  # type: ignore[method-assign]
