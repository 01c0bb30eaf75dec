"""The heartbeat of one connection, driven by its deadline on the wheel.

A ping goes out once per period, spread over it by a random first beat, so that ten thousand links
do not beat at once.  A connection from which nothing at all came for three periods is dead.  Time
in which we ourselves did not read from it does not count.
"""

from __future__ import annotations

import random

from farhand_server.gateway.protocol import HOLD_INBOX, HOLD_PEER, Connection

__all__ = ["beat", "begin"]

_SILENT_PERIODS = 3


def begin(connection: Connection, now: float, period_s: float) -> None:
    """Set the first beat at a random point of the period."""
    connection.set_deadline(now + period_s * random.random())


def beat(connection: Connection, now: float, period_s: float) -> bool:
    """Ping and set the next beat; False when the connection is dead and should be cut."""
    if connection.is_held(HOLD_INBOX | HOLD_PEER):
        connection.heard = now
    elif now - connection.heard > _SILENT_PERIODS * period_s:
        return False
    connection.ping()
    connection.set_deadline(now + period_s)
    return True
