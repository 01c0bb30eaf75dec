"""The tool `disk-usage`: what in a folder takes the room.

    {"path", "items": [{"name", "kind": "folder" | "file" | "other", "bytes", "files"}],
     "total_bytes", "files", "omitted", "unreadable", "complete"}

Sizes are what the disk gives for them, as `du` counts.  It stays inside the session's files roots
and on the folder's own file system, follows no link, and gives up after a while with what it has
(`complete` is false then).
"""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path
from typing import Any, Final

import asyncssh

from farhand_agent.session.files_roots import Roots
from farhand_agent.session.tools.commands import failed
from farhand_protocol.errors import RefusedError

__all__ = ["MAX_ENTRIES", "measure_folder"]

MAX_ENTRIES: Final = 2_000_000
_WALK_S: Final = 60.0
_SHOWN: Final = 100
_BLOCK_BYTES: Final = 512


class _Walk:
    """One walk and its bounds."""

    def __init__(self, device: int, stopped: threading.Event) -> None:
        self._device = device
        self._stopped = stopped
        self._until = time.monotonic() + _WALK_S
        self._entries = 0
        self.unreadable = 0

    @property
    def is_over(self) -> bool:
        """Whether time, patience or the console's interest is used up."""
        over = self._entries >= MAX_ENTRIES or time.monotonic() >= self._until
        return over or self._stopped.is_set()

    def measure(self, entry: os.DirEntry[str]) -> tuple[str, int, int]:
        """Return (kind, bytes, files) of an entry with all that is in it."""
        found = self._look(entry)
        if found is None:
            return "other", 0, 0
        if not stat.S_ISDIR(found.st_mode):
            kind = "file" if stat.S_ISREG(found.st_mode) else "other"
            return kind, found.st_blocks * _BLOCK_BYTES, 1
        size, files = found.st_blocks * _BLOCK_BYTES, 0
        folders = [entry.path] if found.st_dev == self._device else []
        while folders and not self.is_over:
            for inner in self._entries_of(folders.pop()):
                state = self._look(inner)
                if state is None:
                    continue
                size += state.st_blocks * _BLOCK_BYTES
                if not stat.S_ISDIR(state.st_mode):
                    files += 1
                elif state.st_dev == self._device:
                    folders.append(inner.path)
        return "folder", size, files

    def _entries_of(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except OSError:
            self.unreadable += 1
            return []

    def _look(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        self._entries += 1
        try:
            return entry.stat(follow_symlinks=False)
        except OSError:
            self.unreadable += 1
            return None


def measure_folder(path: str, roots: Roots, stopped: threading.Event) -> dict[str, Any]:
    """Measure one folder; blocks for a minute at most.

    Args:
        path: of a folder within the roots; empty for where relative paths begin.
        roots: what the session may see.
        stopped: ends the walk early.

    Raises:
        RefusedError: `tool-refused` outside the roots.
        FarhandError: `tool-failed` when it is no folder that can be read.
    """
    try:
        real = roots.target(os.fsencode(path))
        device = Path(real).stat().st_dev
        with os.scandir(real) as entries:
            found = list(entries)
    except asyncssh.SFTPError as error:
        raise RefusedError("tool-refused", error.reason) from error
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else ""
        raise failed(words or "this is no folder that can be read") from error
    walk = _Walk(device, stopped)
    rows: list[dict[str, Any]] = []
    for entry in found:
        if walk.is_over:
            break
        kind, size, files = walk.measure(entry)
        rows.append({"name": entry.name, "kind": kind, "bytes": size, "files": files})
    rows.sort(key=lambda row: -row["bytes"])
    return {
        "path": real,
        "items": rows[:_SHOWN],
        "total_bytes": sum(row["bytes"] for row in rows),
        "files": sum(row["files"] for row in rows),
        "omitted": max(0, len(found) - _SHOWN),
        "unreadable": walk.unreadable,
        "complete": not walk.is_over,
    }
