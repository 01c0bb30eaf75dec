"""Orders that wait on a real device: a person puts one off, and a window that opens too late."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any

from farhand_agent.config import Home, load_settings
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import CancelOrder, OfferOrder, OrderProgress, ResultReport
from farhand_protocol.terms import Terms
from tests.agent.agents import agent, resident
from tests.agent.daemon.test_resident import ordered, read_result
from tests.agent.organisation import Organisation, now
from tests.agent.relay import TestRelay

CAMPAIGN: dict[str, Any] = {"ticket": None, "campaign": "c-aaaaaaaaaaaaaaaa", "ring": 0}


async def test_a_person_puts_an_order_off_and_a_window_that_never_opens_ends_it(
    relay: TestRelay, enrolled: Home, organisation: Organisation
) -> None:
    script = organisation.add_script(b"echo hello\n", id="check.hello")
    organisation.publish()
    device, host = load_settings(enrolled).device, socket.gethostname()
    home = str(enrolled.path)
    waits, data = organisation.order(
        script, device, host, **CAMPAIGN, terms=Terms(defer_days=1, notice_s=3600)
    )
    async with resident(enrolled.path) as running:
        await relay.send(OfferOrder(order=waits, envelope=data))
        await relay.first(OrderProgress, lambda one: one.order == waits)
        await running.line("check.hello begins at")
        listed = (await agent("defer", "--home", home, "--json")).json["items"]
        assert [(one["order"], one["why"]) for one in listed] == [(waits, "notice")]
        told = await agent("defer", waits, "--for", "2h", "--home", home, "--json")
        assert told.json["order"] == waits
        (one,) = (await agent("defer", "--home", home, "--json")).json["items"]
        assert (one["why"], one["waits_until"]) == ("user", told.json["until"])
        refused = await agent("defer", "o-aaaaaaaaaaaaaaaa", "--home", home)
        assert refused.status == 1
        assert "order-unknown" in refused.stderr
        # What waits holds nothing else up.
        free, data = organisation.order(script, device, host, **CAMPAIGN, terms=Terms())
        assert (await ordered(relay, enrolled, free, data)).state == "succeeded"
        # No window before it expires: it ends by itself, and never ran.
        late, data = organisation.order(
            script,
            device,
            host,
            **CAMPAIGN,
            terms=Terms(windows=["yearly 01-01 00:00 for 1m"]),
            expires=format_instant(now() + timedelta(seconds=10)),
        )
        result = await ordered(relay, enrolled, late, data)
        assert (result.state, result.refusal, result.started_at) == (
            "expired",
            "order-expired",
            None,
        )
        await relay.send(CancelOrder(order=waits))
        report = await relay.first(ResultReport, lambda one: one.order == waits)
        assert read_result(enrolled, report).state == "cancelled"
        assert (await agent("defer", "--home", home, "--json")).json["items"] == []
        await running.stop()
