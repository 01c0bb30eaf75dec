"""Subsystems: what a console can ask of a session besides a shell, files and forwarding.

Each is a name, the scope it needs and a function that holds its conversation.  All of them speak
JSON, one object per line, both ways.  `sftp` is not one of them: it is binary, and the SSH host
serves it itself.  The host asks for the scope at the request and ends the conversation when the
scope is withdrawn; a subsystem without a scope is open to whoever holds the grant's key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Lines", "Subsystem"]


class Lines(Protocol):
    """One channel as a subsystem sees it."""

    async def read_line(self, limit: int) -> bytes:
        """Return the next line without its newline; empty at the end.

        Raises:
            RemoteError: `line-too-long` when it has more than `limit` bytes.
        """

    async def write(self, data: bytes) -> None:
        """Send bytes and wait until there is room for more.

        Raises:
            ConnectionResetError: the channel is gone.
        """


@dataclass(frozen=True)
class Subsystem:
    """One row of the host's table.

    Args:
        scope: that it needs, or None.
        serve: holds the conversation; returning ends the channel with exit status 0.
        least: who may ask for it: only the session's own operator, peers who joined as well, or
            observers too.
    """

    scope: str | None
    serve: Callable[[Lines], Awaitable[None]]
    least: Literal["operator", "peer", "observer"] = "operator"
