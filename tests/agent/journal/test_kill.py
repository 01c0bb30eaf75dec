"""kill -9 at the journal's write points: nothing accepted is lost, no body starts twice."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from farhand_agent.audit import verify_chain
from farhand_agent.config import Home, load_settings
from farhand_agent.journal import Journal
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.messages import OfferOrder, ResultReport
from farhand_protocol.orders import Result
from tests.agent.agents import resident
from tests.agent.organisation import Organisation
from tests.agent.relay import TestRelay

FAULTS = Path(__file__).parents[2] / "support" / "faults"


async def appears(path: Path) -> None:
    """Wait for a file that another process makes at the moment of its death."""
    async with asyncio.timeout(40):
        while not path.exists():
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "point", ["order-accepted", "order-running", "order-final", "outbox-acked"]
)
async def test_an_order_survives_a_kill(
    organisation: Organisation,
    relay: TestRelay,
    enrolled: Home,
    tmp_path: Path,
    point: str,
    when: str,
) -> None:
    traces = tmp_path / "traces"
    script = organisation.add_script(f"echo ran >> {traces}\n".encode())
    organisation.publish()
    device = load_settings(enrolled).device
    order, data = organisation.order(script, device, socket.gethostname())
    offer = OfferOrder(order=order, envelope=data)
    killed = tmp_path / "killed"
    fault = {
        "FARHAND_TEST_KILL": f"{point}:{when}",
        "FARHAND_TEST_KILLED": str(killed),
        "PYTHONPATH": str(FAULTS),
    }
    async with resident(enrolled.path, **fault) as running:
        await running.line("ready")
        await relay.send(offer)
        await appears(killed)
        if point == "outbox-acked":
            # That write is the resident's own.
            async with asyncio.timeout(30):
                assert await running.process.wait() == -9
        else:
            assert running.process.returncode is None
            running.process.kill()
            await running.process.wait()
    relay.links.clear()
    relay.received.clear()
    async with resident(enrolled.path) as running:
        await running.line("ready")
        await relay.send(offer)
        report = await relay.first(ResultReport)
        await running.stop()
    result = open_payload(decode_envelope(report.envelope), Result)
    ran = traces.read_text().count("ran") if traces.exists() else 0
    if result.state == "succeeded":
        assert ran == 1
    else:
        assert result.state == "interrupted"
        assert ran <= 1
    journal = Journal(enrolled.journal)
    row = journal.order(order)
    assert row is not None
    assert row.state == result.state
    records = journal.log_records()
    verify_chain(records)
    assert [one.kind for one in records].count("order-final") == 1
    journal.close()
