"""The websocket of one attachment, as the message stream that a pipe wants (pipes.MessageStream).

A relay that says nothing at all for `SILENCE_S`, its pings included, counts as lost.
"""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from farhand_agent.session.pipes import StreamLost

__all__ = ["SILENCE_S", "WebsocketStream"]

# The relay pings a pipe; one that says nothing at all for so long is dead.
SILENCE_S: Final = 90.0


class WebsocketStream:
    """A websocket as `pipes.MessageStream`."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def send(self, message: bytes) -> None:
        """Send one message."""
        try:
            await self._websocket.send(message)
        except (ConnectionClosed, OSError) as error:
            raise StreamLost from error

    async def receive(self) -> bytes:
        """Return the next message; text is not spoken on a pipe."""
        message: bytes | str | None = None
        while message is None:
            heard_at = self._heard_at()
            try:
                async with asyncio.timeout_at(heard_at + SILENCE_S):
                    message = await self._websocket.recv()
            except TimeoutError as error:
                if self._heard_at() <= heard_at:
                    raise StreamLost("the relay fell silent") from error
            except (ConnectionClosed, OSError) as error:
                raise StreamLost from error
        if isinstance(message, str):
            raise StreamLost("the relay sent text on a pipe")
        return message

    def _heard_at(self) -> float:
        heard_at: float = getattr(self._websocket, "heard_at", 0.0)
        return heard_at or asyncio.get_running_loop().time()
