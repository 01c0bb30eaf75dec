"""asyncssh's fillers are left out on the console's side too."""

from __future__ import annotations

from typing import Any, cast

import asyncssh
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_DEBUG, MSG_IGNORE

from farhand_console.session.fillers import leave_out_fillers


class Recorded:
    """What a connection was asked to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, tuple[bytes, ...], Any]] = []

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype == MSG_CHANNEL_DATA:
            self.send_packet(MSG_IGNORE, b"")  # as asyncssh does, by way of the connection
        self.sent.append((pkttype, args, handler))


def test_a_message_goes_out_whole_and_alone() -> None:
    connection = Recorded()
    leave_out_fillers(cast(asyncssh.SSHClientConnection, connection))
    connection.send_packet(MSG_CHANNEL_DATA, b"one", b"two", handler="whoever")
    connection.send_packet(MSG_IGNORE, b"")
    connection.send_packet(MSG_DEBUG, b"words")
    assert connection.sent == [
        (MSG_CHANNEL_DATA, (b"one", b"two"), "whoever"),
        (MSG_DEBUG, (b"words",), None),
    ]
