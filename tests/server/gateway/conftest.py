"""Nodes for the gateway's tests; the wire is the same on every store, so they run on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from farhand_server.relay import Relay
from tests.server.databases import SqliteTemplate
from tests.server.gateway.nodes import Device, Node, cut_clients, open_node
from tests.server.relays import ManualClock, RelayParts


@pytest.fixture
def relay_parts(sqlite_template: SqliteTemplate) -> RelayParts:
    return RelayParts("sqlite", sqlite_template.empty(), "")


@pytest.fixture(autouse=True)
async def _no_client_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async with cut_clients(monkeypatch):
        yield


@pytest.fixture
async def node(relay: Relay, clock: ManualClock) -> AsyncIterator[Node]:
    async with open_node(relay, clock) as opened:
        yield opened


@pytest.fixture
async def device(relay: Relay) -> Device:
    """An enrolled device."""
    made = Device()
    await made.enrol(relay)
    return made
