"""What the security tests get: a hostile relay and real agents under it, shared by one module.

Starting an agent is most of what such a test costs, so each module shares one; a test that spoils
it (another clock, other trust) takes a fresh one from `make_device`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.hostile_devices import Device, Program, enrolled_device
from tests.support.hostile_organisation import HostileOrganisation
from tests.support.hostile_relay import HostileRelay

MakeDevice = Callable[..., Awaitable[Device]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay() -> AsyncIterator[HostileRelay]:
    """A hostile relay, honest until a test says otherwise."""
    async with HostileRelay(HostileOrganisation()).running() as relay:
        yield relay


@pytest.fixture(scope="module")
def organisation(relay: HostileRelay) -> HostileOrganisation:
    """The organisation that the relay turned against."""
    return relay.organisation


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def make_device(relay: HostileRelay, tmp_path_factory: pytest.TempPathFactory) -> MakeDevice:
    """Return what enrols one more device."""

    async def make(**token: object) -> Device:
        return await enrolled_device(relay, tmp_path_factory.mktemp("device") / "home", **token)

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(make_device: MakeDevice) -> Device:
    """An enrolled device."""
    return await make_device()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(device: Device) -> AsyncIterator[Program]:
    """The device's resident agent, running."""
    async with device.resident() as program:
        yield program


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists only when a forged script ran."""
    return tmp_path / "ran"
