"""Root acts in a home as the home's owner, and as nobody else.

An installed agent runs as a user of its own, and its home belongs to that user.  Were root to write
there as root, the agent could not use what root left, and whoever owns the folder could lay traps
for root in it.  So a command that works in a home gives its rights up first; what it gives up does
not come back.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["become_owner"]


def become_owner(home: Path) -> bool:
    """Give up root's rights for those of the home's owner; True when that was done.

    Nothing is done where this is not root, where there is no such folder yet, or where root owns
    it.

    Raises:
        OSError: the rights cannot be given up.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return False
    try:
        owner = home.stat()
    except FileNotFoundError:
        return False
    if owner.st_uid == 0:
        return False
    import pwd  # there is none on Windows

    try:
        entry = pwd.getpwuid(owner.st_uid)
    except KeyError:
        os.setgroups([])
    else:
        os.initgroups(entry.pw_name, owner.st_gid)
        os.environ["HOME"] = entry.pw_dir
        os.environ["USER"] = os.environ["LOGNAME"] = entry.pw_name
    # The local socket lies where the agent's own environment says, which is not root's.
    os.environ.pop("XDG_RUNTIME_DIR", None)
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
    return True
