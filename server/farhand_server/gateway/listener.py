"""uvicorn's `ws=` class: every upgraded connection of the node becomes one of its instances.

uvicorn serves HTTP and hands over the transport of a request that asks for a websocket; the class
below then owns it (`protocol.Connection`), and the node's doorway says what it is for.
"""

from __future__ import annotations

from farhand_server.gateway.node import make_gateway
from farhand_server.gateway.protocol import Connection
from farhand_server.relay import Relay

__all__ = ["make_listener"]


def make_listener(relay: Relay) -> type[Connection]:
    """Return the class for this relay's node; give it to `uvicorn.Config(ws=...)`."""

    class Listener(Connection):
        __slots__ = ()
        opener = relay.service(make_gateway).doorway

    return Listener
