"""The agent updates itself, as real processes: a good release stays, a broken one is taken back."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home, load_settings
from farhand_agent.journal import Journal
from farhand_agent.updates.state import current_version, load_state, versions_folder
from farhand_agent.updates.unpacking import own_platform
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload
from farhand_protocol.messages import FetchTrust, OfferOrder, Present, ResultReport
from farhand_protocol.orders import Result
from farhand_protocol.releases import release_path
from tests.agent.agents import resident
from tests.agent.organisation import Organisation
from tests.agent.relay import TestRelay
from tests.agent.updates.releases import CRASHES, HANGS, make_release

LIBRARY = Path(__file__).resolve().parents[3] / "console/farhand_console/library/agent.update"
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version"],
    "properties": {
        "version": {"type": "string", "pattern": "^[0-9.]{5,11}$"},
        "deadline_s": {"type": "integer", "minimum": 2, "maximum": 600},
        "again": {"type": "boolean"},
    },
}


@pytest.fixture
def script(organisation: Organisation) -> Envelope:
    """The shipped script, and releases: one good, one that crashes, one that hangs."""
    for version, program in (("0.2.0", None), ("0.3.0", CRASHES), ("0.4.0", HANGS)):
        body = make_release(version, program=program)
        organisation.releases[release_path(own_platform(), version)] = body, "ada"
    script = organisation.add_script(
        (LIBRARY / "script.py").read_bytes(),
        id="agent.update",
        risk="R3",
        interpreter="python",
        parameters=SCHEMA,
        timeout_s=600,
    )
    organisation.publish()
    return script


class Orders:
    """Orders updates of one device."""

    def __init__(self, relay: TestRelay, script: Envelope, home: Home) -> None:
        self._relay = relay
        self._script = script
        self._device = load_settings(home).device

    async def send(self, version: str, **parameters: Any) -> str:
        order, data = self._relay.organisation.order(
            self._script,
            self._device,
            socket.gethostname(),
            parameters={"version": version, **parameters},
        )
        await self._relay.send(OfferOrder(order=order, envelope=data))
        return order

    async def result(self, order: str) -> Result:
        report = await self._relay.first(ResultReport, lambda one: one.order == order)
        return open_payload(decode_envelope(report.envelope), Result)

    async def update(self, version: str, **parameters: Any) -> Result:
        return await self.result(await self.send(version, **parameters))


async def test_an_update_stays_where_it_is_well_and_is_taken_back_where_it_is_not(
    relay: TestRelay, script: Envelope, enrolled: Home
) -> None:
    orders = Orders(relay, script, enrolled)
    async with resident(enrolled.path) as running:
        await running.line("ready")
        # A relay that serves other bytes of the right length is refused, and nothing is tried.
        relay.tamper = lambda kind, name, body: (
            body[:-1] + b"?" if name.startswith("releases/") else body
        )
        wrong = await orders.update("0.2.0")
        assert wrong.state == "failed"
        assert b"release-mismatch" in wrong.stderr
        assert load_state(enrolled) is None
        relay.tamper = lambda kind, name, body: body

        good = await orders.update("0.2.0")
        assert good.state == "succeeded", good.stderr
        assert json.loads(good.stdout)["outcome"] == "updated"
        assert current_version(enrolled) == "0.2.0"
        await relay.until(lambda: relay.of(Present)[-1].agent_version == "0.2.0")

        broken = await orders.update("0.3.0")
        assert broken.state == "failed"
        assert "it ended with status 9" in json.loads(broken.stdout)["reason"]
        assert current_version(enrolled) == "0.2.0"
        fetched = len(relay.of(FetchTrust))
        again = await orders.update("0.3.0")
        assert b"release-failed-before" in again.stderr
        assert not any(
            one.name.startswith("releases/") for one in relay.of(FetchTrust)[fetched:]
        ), "what failed is not even fetched again"
        await running.line("the update to 0.3.0 was taken back")

        # Killed in the middle of a trial: what is started next is the good version again.
        hanging = await orders.send("0.4.0", deadline_s=600)
        await running.line("version 0.4.0 is being tried")
        running.process.kill()
        # Not `wait`: the runner lives on and holds the same stderr.
        async with asyncio.timeout(20):
            while running.process.returncode is None:
                await asyncio.sleep(0.02)
    async with resident(enrolled.path) as running:
        await running.line("version 0.4.0 is taken back: the trial was cut off; 0.2.0 goes on")
        await running.line("ready")
        result = await orders.result(hanging)
        assert json.loads(result.stdout)["reason"] == "the trial was cut off"
        assert await running.stop() == 0
    versions = {one.agent_version for one in relay.of(Present)}
    assert versions == {"0.1.0", "0.2.0"}
    journal = Journal(enrolled.journal, read_only=True)
    try:
        kinds = [one.kind for one in journal.log_records()]
    finally:
        journal.close()
    assert kinds.count("agent-updated") == 1
    assert kinds.count("agent-update-failed") == 2
    assert not list(versions_folder(enrolled).glob("*.part"))
