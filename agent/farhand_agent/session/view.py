"""The `view` scope: read-only answers about the running machine, as JSON lines.

The subsystem `farhand-view` takes one request per line, `{"show": WHAT}`, and answers one line,
`{"show": WHAT, "at": TIME, ...}` or `{"error": {"code", "message"}}`:

    system      {"host_name", "os", "uptime_s", "load": [1, 5, 15 minutes], "cpus",
                 "memory": {"total_bytes", "available_bytes"}, "swap": {...}}
    processes   {"items": [{"pid", "parent", "user", "name", "command", "cpu_s", "memory_bytes",
                 "started_at"}], "omitted"}        largest first, at most MAX_PROCESSES
    disks       {"items": [{"mount", "device", "type", "total_bytes", "free_bytes"}]}

Nothing can be changed through it.  Command lines may hold secrets, so whoever grants `view` is told
that it shows them.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psutil

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.subsystems import Lines
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["MAX_REQUEST_BYTES", "VIEWS", "answer_view", "serve_view"]

MAX_REQUEST_BYTES = 1024
MAX_PROCESSES = 500
MAX_COMMAND_CHARS = 500


def _system() -> dict[str, Any]:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "host_name": platform.node(),
        "os": platform.platform(terse=True),
        "uptime_s": int(time.time() - psutil.boot_time()),
        "load": [round(one, 2) for one in os.getloadavg()],
        "cpus": psutil.cpu_count() or 1,
        "memory": {"total_bytes": memory.total, "available_bytes": memory.available},
        "swap": {"total_bytes": swap.total, "free_bytes": swap.free},
    }


def _processes() -> dict[str, Any]:
    names = ["pid", "ppid", "username", "name", "cmdline", "cpu_times", "memory_info"]
    items = []
    for process in psutil.process_iter([*names, "create_time"], ad_value=None):
        found = process.info
        memory, times = found["memory_info"], found["cpu_times"]
        items.append(
            {
                "pid": found["pid"],
                "parent": found["ppid"],
                "user": found["username"],
                "name": found["name"],
                "command": " ".join(found["cmdline"] or [])[:MAX_COMMAND_CHARS],
                "cpu_s": round(times.user + times.system, 2) if times else None,
                "memory_bytes": memory.rss if memory else None,
                "started_at": format_instant(from_unix(int(found["create_time"] or 0))),
            }
        )
    items.sort(key=lambda item: -(item["memory_bytes"] or 0))
    return {"items": items[:MAX_PROCESSES], "omitted": max(0, len(items) - MAX_PROCESSES)}


def _disks() -> dict[str, Any]:
    items = []
    for part in psutil.disk_partitions(all=False):
        try:
            space = os.statvfs(part.mountpoint)
        except OSError:
            continue  # unmounted a moment ago, or not ours to see
        items.append(
            {
                "mount": part.mountpoint,
                "device": part.device,
                "type": part.fstype,
                "total_bytes": space.f_frsize * space.f_blocks,
                "free_bytes": space.f_frsize * space.f_bavail,
            }
        )
    return {"items": items}


VIEWS: dict[str, Callable[[], dict[str, Any]]] = {
    "system": _system,
    "processes": _processes,
    "disks": _disks,
}


def answer_view(line: bytes) -> tuple[str, bytes]:
    """Answer one request; blocks for as long as /proc takes.

    Args:
        line: at most `MAX_REQUEST_BYTES`.

    Returns:
        (what was shown, one line of JSON with its newline).

    Raises:
        FarhandError: `view-unknown` when it asks for something else.
    """
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
        view = VIEWS[request["show"]]
    except (msgspec.MsgspecError, KeyError, TypeError, RecursionError) as error:
        raise FarhandError(
            "view-unknown", f"what can be seen is {', '.join(sorted(VIEWS))}"
        ) from error
    body = {"show": request["show"], "at": format_instant(from_unix(int(time.time()))), **view()}
    return request["show"], _encode(body) + b"\n"


async def serve_view(lines: Lines, actions: ActionLog) -> None:
    """Answer requests until the console has no more (the subsystem `farhand-view`)."""
    while line := await lines.read_line(MAX_REQUEST_BYTES):
        try:
            shown, answer = await asyncio.to_thread(answer_view, line)
        except FarhandError as error:
            answer = b'{"error":{"code":"%s"}}\n' % error.code.encode()
        else:
            actions.add("view", shown)
        await lines.write(answer)


def _encode(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(body))


def _clean(value: Any) -> Any:
    """Escape lone surrogates: names and command lines need not be UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value
