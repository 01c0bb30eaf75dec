"""A websocket of the page: its messages one by one, and work that ends when the page has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["Socket", "error_body", "first_of"]


def error_body(error: FarhandError) -> dict[str, str | None]:
    """Return an error as messages to the page carry it."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


class Socket:
    """An accepted websocket.

    Args:
        socket: of the request.
    """

    def __init__(self, socket: WebSocket[Any, Any, Any]) -> None:
        self._socket = socket

    async def receive(self) -> bytes | dict[str, Any]:
        """Return the next message: bytes, or the object that a text held.

        Raises:
            WebSocketDisconnect: the page has gone.
            UsageError: `act-values` for a text that is no JSON object.
        """
        event: Any = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(detail="gone", code=event.get("code") or 1001)
        if (data := event.get("bytes")) is not None:
            return bytes(data)
        try:
            return msgspec.json.decode(event.get("text") or "", type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UsageError("act-values", "what the page said cannot be read") from error

    async def say(self, message: dict[str, Any]) -> None:
        """Send an object.

        Raises:
            WebSocketDisconnect: the page has gone.
        """
        await self._send(msgspec.json.encode(message).decode(), "text")

    async def try_say(self, message: dict[str, Any]) -> None:
        """Send an object, where anybody is left to be told."""
        try:
            await self.say(message)
        except WebSocketDisconnect:
            return  # the page has gone, and asks anew when it is back

    async def send(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            WebSocketDisconnect: the page has gone.
        """
        await self._send(data, "binary")

    async def _send(self, data: str | bytes, mode: Any) -> None:
        try:
            await self._socket.send_data(data, mode=mode)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise WebSocketDisconnect(code=1001, detail="gone") from error

    async def gone(self) -> None:
        """Return when the page has closed its end; what it still says is of no interest."""
        try:
            while True:
                await self.receive()
        except (WebSocketDisconnect, UsageError):
            return

    async def close(self) -> None:
        """Close it, where the page has not done so."""
        try:
            await self._socket.close()
        except (WebSocketDisconnect, RuntimeError):
            return  # the page was faster


async def first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Run works side by side until one has ended; the others are cancelled and waited for.

    Raises:
        Exception: what the one that ended raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
