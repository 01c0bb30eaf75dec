"""Loaded by every Python process under test: faults at an agent's or a relay's writes, a clock.

Nothing of the product knows this file.  `FAULT_KILL` and `FAULT_CLOCK` name files that are read at
each journal write of an agent, at each write point of a relay (`relay_points`) and at each look at
the clock; see tests/support/faults/environment.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
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


if KILL and any("farhand_server" in word for word in sys.orig_argv):
    # Both lie in this folder, which is on the path of the process that this file was put into.
    from relay_points import points_of  # type: ignore[import-not-found]
    from sqlalchemy import event

    from farhand_server.store import database

    _PASSED = "fault-points"  # in each connection's info: the points of its transaction
    _real_init = database.Database.__init__
    _real_write = database.Database.write

    def _on_statement(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        for point in points_of(statement):
            _die_at(point, "before")
            connection.info.setdefault(_PASSED, set()).add(point)

    def _on_commit(connection: Any) -> None:
        for point in connection.info.get(_PASSED, ()):
            _die_at(point, "inside")

    def _watched_init(self: Any, url: str) -> None:
        _real_init(self, url)
        event.listen(self._writer.sync_engine, "before_cursor_execute", _on_statement)
        event.listen(self._writer.sync_engine, "commit", _on_commit)

    @contextlib.asynccontextmanager
    async def _faulty_write(self: Any) -> AsyncIterator[Any]:
        passed: set[str] = set()
        async with _real_write(self) as connection:
            assert connection.sync_connection is not None
            connection.sync_connection.info[_PASSED] = passed
            yield connection
        for point in passed:
            _die_at(point, "after")

    database.Database.__init__ = _watched_init  # type: ignore[method-assign]
    database.Database.write = _faulty_write  # type: ignore[method-assign]
