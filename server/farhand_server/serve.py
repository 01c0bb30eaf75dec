"""Runs a relay: one process, one loop, one port for HTTP and websockets.

uvicorn serves Litestar and hands upgrades to the gateway's listener class.  The stop order is
fixed:

    1. no more connections are accepted
    2. each area drains: the gateway tells its peers when to come back, and lets go
    3. open requests get `drain_s` to finish
    4. background tasks are cancelled, then the bus and the database closed

SIGTERM and SIGINT begin it; a second signal skips the waiting in 3.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from farhand_protocol.errors import FarhandError
from farhand_server.api.area import Area
from farhand_server.api.areas import AREAS
from farhand_server.app import build_app
from farhand_server.collection import without_collection
from farhand_server.config import Settings
from farhand_server.gateway.listener import make_listener
from farhand_server.home import open_relay
from farhand_server.jump import jump_port
from farhand_server.relay import Relay

__all__ = ["serve"]

_log = logging.getLogger(__name__)
_BACKLOG = 2048
_KEEP_ALIVE_S = 5


class _Server(uvicorn.Server):
    """uvicorn with our signals and our stop order."""

    def __init__(
        self, config: uvicorn.Config, relay: Relay, areas: Sequence[Area], ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._relay = relay
        self._areas = areas
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signals to `serve`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the areas, then listen, then say so."""
        for area in self._areas:
            if area.start is not None:
                await area.start(self._relay)
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in the order of the module's words."""
        for server in self.servers:
            server.close()
        for area in reversed(self._areas):
            if area.drain is not None:
                await self._drain(area)
        await super().shutdown(sockets)

    async def _drain(self, area: Area) -> None:
        assert area.drain is not None
        try:
            async with asyncio.timeout(self._relay.settings.drain_s):
                await area.drain(self._relay)
        except (FarhandError, TimeoutError) as error:
            # The others must still be told.
            _log.warning("draining %s: %r", area.name, error)


def _bind(settings: Settings) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.setblocking(False)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise FarhandError(
            "listen-failed",
            f"{settings.listen} cannot be listened on: {error.strerror or error}",
            hint="another relay may be running; --listen takes another address",
        ) from error
    return bound


def _tls(settings: Settings) -> dict[str, Any]:
    if urlsplit(settings.url).scheme != "https" or settings.proxied:
        return {}
    certificate, key = settings.path(settings.tls_cert), settings.path(settings.tls_key)
    if not settings.tls_cert:
        raise FarhandError("tls-certificate", "https needs a certificate, and none is configured")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise FarhandError(
            "tls-certificate",
            f"the certificate {certificate} or its key cannot be used",
            detail=str(error),
        ) from error
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


async def serve(
    settings: Settings, *, ready: Callable[[str], None], areas: Sequence[Area] = AREAS
) -> None:
    """Run until a signal comes.

    Args:
        settings: from `load_settings`.
        ready: called once with the relay's address when the port listens.
        areas: what the application is made of.

    Raises:
        FarhandError: `listen-failed`, `tls-certificate`, and what opening the relay raises.
    """
    tls = _tls(settings)
    with contextlib.closing(_bind(settings)) as bound:
        async with open_relay(settings, connect_bus=True) as relay:
            with without_collection():
                app = build_app(relay, areas)
            config = uvicorn.Config(
                app,
                ws=make_listener(relay),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, int(settings.drain_s)),
                **tls,
            )
            url = settings.url
            if settings.port == 0:
                parts = urlsplit(url)
                url = f"{parts.scheme}://{settings.host}:{bound.getsockname()[1]}"
            server = _Server(config, relay, areas, lambda: ready(url))
            with _signals(server):
                async with jump_port(relay):
                    await server.serve(sockets=[bound])
            _log.info("stopped")


@contextlib.contextmanager
def _signals(server: _Server) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if server.should_exit:
            server.force_exit = True
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
