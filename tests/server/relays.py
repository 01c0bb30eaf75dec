"""What the fixtures of the server's tests are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Litestar

from farhand_server.api.area import Area
from farhand_server.api.areas import AREAS
from farhand_server.app import build_app
from farhand_server.bus.bus import Bus
from farhand_server.bus.local import LocalBus
from farhand_server.bus.nats import connect_nats
from farhand_server.relay import Relay
from farhand_server.tasks import Tasks

TENANT = "n-testtesttesttest"


class ManualClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


_idle_apps: dict[tuple[str, ...], list[Litestar]] = {}


@contextmanager
def serving(relay: Relay, areas: Sequence[Area] = AREAS) -> Iterator[Any]:
    """Lend the HTTP application of a relay.

    Making one costs more than most tests do with it, and it keeps nothing but the relay that it
    serves, so one that no test uses now is taken again.
    """
    idle = _idle_apps.setdefault(tuple(area.name for area in areas), [])
    app = idle.pop() if idle else build_app(relay, areas)
    app.state.relay = relay
    try:
        yield app
    finally:
        app.state.relay = None
        idle.append(app)


class RelayParts:
    """Addresses of one pair of store and bus."""

    def __init__(self, name: str, database_url: str, bus_url: str) -> None:
        self.name = name
        self.database_url = database_url
        self.bus_url = bus_url

    async def open_bus(self, tasks: Tasks) -> Bus:
        """Return a bus; each call on NATS is another node's."""
        return await connect_nats(self.bus_url, tasks) if self.bus_url else LocalBus(tasks)


# `await sign_in("admin")` returns the headers of a fresh API token; see the fixture.
SignIn = Callable[..., Awaitable[dict[str, str]]]
