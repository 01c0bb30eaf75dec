"""Subsystems: what a console can ask of a session besides a shell, files and forwarding.

Each is a name, the scope it needs and a function that holds its conversation.  All but one of them
speak JSON, one object per line, both ways; the screen speaks RFB.  `sftp` is not one of them: the
SSH host serves it itself.  The host asks for the scope at the request and ends the conversation
when the scope is withdrawn; a subsystem without a scope is open to whoever holds the grant's key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

__all__ = ["PARTING_S", "Lines", "Stream", "Subsystem"]

# A last picture is on its way by then, or never will be.
PARTING_S: Final = 2.0


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


class Stream(Lines, Protocol):
    """One channel as a subsystem sees it that speaks no lines, and parts in its own way."""

    withdrawn: asyncio.Event
    """Set when the scope is: what is left to say must be said within `PARTING_S`."""

    def may(self, scope: str) -> bool:
        """Tell whether another scope is open on this channel's connection, and that is there."""

    async def read_input(self) -> bytes:
        """Return input as it comes; empty at its end or when the channel is gone."""

    async def complain(self, data: bytes) -> None:
        """Send bytes that are no part of the conversation, as error output.

        Raises:
            ConnectionResetError: the channel is gone.
        """


@dataclass(frozen=True)
class Subsystem:
    """One row of the host's table.

    Args:
        scope: that it needs, or None.
        serve: holds the conversation; returning ends the channel with exit status 0.
        parts: it ends by itself when its scope is withdrawn, and is cut only after `PARTING_S`.
        least: who may ask for it: only the session's own operator, peers who joined as well, or
            observers too.
    """

    scope: str | None
    serve: Callable[[Stream], Awaitable[None]]
    least: Literal["operator", "peer", "observer"] = "operator"
    parts: bool = False
