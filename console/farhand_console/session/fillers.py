"""asyncssh's fillers, left out: the empty SSH_MSG_IGNORE that it sends before each of its messages.

They guard ciphers in CBC mode, whose initialisation vectors can be known beforehand (RFC 4251
s9.3.1).  Every cipher that `ssh` offers seals each packet under a nonce of its own; there a filler
is only a second packet to seal, carry, open and drop for each one that says something.
"""

from __future__ import annotations

from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE

__all__ = ["leave_out_fillers"]


def leave_out_fillers(connection: asyncssh.SSHClientConnection) -> None:
    """Have a connection send what it says and nothing before it."""
    send = connection.send_packet

    def send_packet(pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype != MSG_IGNORE:
            send(pkttype, *args, handler=handler)

    connection.send_packet = send_packet  # type: ignore[method-assign]
