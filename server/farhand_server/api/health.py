"""`/healthz` for load balancers and `/metrics` for Prometheus, both outside `/api`.

`/metrics` is answered on loopback only and otherwise does not exist.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.config import is_loopback
from farhand_server.errors import not_found
from farhand_server.metrics import make_metrics

__all__ = ["healthz", "metrics"]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok` or the code of what fails, for each part."""

    status: str
    store: str
    bus: str


async def _state(check: Any) -> str:
    try:
        await check()
    except FarhandError as error:
        return error.code
    return "ok"


@get("/healthz", action=PUBLIC)
async def healthz(relay: FromRelay) -> Response[Health]:
    """Answer 200 when store and bus answer, else 503."""
    store, bus = await _state(relay.db.ping), await _state(relay.bus.ping)
    well = store == bus == "ok"
    body = Health(status="ok" if well else "failing", store=store, bus=bus)
    return Response(body, status_code=200 if well else 503, headers={"Cache-Control": "no-store"})


@get("/metrics", action=PUBLIC, include_in_schema=False)
async def metrics(request: Request[Any, Any, Any], relay: FromRelay) -> Response[bytes]:
    """Return the metrics, to this machine only."""
    if not is_loopback(caller_address(request, relay)):
        raise not_found("page", "/metrics")
    text = relay.service(make_metrics).text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
