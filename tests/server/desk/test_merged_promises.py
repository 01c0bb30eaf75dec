"""What was promised on a ticket is owed wherever it was merged, and is its own again afterwards."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from farhand_protocol.instants import format_instant
from farhand_server.desk.closing import sweep_tickets
from farhand_server.relay import Relay
from tests.server.desk.people import Desk
from tests.server.relays import ManualClock, SignIn

ON_SQLITE = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)


def _due(clock: ManualClock, minutes: float) -> str:
    return format_instant(clock.now() + timedelta(minutes=minutes))[:19]


@pytest.fixture
async def hours(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    """Two queues, one of which promises more than the other; `desk` promises nothing."""
    boss = await sign_in("admin", name="boss")
    for queue, minutes in (("fast", 30), ("slow", 240)):
        target = {"first_response_s": minutes * 60, "resolution_s": minutes * 120}
        policy = {"calendar": "always", "policy": {"targets": {"normal": target}}}
        for path, body in (
            (f"service-policies/{queue}", policy),
            (f"queues/{queue}", {"policy": queue}),
        ):
            answer = await web.post(f"/api/v1/{path}", headers=boss, json=body)
            assert answer.status_code == 200, answer.text


@ON_SQLITE
async def test_a_merge_keeps_the_earliest_promise_and_undoing_gives_it_back(
    ann: Desk, hours: None, relay: Relay, clock: ManualClock
) -> None:
    await ann.new("old", queue="slow", requester="mia")
    clock.advance(600)
    await ann.new("new", queue="fast", requester="mia")
    fast = _due(clock, 30)
    clock.advance(60)
    await ann.step("2", "merge", into="1")
    await sweep_tickets(relay)
    shown = await ann.show("1")
    assert shown["due_at"].startswith(fast)
    assert [(one["metric"], one["promised_on"], one["target_s"]) for one in shown["service"]] == [
        ("first-response", "FH-2", 1800),
        ("resolution", "FH-2", 3600),
    ]
    # Waiting stops the clock of both, and what is late is late on the ticket that is worked on.
    await ann.step("1", "wait", reason="customer")
    clock.advance(1_750)
    await sweep_tickets(relay)
    shown = await ann.show("1")
    assert [(one["state"], one["promised_on"]) for one in shown["service"]] == [
        ("breached", "FH-2"),
        ("paused", "FH-2"),
    ]
    assert shown["late"]
    assert "service-missed" in await ann.kinds("1", "events")
    await ann.step("2", "unmerge")
    await sweep_tickets(relay)
    assert not (await ann.show("1"))["late"]
    assert {one["promised_on"] for one in (await ann.show("1"))["service"]} == {""}
    back = await ann.show("2")
    # With what was left of its half hour when it was merged, a minute after it came.
    assert back["due_at"].startswith(_due(clock, 29))
    assert not back["late"]


@ON_SQLITE
async def test_a_ticket_without_a_promise_owes_what_was_merged_into_it(
    ann: Desk, hours: None, relay: Relay, clock: ManualClock
) -> None:
    await ann.new("plain", requester="mia")
    await ann.new("between", requester="mia")
    await ann.new("promised", queue="fast", requester="mia")
    due = _due(clock, 30)
    await ann.step("3", "merge", into="2")
    clock.advance(60)
    await ann.step("2", "merge", into="1")
    await sweep_tickets(relay)
    assert (await ann.show("1"))["due_at"].startswith(due)
    clock.advance(1_800)
    await sweep_tickets(relay)
    assert [one["id"] for one in (await ann.get(late="true")).json()["items"]] == ["1"]
    events = (await ann.get("/1/events")).json()["items"]
    missed = [one["detail"]["metric"] for one in events if one["kind"] == "service-missed"]
    assert missed == ["first-response"]
    # One answer on the ticket that is worked on is an answer to everybody on it.
    await ann.post("/1/messages", {"body": "on it"})
    assert [one["state"] for one in (await ann.show("1"))["service"]] == ["missed", "running"]
    await ann.step("1", "resolve", note="done")
    assert [one["state"] for one in (await ann.show("1"))["service"]] == ["missed", "met"]
    await ann.step("2", "unmerge")
    await sweep_tickets(relay)
    assert (await ann.show("1"))["service"] == []
    assert (await ann.show("2"))["service"] != []
