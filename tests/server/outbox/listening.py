"""A small web server on a free port: it keeps what it is asked and answers as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Told(NamedTuple):
    """One answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}


def told(value: object, status: int = 200, **headers: str) -> Told:
    """An answer in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Told(status, json.dumps(value).encode(), named)


class Listener:
    """What was asked, and what is answered."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Told] = lambda asked: Told()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(method, path, headers, body)
            self.asked.append(asked)
            answer = self.answer(asked)
            lines = [f"HTTP/1.1 {answer.status} Whatever", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            lines.append(f"Content-Length: {len(answer.body)}")
            writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """Serve until the end of the block."""
    listener = Listener()
    server = await asyncio.start_server(listener._serve, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        await server.wait_closed()
