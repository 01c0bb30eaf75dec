"""The resident agent's end of the local socket; what is spoken there stands in `local`.

Apart from the asking side because whoever asks blocks, and starts faster without asyncio.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from farhand_agent.config import Home
from farhand_agent.local import MAX_LINE_BYTES, socket_path
from farhand_protocol.errors import FarhandError

__all__ = ["Handler", "LocalServer"]

_REQUEST_TIMEOUT_S = 10.0
_MAX_CONNECTIONS = 16

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class LocalServer:
    """Listens on the socket; use as an asynchronous context manager."""

    def __init__(self, home: Home, handlers: Mapping[str, Handler], *, session: str = "") -> None:
        self._home = home
        self._session = session
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._open = 0

    async def __aenter__(self) -> LocalServer:
        path = socket_path(self._home, session=self._session, make=True)
        # The home's lock (or the session's) is ours, so a socket that lies here is a dead one's.
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, path=str(path), limit=MAX_LINE_BYTES
            )
        finally:
            os.umask(before)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        socket_path(self._home, session=self._session).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _MAX_CONNECTIONS:
            writer.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                line = await reader.readline()
                answer = await self._answer(line)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            # A caller that is slow, gone or sends an endless line gets no answer; nothing is lost.
            return
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            handler = self._handlers.get(str(request.get("do")))
            if handler is None:
                raise FarhandError("request-unknown", "the agent does not know this request")
            return await handler(request)
        except (msgspec.MsgspecError, RecursionError):
            error = FarhandError("request-malformed", "the request cannot be read")
        except FarhandError as caught:
            error = caught
        return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
