"""The HTTP of the local page: the standard library's server, on 127.0.0.1 and a free port.

Threads read requests and write answers; what a request means is decided on the event loop (app.py).
One request at a time per connection, each with a deadline, as many at once as `MAX_REQUESTS`;
whoever comes beyond that is closed without an answer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from farhand_agent.desktop.exchange import MAX_BODY_BYTES, Answer, Request
from farhand_agent.desktop.peers import peer_user

__all__ = ["MAX_REQUESTS", "Listener"]

MAX_REQUESTS: Final = 32
_READ_S: Final = 30.0
# Longer than the longest wait of the page.
_ANSWER_S: Final = 60.0

Handle = Callable[[Request], Awaitable[Answer]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16
    allow_reuse_address = False

    def __init__(self, ask: Callable[[Request], Answer]) -> None:
        self.ask = ask
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._room.release()

    def close_connections(self) -> None:
        """End the connections on which a browser may still ask."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "farhand"
    sys_version = ""
    timeout = _READ_S

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdecimal()):
            self._refuse(411)
            return
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            self._refuse(413)
            return
        self._serve(self.rfile.read(int(length)))

    def _serve(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(
            method=self.command, target=self.path, headers=headers, body=body,
            user=peer_user(self.client_address[:2], int(self.server.server_address[1])),
        )  # fmt: skip
        try:
            answer = self.server.ask(request)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError, RuntimeError):
            self._refuse(503)  # the page is closing
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _refuse(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing: addresses of this page are a way in."""


class Listener:
    """Serves one page; use as a context manager, within a running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle: Handle | None = None
        self._server = _Server(self._ask)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True
        )

    @property
    def port(self) -> int:
        """Return where it listens on 127.0.0.1."""
        return int(self._server.server_address[1])

    def start(self, handle: Handle) -> None:
        """Answer requests from now on, by a coroutine on the loop."""
        self._handle = handle
        self._thread.start()

    def _ask(self, request: Request) -> Answer:
        assert self._handle is not None
        answer: concurrent.futures.Future[Answer] = asyncio.run_coroutine_threadsafe(
            _awaited(self._handle, request), self._loop
        )
        return answer.result(_ANSWER_S)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()
        self._server.close_connections()


async def _awaited(handle: Handle, request: Request) -> Answer:
    return await handle(request)
