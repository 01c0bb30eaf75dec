"""An assistant elsewhere, as a small HTTP server on this machine that answers what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Endpoint", "endpoint"]


class Endpoint:
    """What it was asked, and what it answers next."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.status = "200 OK"
        self.body = b"{}"
        self.more = ""
        self.silent = False

    def says(self, value: Any) -> None:
        """Answer with this from now on."""
        self.body = json.dumps(value).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, or hang up when the asker is gone."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((headers, json.loads(body)))
            if self.silent:
                await reader.read()  # until the asker gives up
                return
            length = f"Content-Length: {len(self.body)}\r\n"
            writer.write(f"HTTP/1.1 {self.status}\r\n{length}{self.more}\r\n".encode() + self.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # it had enough
        finally:
            writer.close()


@asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    """Serve on a free port of this machine."""
    made = Endpoint()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.url = f"http://127.0.0.1:{port}/answer"
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()
