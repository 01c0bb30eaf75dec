"""Whose connection it is: the user behind the other end of a connection on this machine.

The link's token stands in the browser's command line for a moment, and a cookie of 127.0.0.1 goes
to every port of it, so both could reach other users of this machine.  Linux tells for each socket
whose it is (proc(5), /proc/net/tcp and tcp6); there a connection that is not this user's own, or
that cannot be found, is refused.  Elsewhere nothing is known, and `is_own` says so with True.
"""

from __future__ import annotations

import ipaddress
import os
import struct
import sys
from pathlib import Path
from typing import Final

__all__ = ["is_own"]

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
Address = tuple[str, int]


def _spelled(host: str, port: int) -> set[str]:
    """Return how the kernel's tables write an address, also when it is mapped into IPv6."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    packed = [address.packed]
    if isinstance(address, ipaddress.IPv4Address):
        packed.append(ipaddress.IPv6Address(f"::ffff:{address}").packed)
    return {
        "".join(f"{word:08X}" for word in struct.unpack(f"={len(one) // 4}I", one)) + f":{port:04X}"
        for one in packed
    }


def is_own(
    peer: Address | None, own: Address | None, *, tables: tuple[Path, ...] = _TABLES
) -> bool:
    """Return whether a connection's other end belongs to the user of this process.

    Args:
        peer, own: host and port of both ends.
        tables: what to read.
    """
    if sys.platform != "linux":
        return True
    if peer is None or own is None:
        return False
    try:
        ends = _spelled(*peer), _spelled(*own)
        for table in tables:
            with table.open(encoding="ascii") as lines:
                for line in lines:
                    fields = line.split()
                    if len(fields) > 7 and fields[1] in ends[0] and fields[2] in ends[1]:
                        return int(fields[7]) == os.getuid()
    except (OSError, ValueError):
        return False  # a machine that does not tell is no reason to believe
    return False
