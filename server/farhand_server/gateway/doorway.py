"""The way in: which upgrades become connections.

Only `/agent` and `/pipe` are websockets here; anything else is answered with HTTP 404 on the
upgrade.  A node that is full, draining, or met by more new connections than it can prove answers
503 with Retry-After before any signature is made.
"""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from collections.abc import Callable

from farhand_server.clock import Clock
from farhand_server.gateway.limits import GatewayLimits, TokenBucket
from farhand_server.gateway.protocol import Connection, Endpoint, Refusal
from farhand_server.gateway.timers import TimerWheel

__all__ = ["Doorway"]

logger = logging.getLogger(__name__)

_NOT_HERE = Refusal(404, "not-found")

EndpointMaker = Callable[[Connection], Endpoint]


class Doorway:
    """Counts connections and says what each new one is for.

    Args:
        clock: its monotonic time is used.
        wheel: the node's timer wheel.
        limits: bounds.
        routes: path to the maker of its endpoint.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        wheel: TimerWheel,
        limits: GatewayLimits,
        routes: dict[str, EndpointMaker],
    ) -> None:
        self._clock = clock
        self.wheel = wheel
        self._limits = limits
        self._routes = routes
        self._rate = TokenBucket(
            rate=limits.accept_rate, burst=limits.accept_burst, now=clock.monotonic()
        )
        self._unproved: dict[Connection, str] = {}
        self._unproved_by_address: Counter[str] = Counter()
        self.connections = 0
        self.refused: Counter[str] = Counter()
        self.is_draining = False

    def now(self) -> float:
        """Return the monotonic time."""
        return self._clock.monotonic()

    @property
    def unproved(self) -> int:
        """How many connections have not proved a key or a token yet."""
        return len(self._unproved)

    def window_s(self) -> float:
        """Return the window over which devices should come back: N / (0.5 * capacity)."""
        return max(1.0, self.connections / (0.5 * self._limits.capacity))

    def open(self, path: str, connection: Connection) -> Endpoint | Refusal:
        """Make the endpoint for `path`, or refuse."""
        make = self._routes.get(path)
        if make is None:
            self.refused["not-found"] += 1
            return _NOT_HERE
        code = self._too_much(connection.address)
        if code is not None:
            self.refused[code] += 1
            retry_s = math.ceil(random.uniform(1.0, 1.0 + self.window_s()))
            return Refusal(503, code, retry_after_s=retry_s)
        self._unproved[connection] = connection.address
        self._unproved_by_address[connection.address] += 1
        endpoint = make(connection)
        self.connections += 1
        connection.opened_at = self.now()
        return endpoint

    def _too_much(self, address: str) -> str | None:
        limits = self._limits
        if self.is_draining:
            return "relay-draining"
        if self.connections >= limits.connections or len(self._unproved) >= limits.unproved:
            return "relay-full"
        if self._unproved_by_address[address] >= limits.unproved_per_address:
            return "address-full"
        if not self._rate.take(self.now()):
            return "relay-busy"
        return None

    def proved(self, connection: Connection) -> None:
        """Note that the connection has proved its key or token."""
        address = self._unproved.pop(connection, None)
        if address is not None:
            self._unproved_by_address[address] -= 1
            if self._unproved_by_address[address] <= 0:
                del self._unproved_by_address[address]

    def closed(self, connection: Connection) -> None:
        """Forget a connection that was accepted."""
        self.proved(connection)
        self.connections -= 1
