"""What the agent's tests get: an organisation, a relay that serves it, and an enrolled home."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farhand_agent.config import Home
from farhand_agent.enrolment import enrol
from farhand_protocol.tokens import parse_enrolment_token
from tests.agent.organisation import Organisation
from tests.agent.relay import TestRelay
from tests.support.stage import leave_out_most


@pytest.fixture
def organisation() -> Organisation:
    """An organisation with a fresh trust root and three people."""
    return Organisation()


@pytest.fixture
async def relay(organisation: Organisation) -> AsyncIterator[TestRelay]:
    """A relay that serves the organisation's trust, on loopback."""
    async with TestRelay(organisation).running() as relay:
        yield relay


@pytest.fixture
async def enrolled(relay: TestRelay, tmp_path: Path) -> Home:
    """The home of a device that has enrolled with the relay."""
    home = Home.at(tmp_path / "device")
    await enrol(home, parse_enrolment_token(relay.token()), name="desk-1")
    leave_out_most(home.path)
    return home
