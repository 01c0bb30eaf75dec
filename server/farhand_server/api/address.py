"""Where a request comes from, for rate limits and the audit."""

from __future__ import annotations

from typing import Any

from litestar import Request

from farhand_server.config import is_loopback
from farhand_server.relay import Relay

__all__ = ["caller_address"]


def caller_address(request: Request[Any, Any, Any], relay: Relay) -> str:
    """Return the caller's address.

    With `proxied` set and the connection from this machine, it is the last entry of
    X-Forwarded-For: the one that the proxy itself wrote.  Nobody else's header is believed.
    """
    client = request.client
    address = client.host if client is not None else "unknown"
    if relay.settings.proxied and is_loopback(address):
        forwarded = request.headers.getall("x-forwarded-for", [])
        last = ",".join(forwarded).rpartition(",")[2].strip()
        return last[:64] or address
    return address
