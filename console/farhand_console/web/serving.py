"""Serves the web console on a loopback port until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from farhand_console.home import Home
from farhand_console.web.app import build_app
from farhand_console.web.gate import Gate
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["parse_listen", "serve"]

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_DRAIN_S: Final = 3


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; the host is this machine itself.

    Raises:
        UsageError: `listen-malformed`, `listen-open` for an address that others could reach.
    """
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError("listen-malformed", f"{text[:80]!r} is not HOST:PORT")
    if host not in _LOOPBACK:
        raise UsageError(
            "listen-open",
            "the web console holds your keys and answers on this machine alone",
            hint="from elsewhere: ssh -L 8440:127.0.0.1:8440 HERE",
        )
    return host, int(port)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise FarhandError(
            "listen-failed", f"cannot listen on {host}:{port}: {error.strerror}"
        ) from error
    return listener


async def serve(
    home: Home,
    host: str,
    port: int,
    *,
    on_ready: Callable[[Callable[[], str]], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        home: signed in.
        host, port: as `parse_listen` returns them; port 0 takes a free one.
        on_ready: called once it listens, with a function that returns a fresh link.

    Raises:
        FarhandError: `listen-failed`, `not-signed-in`.
    """
    with contextlib.closing(_listener(host, port)) as listener:
        bound = listener.getsockname()[1]
        gate = Gate(bound)
        shown = f"[{host}]" if ":" in host else host

        def link() -> str:
            return f"http://{shown}:{bound}/#token={gate.new_token()}"

        config = uvicorn.Config(
            gate.around(build_app(home, gate)),  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=4 * 1024 * 1024,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=_DRAIN_S,
            lifespan="on",
        )
        await _Server(config, lambda: on_ready(link)).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells when it listens; a signal ends it and is not raised again."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, setattr, self, "should_exit", True)
        yield
