"""Whose connection it is: the user behind the other end of a connection on 127.0.0.1.

An address of the page could be read by others of this computer, off a browser's command line say.
Linux tells for each local socket whose it is (proc(5), /proc/net/tcp and tcp6); what it does not
tell there is nobody's, and is refused.  Elsewhere nothing is known, and the one-use ticket has to
do.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["NOBODY", "peer_user"]

# A user id that no user has.
NOBODY: Final = -1
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ADDRESS: Final = "127.0.0.1"
_WORD: Final = struct.unpack("=I", bytes((127, 0, 0, 1)))[0]
_MAPPED: Final = struct.unpack("=I", bytes((0, 0, 0xFF, 0xFF)))[0]
# As the tables spell 127.0.0.1, and ::ffff:127.0.0.1, by which it can be dialled as well.
_SPELLED: Final = (f"{_WORD:08X}", f"{0:016X}{_MAPPED:08X}{_WORD:08X}")


def peer_user(
    peer: tuple[str, int],
    own_port: int,
    *,
    tables: Sequence[Path] = _TABLES,
    platform: str = sys.platform,
) -> int | None:
    """Return the user id behind a connection to 127.0.0.1.

    Args:
        peer: address and port of the other end.
        own_port: of this end.
        tables: what to read.
        platform: as `sys.platform` names it.

    Returns:
        The user; `NOBODY` where the tables do not name one; None where the system has no tables.
    """
    if platform != "linux":
        return None
    address, port = peer
    if address != _ADDRESS:
        return NOBODY
    wanted = [(f"{one}:{port:04X}", f"{one}:{own_port:04X}") for one in _SPELLED]
    for table in tables:
        try:
            with table.open(encoding="ascii") as lines:
                for line in lines:
                    fields = line.split()
                    if len(fields) > 7 and (fields[1], fields[2]) in wanted:
                        return int(fields[7])
        except (OSError, ValueError):
            continue  # a computer without IPv6 has one table; with none, nobody is let in
    return NOBODY
