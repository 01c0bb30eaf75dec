"""Private folders of this console in the machine's own place for passing things.

What is decrypted to be played, and what an act is given as a file, lies in such a folder for as
long as it is needed.  A console that was killed takes nothing away; so its process stands in each
folder's name, and the next one that starts removes what belongs to none that runs.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["make_scratch", "sweep_scratch"]

_NAME = re.compile(r"farhand-(?:recording|act)-([0-9]{1,10})-", re.ASCII)
_PREFIX: Final = "farhand-{kind}-{pid}-"


def make_scratch(kind: str) -> Path:
    """Return a new folder (0700) of this process; `kind` is recording or act."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX.format(kind=kind, pid=os.getpid())))


def sweep_scratch() -> None:
    """Remove this user's folders of consoles that run no more."""
    if sys.platform == "win32":
        return  # asking after a process would end it there
    for path in Path(tempfile.gettempdir()).glob("farhand-*-*-*"):
        found = _NAME.match(path.name)
        if found is not None and _is_ours(path) and not _runs(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    try:
        told = path.lstat()
    except OSError:
        return False  # it has just gone
    # A link of that name is somebody's trap: what it leads to is not looked at.
    return not path.is_symlink() and path.is_dir() and told.st_uid == os.getuid()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
