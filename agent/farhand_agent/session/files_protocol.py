"""SFTP packets under our limits: asyncssh's handler, bounded both ways.

A request is refused before it is buffered when it is too large, and answered only when the channel
has room for the answer: a console that asks for blocks and never reads them gets no more than one
channel's buffer of memory out of us.  asyncssh's own extensions are left out: `copy-data` would
copy without being noted, `ranges@asyncssh.com` serves only its own client.
"""

from __future__ import annotations

import asyncssh
from asyncssh.packet import SSHPacket
from asyncssh.sftp import SFTPLimits, SFTPServerHandler

from farhand_agent.session.manners import Manners

__all__ = ["MAX_BLOCK_BYTES", "MAX_HANDLES", "MAX_PACKET_BYTES", "BoundedHandler"]

MAX_BLOCK_BYTES = 128 * 1024
MAX_PACKET_BYTES = MAX_BLOCK_BYTES + 4096
MAX_HANDLES = 64
# Answers that wait for the console's window; below this the next request is read already.
MAX_UNSENT_BYTES = 4 * MAX_BLOCK_BYTES

_VERSION = 3
_LEFT_OUT = (b"copy-data", b"ranges@asyncssh.com")


class BoundedHandler(SFTPServerHandler):
    """Reads requests and writes answers of one SFTP channel, giving way to whoever types."""

    def __init__(
        self,
        server: asyncssh.SFTPServer,
        reader: asyncssh.SSHReader[bytes],
        writer: asyncssh.SSHWriter[bytes],
        manners: Manners,
    ) -> None:
        super().__init__(server, reader, writer, _VERSION)
        self._pace = manners.pace()

    _extensions = [  # noqa: RUF012 - declared by asyncssh
        (name, value)
        for name, value in SFTPServerHandler._extensions
        if name not in (*_LEFT_OUT, b"vendor-id", b"newline")
    ]

    async def recv_packet(self) -> SSHPacket:
        """Read one packet once there is room for its answer; refuse a large one unread."""
        assert self._reader is not None
        assert self._writer is not None
        await self._writer.drain()
        await self._pace.give_way()
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        if length > MAX_PACKET_BYTES:
            raise asyncssh.SFTPBadMessage("the packet is too large")
        return SSHPacket(await self._reader.readexactly(length))

    async def _limits(self, packet: SSHPacket) -> SFTPLimits:
        packet.check_end()
        return SFTPLimits(MAX_PACKET_BYTES, MAX_BLOCK_BYTES, MAX_BLOCK_BYTES, MAX_HANDLES)

    _packet_handlers = {  # noqa: RUF012 - declared by asyncssh
        **{
            kind: handler
            for kind, handler in SFTPServerHandler._packet_handlers.items()
            if kind not in _LEFT_OUT
        },
        b"limits@openssh.com": _limits,  # type: ignore[dict-item]
    }
