"""Whole stages for integration tests: real processes, on both pairs of store and bus.

`ON_SQLITE` keeps a test to one pair where it is device and console that it is about: what they
sign, refuse and encrypt, with a relay that only carries it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.stage import AgentHome, ConsoleHome, Stage

PAIRS = ("sqlite-local", "postgresql-nats")
ON_SQLITE = pytest.mark.parametrize("house", PAIRS[:1], indirect=True)


@dataclass
class House:
    """A relay with a trust root, an admin, a technician and one running agent."""

    stage: Stage
    admin: ConsoleHome
    technician: ConsoleHome
    agent: AgentHome

    def add_agent(self, name: str, *, group: str = "office", start: bool = True) -> AgentHome:
        """Enrol one more device."""
        agent = self.stage.agent(name)
        agent.enrol(self.admin.json("token", "create", "--group", group)["token"])
        if start:
            agent.start()
        return agent


@pytest.fixture(scope="module", params=PAIRS)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """A running house, shared by one module's tests, once on each pair of store and bus."""
    database = bus = None
    if request.param == "postgresql-nats":
        server = request.getfixturevalue("postgres_server")
        database = server.create_database()
        bus = request.getfixturevalue("nats_url")
    with Stage(database=database, bus=bus) as stage:
        admin, technician = stage.settle()
        stage.start_relay()
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create", "--group", "office")["token"])
        agent.start()
        yield House(stage, admin, technician, agent)
