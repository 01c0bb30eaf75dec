"""What was run for a ticket is in its thread once, with what was printed; nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from farhand_server.desk.closing import sweep_tickets
from farhand_server.people.blobs import attachments_of, read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import orders
from tests.server.desk.people import Desk
from tests.server.fleet.parts import FakeDevice, Operator, TokenKit


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_run_is_in_the_thread_once_with_its_output(
    ann: Desk, mia: Desk, relay: Relay
) -> None:
    kiosk = await FakeDevice(relay, "kiosk").enrol(await TokenKit().register(relay))
    operator = Operator(relay, "ann")

    async def order(state: str, script: str = "check.disk.space", **more: Any) -> str:
        said = operator.order(kiosk, script=script)
        blob = kiosk.result(said, stdout=b"\x1b[2Jfull\n", stderr=b"oh\n")
        row: dict[str, Any] = {
            "tenant": relay.tenant, "id": said.id, "device": kiosk.id, "ticket": 1,
            "script": script, "version": 1, "operator": "ann", "state": state, "result": blob,
            "exit_code": 0, "created_at": relay.stamp(), "updated_at": relay.stamp(),
        }  # fmt: skip
        async with relay.db.write() as c:
            await c.execute(insert(orders).values(**{**row, **more}))
        return said.id

    await mia.new("full disk", device="kiosk")
    good = await order("succeeded")
    bad = await order("refused", "remedy.temp.clean", result=None, exit_code=None, refusal="policy")
    await order("running", result=None)
    await order("succeeded", campaign="c-1")
    await order("succeeded", ticket=None)
    await order("succeeded", created_at="2026-11-01T00:00:00.000000Z")
    await sweep_tickets(relay)
    await sweep_tickets(relay)
    (message,) = (await ann.show("1"))["messages"]
    head, *lines = message["body"].splitlines()
    assert (message["kind"], message["author"], message["public"]) == ("run", "relay", False)
    assert head == f"Run on kiosk ({kiosk.id}):"
    assert sorted(lines) == [
        f"- check.disk.space 1: succeeded, exit 0, for ann [{good}]",
        f"- remedy.temp.clean 1: refused, policy, for ann [{bad}]",
    ]
    async with relay.db.read() as c:
        (file,) = await attachments_of(c, relay.tenant, [message["seq"]])
        content = (await read_blob(c, relay.tenant, file.sha256)).content
    assert file.name == f"{good}.txt"
    assert content == b"\x1b[2Jfull\n--- stderr\noh\n"
    assert (await mia.show("1"))["messages"] == []
    # What ends later is told later, by itself.
    late = await order("failed", exit_code=7)
    await sweep_tickets(relay)
    shown = (await ann.show("1"))["messages"]
    assert [late in one["body"] for one in shown] == [False, True]
    assert await ann.kinds("1", "events") == ["created", "run", "run"]
