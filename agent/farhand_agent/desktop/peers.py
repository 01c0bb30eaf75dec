"""Whose connection it is: the user behind the other end of a connection on 127.0.0.1.

An address of the page could be read by others of this computer, off a browser's command line say.
Linux tells for each local socket whose it is (proc(5), /proc/net/tcp); elsewhere nothing is known,
and the one-use ticket has to do.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

__all__ = ["peer_user"]

_TABLE: Final = Path("/proc/net/tcp")
_LOOPBACK: Final = struct.unpack("=I", bytes((127, 0, 0, 1)))[0]


def peer_user(peer_port: int, own_port: int, *, table: Path = _TABLE) -> int | None:
    """Return the user id behind a connection from 127.0.0.1, None where it cannot be known.

    Args:
        peer_port: of the other end.
        own_port: of this end.
        table: what to read.
    """
    wanted = f"{_LOOPBACK:08X}:{peer_port:04X}", f"{_LOOPBACK:08X}:{own_port:04X}"
    try:
        with table.open(encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                if len(fields) > 7 and (fields[1], fields[2]) == wanted:
                    return int(fields[7])
    except (OSError, ValueError):
        return None  # not Linux, or a table that cannot be read
    return None
