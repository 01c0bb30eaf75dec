"""What the fault tests get: an honest relay on the bare wire, and a device under it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.hostile_devices import Device, enrolled_device
from tests.support.hostile_organisation import HostileOrganisation
from tests.support.hostile_relay import HostileRelay


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay() -> AsyncIterator[HostileRelay]:
    """A relay that does nothing wrong; it is called hostile for what else it could do."""
    async with HostileRelay(HostileOrganisation()).running() as relay:
        yield relay


@pytest.fixture(scope="module")
def organisation(relay: HostileRelay) -> HostileOrganisation:
    """The relay's organisation, which lets technicians in without asking."""
    relay.organisation.unattended()
    relay.organisation.publish()
    return relay.organisation


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(
    relay: HostileRelay,
    organisation: HostileOrganisation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Device:
    """An enrolled device."""
    assert organisation.group_policy().unattended
    return await enrolled_device(relay, tmp_path_factory.mktemp("device") / "home")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which each body writes a line to a file named after its order."""
    return tmp_path_factory.mktemp("traces")
