"""Who is changing packages at this moment, by the locks that package managers leave.

Nothing is ever locked here: a lock that is only looked at disturbs nobody.  A lock file that was
left behind by a crash counts as none where it names a process that is gone; pacman's names none.
Only Linux has such locks to look at; elsewhere the package managers say so themselves.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Final

from farhand_agent.platforms.files import SystemFiles

if sys.platform != "win32":
    import fcntl

__all__ = ["lock_holder"]

# Locked by record (fcntl) while somebody changes packages; the files are always there.
_RECORDS: Final = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/rpm/.rpm.lock",
    "/usr/lib/sysimage/rpm/.rpm.lock",
)
# These hold the number of the process that is at work.
_NUMBERS: Final = ("/run/zypp.pid", "/run/yum.pid", "/var/lib/dnf/rpmdb_lock.pid")
# There while pacman works, and after it was killed.
_MARKS: Final = ("/var/lib/pacman/db.lck",)
# struct flock of Linux, with 64-bit offsets: kind, whence, start, length, process.
_FLOCK: Final = "hhqqi"


def lock_holder(files: SystemFiles) -> str | None:
    """Return who is changing packages, in words ("dpkg (process 4711)"); None for nobody."""
    if not sys.platform.startswith("linux"):
        return None
    for name in _RECORDS:
        number = _record_holder(files.path(name))
        if number is not None:
            return _named(files, number, name)
    for name in _NUMBERS:
        number = _written(files, name)
        if number is not None and files.path(f"/proc/{number}").exists():
            return _named(files, number, name)
    for name in _MARKS:
        if files.path(name).exists():
            return f"whoever left {name}"
    return None


def _record_holder(path: Path) -> int | None:
    """Return the process that holds a record lock on a file: 0 for one that cannot be seen."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # no such package manager, or only for root to look at
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, number = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    except OSError:
        return None  # a file system without locks
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else max(0, number)


def _written(files: SystemFiles, name: str) -> int | None:
    try:
        return files.number(name)
    except PermissionError:
        return None


def _named(files: SystemFiles, number: int, name: str) -> str:
    program = files.line(f"/proc/{number}/comm") if number else None
    return f"{program or 'somebody'} (process {number or 'unseen'}, {name})"
