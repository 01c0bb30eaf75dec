"""Finding the processes that a test session left behind.

What it is: a watch that is opened when the session starts and asked, when it ends, which processes
of the session still run. What it is not: a cleaner for anything else on the machine; a process
that the session did not start is never looked at twice.

How it works: a process belongs to the session if it is a descendant of this one, or if it was
handed on to init but its environment carries the mark that this session puts into its own. pytest
keeps PYTEST_CURRENT_TEST in the environment, so a leftover also tells which test started it.  One
that was forked from the loaded process (tests.support.warm) shows that process's environment: it is
found all the same, but the test that it names is the one that first asked for a command.
"""

from __future__ import annotations

import os
import secrets
from types import TracebackType
from typing import Self

import psutil

MARK = "FARHAND_TEST_SESSION"
GRACE_S = 5.0
# Python's own helpers, which live until the interpreter itself ends.
INTERPRETER_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


class Leftovers:
    """The watch. Use as a context manager around everything that may start a process."""

    def __init__(self) -> None:
        self._value = secrets.token_hex(8)
        self._before: set[psutil.Process] = set()

    def __enter__(self) -> Self:
        self._before = set(psutil.Process().children(recursive=True))
        self._earlier = os.environ.get(MARK)
        os.environ[MARK] = self._value
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._earlier is None:
            del os.environ[MARK]
        else:
            os.environ[MARK] = self._earlier

    def end_and_name(self, grace_s: float = GRACE_S) -> list[str]:
        """Wait up to `grace_s` for the session's processes to end, then end those that did not.

        Returns: one line for each that had to be ended: id, command line, the test it came from.
        """
        _, running = psutil.wait_procs(self._running(), timeout=grace_s)
        lines = [line for line in map(_describe, running) if line is not None]
        for process in running:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue  # it ended by itself after all
        psutil.wait_procs(running, timeout=GRACE_S)
        return lines

    def _running(self) -> list[psutil.Process]:
        """The session's processes that run now, a zombie not counted: it holds nothing."""
        me = psutil.Process()
        found = set(me.children(recursive=True))
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._value:
                    found.add(process)
            except psutil.Error:
                continue  # another user's, or gone: not a child of ours in either case
        for earlier in self._before:
            try:
                found.difference_update(earlier.children(recursive=True))
            except psutil.NoSuchProcess:
                continue  # it has ended, so has no children
        return [one for one in found - self._before - {me} if _counts(one)]


def _counts(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
        return process.status() != psutil.STATUS_ZOMBIE and not any(
            name in command for name in INTERPRETER_OWN
        )
    except psutil.NoSuchProcess:
        return False


def _describe(process: psutil.Process) -> str | None:
    try:
        command = " ".join(process.cmdline())[:200] or process.name()
        test = process.environ().get("PYTEST_CURRENT_TEST", "no test")
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        test = "unknown"
    return f"  {process.pid} {command} (from {test})"
