"""What the fleet's tests start from: dispatch without its loop, and enrolled devices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from farhand_server.fleet.dispatch import Dispatch, make_dispatch
from farhand_server.relay import Relay
from tests.server.fleet.parts import FakeDevice, TokenKit


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
