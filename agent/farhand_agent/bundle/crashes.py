"""Which crash reports lie on this device: names, sizes and times, never their content.

A crash dump holds the memory of a program, secrets and all; whoever needs one asks for it by name
in a session.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from farhand_protocol.instants import format_instant

__all__ = ["MAX_CRASHES", "list_crashes"]

MAX_CRASHES: Final = 500
_FOLDERS: Final = (
    "/var/crash",
    "/var/lib/systemd/coredump",
    "/var/lib/apport/coredump",
    "/var/spool/abrt",
    "/Library/Logs/DiagnosticReports",
    "/Windows/Minidump",
    "/ProgramData/Microsoft/Windows/WER/ReportArchive",
)


def list_crashes(root: Path = Path("/")) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the newest crash reports, and a sentence for each folder that may not be read."""
    found: list[tuple[float, dict[str, Any]]] = []
    denied: list[str] = []
    for folder in _FOLDERS:
        try:
            found += list(_reports(root / folder.lstrip("/"), folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            denied.append(f"{folder}: {error.strerror}")
    found.sort(key=lambda one: one[0], reverse=True)
    return [item for _, item in found[:MAX_CRASHES]], denied


def _reports(folder: Path, shown: str) -> Iterator[tuple[float, dict[str, Any]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                continue
            at = datetime.fromtimestamp(int(status.st_mtime), UTC)
            yield (
                status.st_mtime,
                {
                    "path": f"{shown}/{entry.name}".encode("utf-8", "replace").decode(),
                    "size_bytes": status.st_size if stat.S_ISREG(status.st_mode) else None,
                    "at": format_instant(at),
                },
            )
