"""The fleet's own application: its areas on the relay of the other server tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from farhand_server.api import desk, fleet, orders, scripts
from farhand_server.app import build_app
from farhand_server.fleet.dispatch import Dispatch, make_dispatch
from farhand_server.relay import Relay
from tests.server.fleet.parts import FakeDevice, TokenKit

AREAS = (fleet.AREA, orders.AREA, scripts.AREA, desk.AREA)


@pytest.fixture
async def web(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client against the fleet's and the desk's routes, without a socket."""
    transport = httpx.ASGITransport(app=build_app(relay, AREAS), client=("192.0.2.1", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        yield client


@pytest.fixture
def dispatch(relay: Relay) -> Dispatch:
    """The relay's dispatch; its loop does not run, tests take its steps one by one."""
    return relay.service(make_dispatch)


MakeDevice = Callable[..., Awaitable[FakeDevice]]


@pytest.fixture
def make_device(relay: Relay) -> MakeDevice:
    """Enrol a device: `await make_device("kiosk", group="sales")`."""

    async def make(name: str = "kiosk", *, group: str = "default", **changes: Any) -> FakeDevice:
        token = await TokenKit(group=group).register(relay)
        device = await FakeDevice(relay, name).enrol(token)
        await device.present(**changes)
        return device

    return make
