"""Puts the relay together: `open_relay` makes the wiring, `build_app` the HTTP application.

Services and routes know nothing of this module; it knows all of them.  `serve.py` runs the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from farhand_protocol.keys import Signer
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.area import Area
from farhand_server.api.areas import AREAS
from farhand_server.api.guard import (
    BearerMiddleware,
    provide_actor,
    provide_relay,
    require_action,
)
from farhand_server.api.idempotency import IdempotencyMiddleware
from farhand_server.api.problems import STATUS, problem_handlers
from farhand_server.audit import Audit
from farhand_server.bus.bus import Bus
from farhand_server.clock import Clock, SystemClock
from farhand_server.config import Settings
from farhand_server.metrics import make_metrics
from farhand_server.pages.routing import outside_pages
from farhand_server.relay import Relay
from farhand_server.store.database import Database
from farhand_server.tasks import Tasks

__all__ = ["MAX_BODY_BYTES", "Relay", "assemble", "build_app"]

MAX_BODY_BYTES = 8 * 1024 * 1024


def assemble(
    settings: Settings,
    *,
    db: Database,
    bus: Bus,
    signer: Signer,
    tasks: Tasks,
    clock: Clock | None = None,
    tls_sha256: bytes = b"",
) -> Relay:
    """Wire a relay from its parts; tests bring their own clock and database."""
    clock = clock or SystemClock()
    return Relay(
        settings=settings,
        db=db,
        bus=bus,
        signer=signer,
        tls_sha256=tls_sha256,
        audit=Audit(settings.tenant, clock, signer),
        clock=clock,
        tasks=tasks,
    )


async def _count(message: Any, scope: Any) -> None:
    """Count an answer in the relay's metrics."""
    relay: Relay = scope["litestar_app"].state.relay
    await relay.service(make_metrics).count(message, scope)


def build_app(relay: Relay, areas: Sequence[Area] = AREAS) -> Litestar:
    """Return the HTTP application.

    Args:
        relay: the wiring, injected into handlers as `relay`.
        areas: what it is made of.
    """
    statuses = dict(STATUS)
    for area in areas:
        statuses.update(area.statuses)
    api = Router(path="/api/v1", route_handlers=[one for area in areas for one in area.controllers])
    return Litestar(
        route_handlers=[api, *(one for area in areas for one in area.public)],
        dependencies={
            "relay": Provide(provide_relay, sync_to_thread=False),
            "actor": Provide(provide_actor, sync_to_thread=False),
        },
        guards=[require_action],
        middleware=[BearerMiddleware(), IdempotencyMiddleware()],
        before_send=[_count],
        exception_handlers=outside_pages(problem_handlers(statuses)),
        state=State({"relay": relay}),
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=OpenAPIConfig(
            title="Farhand relay",
            version=version("farhand-server"),
            openapi_router=Router(path="/api", route_handlers=[], opt={"action": PUBLIC}),
            # JSON only: the usual pages would load scripts from somebody else's server.
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        ),
        logging_config=None,
        debug=False,
    )
