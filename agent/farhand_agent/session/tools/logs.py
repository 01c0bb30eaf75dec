"""The tool `logs`: the end of the system's log or of one file, and what comes after it.

    {"line": {"at", "source", "priority", "pid", "text"}}      one per line, oldest first
    {"done": true, "lines": N}                                 unless it follows

              the end                            following
    linux     journalctl --lines=N -o json       journalctl --follow
              /var/log/syslog or messages        reading on, where there is no journal
    macos     log show --style ndjson            log stream --style ndjson
    windows   Get-WinEvent -LogName System       -

Logs hold what nobody meant to show (addresses, command lines, at times passwords), and `view`
promises no more than what runs and how full the disks are; so the system's log needs `terminal`,
which could read it anyway, and a file needs `files` and lies within its roots.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import asyncssh

from farhand_agent.session.files_roots import Roots
from farhand_agent.session.tools.commands import ToolCommands, ToolUnsupported, failed
from farhand_agent.session.tools.requests import Logs
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["log_command", "log_lines", "parse_entry"]

MAX_TEXT_CHARS: Final = 4000
# With a `match` so much is read to find lines that fit.
MAX_SCANNED: Final = 20_000
_TAIL_BYTES: Final = 4 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_POLL_S: Final = 0.5
_TEXT_LOGS: Final = ("/var/log/syslog", "/var/log/messages")
_JOURNAL: Final = Path("/run/systemd/journal")
_FIELDS: Final = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,_COMM,_PID"


def log_command(request: Logs, platform: str) -> list[str]:
    """Return the command that prints one JSON object per line.

    Raises:
        ToolUnsupported: this platform has none, or none that follows.
    """
    wanted = MAX_SCANNED if request.match and not request.follow else request.lines
    if platform == "linux":
        argv = ["journalctl", "--no-pager", "--quiet", "--output=json", f"--lines={wanted}"]
        argv += [f"--output-fields={_FIELDS}"]
        argv += [f"--unit={request.unit}"] if request.unit else []
        argv += [f"--since=-{request.since_s}s"] if request.since_s else []
        argv += [f"--priority={request.priority}"] if request.priority is not None else []
        return [*argv, "--follow"] if request.follow else argv
    if platform == "macos":
        verb = ["stream"] if request.follow else ["show", "--last", f"{request.since_s or 3600}s"]
        only = ["--predicate", f'process == "{request.unit}"'] if request.unit else []
        return ["log", *verb, "--style", "ndjson", *only]
    if platform == "windows" and not request.follow:
        # Each event as one line of JSON, oldest first.
        query = f"Get-WinEvent -LogName System -MaxEvents {max(1, wanted)}"
        if request.unit:
            query += f" | Where-Object ProviderName -eq '{request.unit}'"
        query += " | Sort-Object TimeCreated | ForEach-Object { $_ | Select-Object"
        query += " @{n='at';e={$_.TimeCreated.ToUniversalTime().ToString('s') + 'Z'}},"
        query += "ProviderName,Level,ProcessId,Message | ConvertTo-Json -Compress }"
        return ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", query]
    raise ToolUnsupported("this system's log cannot be read this way")


def parse_entry(line: bytes) -> dict[str, Any] | None:
    """Return one entry of what such a command printed, None for a line that is no entry."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    text = found.get("MESSAGE", found.get("eventMessage", found.get("Message")))
    if isinstance(text, list):
        # journald prints what is not plain text as the numbers of its bytes.
        text = bytes(one for one in text if isinstance(one, int) and 0 <= one < 256)
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        return None
    source = (
        found.get("_SYSTEMD_UNIT")
        or found.get("SYSLOG_IDENTIFIER")
        or found.get("_COMM")
        or found.get("ProviderName")
        or os.path.basename(str(found.get("processImagePath") or ""))
    )
    at = found.get("at", found.get("timestamp"))
    stamp = found.get("__REALTIME_TIMESTAMP")
    if isinstance(stamp, str) and stamp.isascii() and stamp.isdigit() and len(stamp) < 18:
        at = format_instant(from_unix(int(stamp) // 1_000_000))
    return _entry(
        text,
        at=str(at)[:40] if at else None,
        source=str(source)[:200] if source else None,
        priority=_number(found.get("PRIORITY", found.get("Level"))),
        pid=_number(found.get("_PID", found.get("processID", found.get("ProcessId")))),
    )


def _entry(
    text: str,
    *,
    at: str | None = None,
    source: str | None = None,
    priority: int | None = None,
    pid: int | None = None,
) -> dict[str, Any]:
    return {
        "at": at,
        "source": source,
        "priority": priority,
        "pid": pid,
        "text": text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode(),
    }


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


async def log_lines(
    request: Logs, commands: ToolCommands, roots: Roots, platform: str
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the entries that were asked for; endless where it follows.

    Raises:
        RefusedError: `tool-refused` for a file outside the roots.
        FarhandError: `tool-unsupported`, `tool-failed`.
    """
    text_log = next((one for one in _TEXT_LOGS if os.path.exists(one)), "")
    file: _File | None = None
    if request.file:
        file = _File(request.file, roots)
    elif platform == "linux" and text_log and not _JOURNAL.is_dir():
        file = _File(text_log, Roots((), "/", read_only=True))
    if file is not None:
        async with aclosing(_of_file(file, request)) as entries:
            async for entry in entries:
                yield entry
        return
    argv = log_command(request, platform)
    if request.follow:
        async with aclosing(commands.follow(argv)) as lines:
            async for line in lines:
                if (found := parse_entry(line)) and _fits(found, request):
                    yield found
        return
    outcome = await commands.run(argv, timeout_s=60.0)
    parsed = (parse_entry(line) for line in outcome.stdout.splitlines())
    for one in deque((one for one in parsed if one and _fits(one, request)), request.lines):
        yield one


def _fits(entry: dict[str, Any], request: Logs) -> bool:
    return request.match.lower() in entry["text"].lower()


class _File:
    """A text file that grows, is cut off, or is replaced by another of its name.

    Args:
        path: as the console names it.
        roots: within which it must lie, whenever it is opened.
    """

    def __init__(self, path: str, roots: Roots) -> None:
        self._path = path
        self._roots = roots
        self._at = 0
        self._inode = -1
        self._held = b""

    def tail(self) -> list[bytes]:
        """Return the whole lines near the end."""
        descriptor, found = self._open()
        try:
            start = max(0, found.st_size - _TAIL_BYTES)
            data = os.pread(descriptor, found.st_size - start, start)
        finally:
            os.close(descriptor)
        self._at, self._inode = start + len(data), found.st_ino
        *lines, self._held = data.split(b"\n")
        return lines[1:] if start else lines

    def unfinished(self) -> list[bytes]:
        """Return the last line where no newline ends it."""
        return [self._held] if self._held else []

    def more(self) -> list[bytes]:
        """Return the lines that were written since; none while the file is being replaced."""
        try:
            descriptor, found = self._open()
        except FarhandError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return []
            raise
        try:
            if found.st_ino != self._inode or found.st_size < self._at:
                self._at, self._inode, self._held = 0, found.st_ino, b""
            data = os.pread(descriptor, _PIECE_BYTES, self._at)
        finally:
            os.close(descriptor)
        self._at += len(data)
        *lines, self._held = (self._held + data).split(b"\n")
        if len(self._held) > _PIECE_BYTES:
            lines.append(self._held)
            self._held = b""
        return lines

    def _open(self) -> tuple[int, os.stat_result]:
        try:
            real = self._roots.target(os.fsencode(self._path))
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except asyncssh.SFTPError as error:
            raise RefusedError("tool-refused", error.reason) from error
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else ""
            raise failed(words or "the file cannot be read") from error
        found = os.fstat(descriptor)
        try:
            if not stat.S_ISREG(found.st_mode):
                raise failed("this is no file with text")
            self._roots.check_size(found.st_size)
        except asyncssh.SFTPError as error:
            os.close(descriptor)
            raise RefusedError("tool-refused", error.reason) from error
        except FarhandError:
            os.close(descriptor)
            raise
        return descriptor, found


async def _of_file(file: _File, request: Logs) -> AsyncGenerator[dict[str, Any], None]:
    def fitting(lines: list[bytes]) -> list[dict[str, Any]]:
        entries = [_entry(line.decode("utf-8", "replace").rstrip("\r")) for line in lines]
        wanted = request.unit.lower()
        return [one for one in entries if _fits(one, request) and wanted in one["text"].lower()]

    lines = await asyncio.to_thread(file.tail)
    if not request.follow:
        lines += file.unfinished()
    entries = fitting(lines)
    for entry in entries[-request.lines :] if request.lines else []:
        yield entry
    while request.follow:
        lines = await asyncio.to_thread(file.more)
        for entry in fitting(lines):
            yield entry
        if not lines:
            await asyncio.sleep(_POLL_S)
