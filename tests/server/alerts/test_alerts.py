"""Alerts on the relay: raised, joined with tickets, recovered, suppressed, damped, bounded."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import func, select, update

from farhand_server.alerts.intake import KEPT
from farhand_server.alerts.steps import FLAP_WINDOW, FLAPS, STABLE
from farhand_server.alerts.sweep import sweep
from farhand_server.alerts.tickets import MAX_TICKETS_A_DAY
from farhand_server.alerts.words import MAX_CHECKS
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts, audit, devices, tickets
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import FakeDevice
from tests.server.relays import ManualClock, SignIn


def check(state: str, id: str = "disk.space", **more: Any) -> dict[str, Any]:  # noqa: A002
    """Return one item of the section `checks`."""
    item = {"id": id, "state": state, "summary": f"/ is {state}", "value": 97.0, "unit": "percent"}
    return {**item, "since": "2026-11-22T11:00:00Z", **more}


class Desk:
    """Whoever looks at alerts and tickets."""

    def __init__(self, web: httpx.AsyncClient, sign_in: SignIn) -> None:
        self.web = web
        self.sign_in = sign_in

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        # Anew each time: tests let more time pass than a sign-in lasts.
        headers = await self.sign_in("technician", name="ann")
        return await self.web.request(method, f"/api/v1{path}", headers=headers, **more)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.call("POST", path, json=body or {})

    async def alerts(self, **params: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("/alerts", **params))["items"]
        return items

    async def notes(self, ticket: str) -> list[str]:
        return [one["body"] for one in (await self.get(f"/tickets/{ticket}/messages"))["items"]]


@pytest.fixture
async def desk(web: httpx.AsyncClient, sign_in: SignIn) -> Desk:
    return Desk(web, sign_in)


async def say(device: FakeDevice, *items: dict[str, Any]) -> None:
    await device.report({"checks": list(items)})


async def test_a_breach_opens_a_ticket_and_its_recovery_is_noted(
    make_device: MakeDevice, desk: Desk
) -> None:
    device = await make_device("reception")
    await say(device, check("ok"))
    assert await desk.alerts(state="all") == []
    await say(device, check("warning"))
    (alert,) = await desk.alerts()
    assert (alert["state"], alert["severity"], alert["ticket"]) == ("open", "warning", "FH-1")
    assert (alert["device"], alert["device_name"]) == (device.id, "reception")
    assert (alert["check"], alert["value"], alert["unit"]) == ("disk.space", 97.0, "percent")
    ticket = await desk.get("/tickets/FH-1")
    assert (ticket["title"], ticket["device"]) == ("disk.space on reception", device.id)
    assert (ticket["state"], ticket["created_by"]) == ("new", "relay")
    await say(device, check("critical"))
    await say(device, check("critical", summary="/ is fuller"))
    await say(device, check("ok"))
    assert await desk.notes("FH-1") == [
        "warning: disk.space. / is warning",
        "worse, now critical: disk.space. / is critical",
        "recovered: disk.space. / is ok",
    ]
    assert await desk.alerts() == []
    (closed,) = await desk.alerts(state="recovered")
    assert closed["id"] == alert["id"]
    assert (await desk.get("/tickets/FH-1"))["state"] == "new"


async def test_what_comes_back_joins_its_open_ticket(
    make_device: MakeDevice, desk: Desk, clock: ManualClock
) -> None:
    device = await make_device()
    await say(device, check("critical"))
    await say(device, check("ok"))
    clock.advance(FLAP_WINDOW.total_seconds() + 60)
    await say(device, check("critical"))
    (alert,) = await desk.alerts()
    assert alert["ticket"] == "FH-1"
    assert len(await desk.alerts(state="all")) == 2
    await say(device, check("ok"))
    assert (await desk.post("/tickets/FH-1/resolve", {"note": "new disk"})).status_code == 200
    clock.advance(FLAP_WINDOW.total_seconds() + 60)
    await say(device, check("critical"))
    assert (await desk.alerts())[0]["ticket"] == "FH-2"


async def test_each_thing_that_is_wrong_has_its_own_alert(
    make_device: MakeDevice, desk: Desk
) -> None:
    one, other = await make_device("one"), await make_device("other")
    tls = check("critical", "probe.tls", subject="a.example")
    await say(one, check("critical"), tls, {**tls, "subject": "b.example"})
    await say(other, check("critical"))
    found = await desk.alerts()
    assert len({alert["fingerprint"] for alert in found}) == 4
    assert {alert["ticket"] for alert in found} == {"FH-1", "FH-2", "FH-3", "FH-4"}
    titles = {(await desk.get(f"/tickets/{n}"))["title"] for n in (1, 2, 3)}
    assert "probe.tls a.example on one" in titles
    mine = await desk.alerts(device="one")
    assert len(mine) == 3
    assert (await desk.alerts(severity="warning")) == []


async def test_unknown_is_a_blind_spot_and_opens_nothing(
    make_device: MakeDevice, desk: Desk
) -> None:
    device = await make_device()
    await say(device, check("unknown"))
    assert await desk.alerts() == []
    (blind,) = await desk.alerts(state="blind")
    assert (blind["severity"], blind["ticket"]) == ("unknown", None)
    assert (await desk.get("/alerts/counts"))["blind_spots"] == 1
    refused = await desk.post(f"/alerts/{blind['id']}/acknowledge")
    assert (refused.status_code, refused.json()["code"]) == (409, "alert-closed")
    await say(device, check("warning"))
    (alert,) = await desk.alerts()
    assert (alert["id"], alert["ticket"]) == (blind["id"], "FH-1")
    await say(device, check("unknown"))
    (alert,) = await desk.alerts()
    assert (alert["state"], alert["severity"], alert["told"]) == ("open", "warning", "unknown")
    assert (await desk.get("/alerts/counts"))["blind_spots"] == 1
    assert "cannot be found out any more" in (await desk.notes("FH-1"))[-1]


async def test_a_check_that_is_not_run_any_more_is_withdrawn_and_not_well(
    make_device: MakeDevice, desk: Desk
) -> None:
    device = await make_device()
    await say(device, check("critical"), check("ok", "cpu.load"))
    await say(device, check("ok", "cpu.load"))
    (alert,) = await desk.alerts(state="withdrawn")
    assert alert["summary"] == "/ is critical"
    assert "not checked on the device any more" in (await desk.notes("FH-1"))[-1]
    # A section that could not be made says nothing.
    await say(device, check("critical", "cpu.load"))
    await device.report({"checks": []}, status="error")
    assert [one["check"] for one in await desk.alerts()] == ["cpu.load"]


async def test_somebody_acknowledges_and_what_gets_worse_is_open_again(
    make_device: MakeDevice, desk: Desk, relay: Relay
) -> None:
    device = await make_device()
    await say(device, check("warning"))
    (alert,) = await desk.alerts()
    answer = await desk.post(f"/alerts/{alert['id']}/acknowledge", {"note": "on my way"})
    assert (answer.json()["state"], answer.json()["acknowledged_by"]) == ("acknowledged", "ann")
    assert (await desk.notes("FH-1"))[-1] == "acknowledged by ann: on my way"
    assert len(await desk.alerts()) == 1
    await say(device, check("critical"))
    (alert,) = await desk.alerts()
    assert (alert["state"], alert["acknowledged_by"]) == ("open", None)
    await say(device, check("ok"))
    assert (await desk.post(f"/alerts/{alert['id']}/acknowledge")).status_code == 409
    async with relay.db.read() as c:
        actions = list(await c.scalars(select(audit.c.action)))
    assert actions.count("alert.acknowledge") == 1


async def test_maintenance_suppresses_but_records_until_it_ends_by_itself(
    make_device: MakeDevice, desk: Desk, relay: Relay, clock: ManualClock
) -> None:
    device = await make_device("reception")
    path = "/devices/reception/maintenance"
    assert (await desk.get(path))["until"] is None
    set_ = await desk.post(path, {"for_s": 3600, "reason": "new disk"})
    assert (set_.status_code, set_.json()["set_by"]) == (200, "ann")
    assert set_.json()["until"] == "2026-11-22T13:00:00.000000Z"
    await say(device, check("critical"), check("warning", "cpu.load"))
    found = await desk.alerts()
    assert [(one["ticket"], one["withheld"]) for one in found] == [(None, "maintenance")] * 2
    assert (await desk.get("/alerts/counts"))["in_maintenance"] == 2
    await say(device, check("critical"), check("ok", "cpu.load"))
    await sweep(relay)
    assert (await desk.alerts())[0]["ticket"] is None
    clock.advance(3601)
    await sweep(relay)
    (alert,) = await desk.alerts()
    assert (alert["ticket"], alert["withheld"]) == ("FH-1", "")
    assert await desk.notes("FH-1") == ["critical: disk.space. / is critical"]
    assert (await desk.get(path))["until"] is None
    async with relay.db.read() as c:
        rows = (await c.execute(select(audit.c.actor, audit.c.action))).all()
    acts = [tuple(row) for row in rows if row[1].startswith("maintenance")]
    assert acts == [("ann", "maintenance.set"), ("relay", "maintenance.end")]


async def test_maintenance_can_be_ended_early_and_is_bounded(
    make_device: MakeDevice, desk: Desk
) -> None:
    device = await make_device("reception")
    path = "/devices/reception/maintenance"
    for body in (
        {},
        {"for_s": 3600, "until": "2026-11-22T14:00:00Z"},
        {"for_s": 10},
        {"until": "2026-11-22T11:00:00Z"},
        {"until": "2027-11-22T11:00:00Z"},
        {"until": "tomorrow"},
    ):
        assert (await desk.post(path, body)).status_code in (400, 422), body
    assert (await desk.post(path, {"until": "2026-11-22T14:00:00Z"})).status_code == 200
    await say(device, check("critical"))
    assert (await desk.post(path + "/end")).json()["until"] is None
    assert (await desk.alerts())[0]["ticket"] == "FH-1"
    assert (await desk.post(path + "/end")).status_code == 200


async def test_flapping_is_damped_and_told_once_it_stays(
    make_device: MakeDevice, desk: Desk, relay: Relay, clock: ManualClock
) -> None:
    device = await make_device()
    for _ in range(FLAPS + 4):
        await say(device, check("critical"))
        clock.advance(60)
        await say(device, check("ok"))
        clock.advance(60)
    notes = await desk.notes("FH-1")
    assert len(notes) == 2 * FLAPS + 1
    assert "comes and goes" in notes[-1]
    (alert,) = await desk.alerts(state="all")
    assert (alert["flapping"], alert["flaps"]) == (True, FLAPS + 3)
    await sweep(relay)
    assert len(await desk.notes("FH-1")) == len(notes)
    clock.advance(STABLE.total_seconds() + 1)
    await sweep(relay)
    assert (await desk.notes("FH-1"))[len(notes) :] == ["recovered: disk.space. / is ok"]
    (alert,) = await desk.alerts(state="all")
    assert (alert["flapping"], alert["flaps"]) == (False, 0)


async def test_the_relays_policy_says_what_opens_a_ticket(
    make_device: MakeDevice, desk: Desk, relay: Relay
) -> None:
    object.__setattr__(
        relay, "settings", msgspec.structs.replace(relay.settings, alert_tickets="critical")
    )
    device = await make_device()
    await say(device, check("warning"))
    (alert,) = await desk.alerts()
    assert (alert["ticket"], alert["withheld"]) == (None, "policy")
    await say(device, check("critical"))
    (alert,) = await desk.alerts()
    assert (alert["ticket"], alert["withheld"]) == ("FH-1", "")


async def test_a_hostile_device_fills_neither_desk_nor_table(
    make_device: MakeDevice, desk: Desk, relay: Relay
) -> None:
    device = await make_device("evil")
    for turn in range(4):
        many = [check("critical", f"x{turn}.n{n}") for n in range(MAX_CHECKS + 100)]
        await say(device, *many)
    async with relay.db.read() as c:
        kept = await c.scalar(select(func.count()).select_from(alerts))
        opened = await c.scalar(select(func.count()).select_from(tickets))
    assert (kept or 0) <= 2 * MAX_CHECKS
    assert opened == MAX_TICKETS_A_DAY
    held = {one["withheld"] for one in await desk.alerts(limit=500)}
    assert held == {"limit"}


async def test_what_a_device_says_is_made_harmless(make_device: MakeDevice, desk: Desk) -> None:
    device = await make_device("evil")
    await say(
        device,
        check("critical", "Disk\x1b[2J"),
        check("CRITICAL", "a.b"),
        check("critical", 7),  # type: ignore[arg-type]
        {"id": "c.d"},
        check("critical", "e.f", summary="\x1b[31mred\n<script>" + "x" * 9000, subject="s\x00\x9b"),
        check("critical", "g.h", value=True, unit=["x"], summary=None),
        check("critical", "g.h", value="NaN"),
        check("critical", "i.j", value=1e300),
    )
    found = {one["check"]: one for one in await desk.alerts()}
    assert set(found) == {"e.f", "g.h", "i.j"}
    assert found["e.f"]["summary"].startswith("[31mred <script>")
    assert len(found["e.f"]["summary"]) <= 200
    assert found["e.f"]["subject"] == "s"
    empty = found["g.h"]
    assert (empty["value"], empty["unit"], empty["summary"]) == (None, None, "")
    assert found["i.j"]["value"] is None


async def test_a_retired_device_has_no_live_alerts(
    make_device: MakeDevice, desk: Desk, relay: Relay, clock: ManualClock
) -> None:
    device = await make_device()
    await say(device, check("critical"))
    async with relay.db.write() as c:
        await c.execute(update(devices).values(retired_at=relay.stamp()))
    await sweep(relay)
    assert await desk.alerts() == []
    assert len(await desk.alerts(state="withdrawn")) == 1
    clock.advance(KEPT.total_seconds() + 1)
    await sweep(relay)
    assert await desk.alerts(state="all") == []


async def test_what_neighbours_found_is_shown_at_a_device_without_an_agent(
    make_device: MakeDevice,
    desk: Desk,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    clock: ManualClock,
) -> None:
    body = {"name": "printer-2", "kind": "printer", "address": "192.0.2.9"}
    added = await web.post("/api/v1/devices", headers=await sign_in("admin"), json=body)
    assert added.status_code == 201
    one, other = await make_device("one"), await make_device("other")
    looked = check("critical", "probe.printer", subject="192.0.2.9")
    await say(one, looked, check("ok"))
    (shown,) = (await desk.get("/devices/printer-2/checks"))["items"]
    assert (shown["id"], shown["state"], shown["subject"]) == ("probe.printer", "critical", "")
    assert len(await desk.alerts(device="printer-2")) == 1
    assert len(await desk.alerts(device="other")) == 0
    query = "check:probe.printer=critical kind:printer"
    (found,) = (await desk.get("/devices", q=query))["items"]
    assert found["name"] == "printer-2"
    clock.advance(60)
    await say(other, {**looked, "state": "ok"})
    (shown,) = (await desk.get("/devices/printer-2/checks"))["items"]
    assert shown["state"] == "ok"
    await say(one, check("ok"))
    await say(other, check("ok"))
    assert (await desk.get("/devices/printer-2/checks"))["items"] == []


async def test_alerts_are_listed_page_by_page(make_device: MakeDevice, desk: Desk) -> None:
    device = await make_device()
    await say(device, *[check("warning", f"a.n{n}") for n in range(7)])
    seen, cursor = [], None
    for _ in range(4):
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = await desk.get("/alerts", **params)
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert cursor is None
    assert len(seen) == len(set(seen)) == 7
    one = await desk.get(f"/alerts/{seen[0]}")
    assert one["id"] == seen[0]
    for path, params in (("/alerts/none", {}), ("/alerts", {"state": "x"})):
        answer = await desk.call("GET", path, params=params)
        assert answer.status_code in (404, 422, 400)
