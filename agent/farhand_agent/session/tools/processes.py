"""The tools `processes` and `process-kill`.

    processes     {"items": [{"pid", "parent", "user", "name", "command", "cpu_s", "memory_bytes",
                   "started_at"}], "omitted"}
    process-kill  {"pid", "name", "user", "ended"}      `ended` when it had gone within five seconds

A process is ended once it is known to be the one that was meant: a name that the console saw must
still fit.  Those that carry the session are left alone: ending them by mistake would end it.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Final

import psutil

from farhand_agent.session.tools.commands import failed
from farhand_agent.session.tools.requests import Processes, ProcessKill
from farhand_agent.session.view import VIEWS

__all__ = ["kill_process", "list_processes"]

_WAIT_S: Final = 5.0
_SIGNALS: Final = {"term": signal.SIGTERM, "kill": signal.SIGKILL}


def list_processes(request: Processes) -> dict[str, Any]:
    """Return what runs; blocks for as long as /proc takes."""
    found = VIEWS["processes"]()
    items = found["items"]
    if wanted := request.match.lower():
        items = [
            item
            for item in items
            if any(wanted in (item[field] or "").lower() for field in ("name", "command", "user"))
        ]
    if request.sort == "cpu":
        items.sort(key=lambda item: -(item["cpu_s"] or 0))
    return {"items": items, "omitted": found["omitted"]}


def kill_process(request: ProcessKill) -> dict[str, Any]:
    """End a process; blocks for five seconds at most.

    Raises:
        FarhandError: `tool-failed` when it is not there, is another one than was meant, carries
            this session, or may not be ended by this user.
    """
    try:
        process = psutil.Process(request.pid)
        with process.oneshot():
            name, user = process.name(), process.username()
        if request.name and name != request.name:
            raise failed("that number belongs to another process by now")
        if request.pid in _carriers():
            raise failed("this process carries the session")
        # psutil compares start times first, so a number that was given away meanwhile is safe.
        process.send_signal(_SIGNALS[request.signal])
        try:
            process.wait(_WAIT_S)
            ended = True
        except psutil.TimeoutExpired:
            ended = False
    except psutil.NoSuchProcess as error:
        raise failed("there is no such process") from error
    except psutil.AccessDenied as error:
        raise failed("the session's user may not end this process") from error
    return {"pid": request.pid, "name": name, "user": user, "ended": ended}


def _carriers() -> set[int]:
    """Return this process and those that started it."""
    mine = psutil.Process(os.getpid())
    return {mine.pid, *(parent.pid for parent in mine.parents())}
