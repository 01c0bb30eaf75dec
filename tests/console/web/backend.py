"""The web console's backend on a port of its own, before a relay that answers as a test wants."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from farhand_console.home import Home, Settings
from farhand_console.web.app import build_app
from farhand_console.web.gate import Gate

__all__ = ["Answer", "Backend", "FakeRelay", "backend", "json_answer", "said"]

PATIENCE_S = 20.0
Answer = tuple[int, dict[str, str], bytes]


def json_answer(body: object, status: int = 200) -> Answer:
    """Return an answer as the relay gives most."""
    return status, {"content-type": "application/json"}, json.dumps(body).encode()


class FakeRelay:
    """Answers HTTP as `answers` says, and notes what it was asked.

    Attributes:
        answers: called with method and address (path and query).
        asked: (method, address, headers, body) of each call.
    """

    def __init__(self) -> None:
        self.answers: Callable[[str, str], Answer] = lambda method, address: json_answer({})
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        address = scope["raw_path"].decode()
        if scope["query_string"]:
            address += "?" + scope["query_string"].decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], address, headers, body))
        status, given, content = self.answers(scope["method"], address)
        raw = [(name.encode(), value.encode()) for name, value in given.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def _served(app: Any, *, lifespan: Literal["on", "off"] = "off") -> AsyncIterator[int]:
    """Serve an ASGI application; yields the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        config = uvicorn.Config(
            app, log_config=None, lifespan=lifespan, ws="websockets-sansio", access_log=False
        )
        started = asyncio.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                started.set()

        server = Server(config)
        serving = asyncio.ensure_future(server._serve([listener]))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await started.wait()
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


class Backend:
    """A running backend with a browser's way of calling it."""

    def __init__(self, port: int, gate: Gate, home: Home, relay: FakeRelay, app: Any) -> None:
        self.port = port
        self.gate = gate
        self.home = home
        self.relay = relay
        # Acts that run.
        self.running: set[int] = app.state.acts
        self.app = app
        self.origin = f"http://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=self.origin, trust_env=False, timeout=PATIENCE_S)
        self.cookie = ""

    async def enter(self) -> None:
        """Let this browser in."""
        answer = await self.http.post(
            "/local/enter", json={"token": self.gate.new_token()}, headers={"origin": self.origin}
        )
        assert answer.status_code == 204, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        self.http.headers["cookie"] = self.cookie
        self.http.headers["origin"] = self.origin

    def socket(self, path: str, **headers: str) -> connect:
        """Return a websocket to enter, as this browser opens it; headers may be put over."""
        given = {"cookie": self.cookie, "origin": self.origin} | headers
        return connect(f"ws://127.0.0.1:{self.port}{path}", additional_headers=given, proxy=None)


@asynccontextmanager
async def backend(folder: Path) -> AsyncIterator[Backend]:
    """Run a backend whose home is signed in to a fake relay; nobody has been let in yet."""
    relay = FakeRelay()
    async with _served(relay) as relay_port:
        home = Home(folder / "home")
        home.save(
            Settings(
                relay_key="00" * 32,
                tls_sha256="",
                tenant="acme",
                role="technician",
                url=f"http://127.0.0.1:{relay_port}",
                account="tess",
                organisation="Acme",
                api_token="secret-api-token",
            )
        )
        gate = Gate(7)
        app: Any = build_app(home, gate)
        async with _served(gate.around(app), lifespan="on") as port:
            one = Backend(port, gate, home, relay, app)
            try:
                yield one
            finally:
                await one.http.aclose()


async def said(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message."""
    async with asyncio.timeout(PATIENCE_S):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message
