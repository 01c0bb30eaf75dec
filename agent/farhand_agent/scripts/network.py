"""Cutting the network off from a body: on Linux, a network namespace with nothing in it.

Root takes a new namespace just so.  Anybody else needs a user namespace around it, in which he
stays who he was; many systems forbid that.  Where it cannot be done the script does not run.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["can_cut_network", "cut_network"]

# <linux/sched.h>
_CLONE_NEWUSER: Final = 0x1000_0000
_CLONE_NEWNET: Final = 0x4000_0000


def cut_network() -> None:
    """Leave every network, for good; for a child between fork and exec.

    Raises:
        OSError: the system does not allow it.
    """
    if sys.platform == "linux":
        flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
        uid, gid = os.geteuid(), os.getegid()
        library = ctypes.CDLL(None, use_errno=True)
        if library.unshare(flags) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if flags & _CLONE_NEWUSER:
            # user_namespaces(7): a process may map itself, once it gave up setting groups.
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    else:
        raise OSError("there are no network namespaces here")


def can_cut_network() -> bool:
    """Tell whether `cut_network` works here, by trying it in a child.

    For a process of one thread.
    """
    if sys.platform == "linux":
        child = os.fork()
        if child == 0:
            try:
                cut_network()
            except OSError:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        return status == 0
    else:  # noqa: RET505 - mypy judges only branches by platform, not what follows them
        return False
