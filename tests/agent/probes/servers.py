"""Small servers on loopback, each in a thread of its own, for what looks at other machines."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["free_port", "name_server", "secured", "web_server"]

Answer = Callable[[str, str, bytes], tuple[int, bytes]]


@contextlib.contextmanager
def served(server: socketserver.BaseServer) -> Iterator[int]:
    """Run a server in a thread and yield its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[index, misc]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def web_server(answer: Answer, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve HTTP: `answer` gets method, path and body, and returns status and body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, data = answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that go in the middle of a handshake are what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    with served(server) as port:
        yield port


@contextlib.contextmanager
def name_server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Serve DNS over UDP: `answer` gets a query and returns the reply."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, back = self.request
            back.sendto(answer(data), self.client_address)

    server = socketserver.UDPServer(("127.0.0.1", 0), Handler)
    with served(server) as port:
        yield port


def secured(certificate: Path) -> ssl.SSLContext:
    """Return what serves TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def free_port() -> int:
    """Return a port on which nobody listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
