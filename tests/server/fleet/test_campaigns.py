"""Campaigns: frozen targets, signed rows, counts that follow every step, causes."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import event, func, select

from farhand_protocol.orders import Order
from farhand_server.fleet.campaigns import control_campaign
from farhand_server.fleet.dispatch import Dispatch
from farhand_server.relay import Relay
from farhand_server.store.schema import campaign_counts, orders
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import DIGEST, FakeDevice, Operator, b64, plant_devices
from tests.server.relays import ManualClock, SignIn

NEW = {"script": "check.disk.space", "version": 1, "digest": DIGEST, "risk": "R0", "query": "*"}


class Console:
    """An operator with her console: creates, signs, starts."""

    def __init__(self, relay: Relay, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.relay = relay
        self.web = web
        self.headers = headers
        self.operator = Operator(relay, "ann")

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.web.post(f"/api/v1/campaigns{path}", headers=self.headers, json=body)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.web.get(f"/api/v1/campaigns{path}", headers=self.headers, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def create(self, **changes: Any) -> str:
        answer = await self.post("", {**NEW, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["campaign"])

    def sign(self, campaign: str, device: FakeDevice, /, **changes: Any) -> Order:
        return self.operator.order(device, **{"campaign": campaign, "ring": 0, **changes})

    async def send(self, campaign: str, *signed: Order) -> httpx.Response:
        items = [{"envelope": b64(self.operator.seal(one))} for one in signed]
        return await self.post(f"/{campaign}/orders", {"items": items})


@pytest.fixture
async def console(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> Console:
    return Console(relay, web, await sign_in("technician", name="ann"))


async def counted(relay: Relay, campaign: str) -> dict[str, int]:
    """Count the rows themselves, and check that the kept counts say the same."""
    async with relay.db.read() as c:
        query = select(orders.c.state, func.count()).where(orders.c.campaign == campaign)
        rows = {row[0]: row[1] for row in await c.execute(query.group_by(orders.c.state))}
        kept = (
            select(campaign_counts.c.state, func.sum(campaign_counts.c.count))
            .where(campaign_counts.c.campaign == campaign, campaign_counts.c.count != 0)
            .group_by(campaign_counts.c.state)
        )
        assert {row[0]: row[1] for row in await c.execute(kept)} == rows
    return rows


async def test_a_campaign_goes_its_whole_way(
    relay: Relay, console: Console, dispatch: Dispatch, make_device: MakeDevice
) -> None:
    devices = [await make_device(f"pc-{n}") for n in range(4)]
    for device in devices:
        await device.connect()
    campaign = await console.create(name="space")
    targets = await console.get(f"/{campaign}/targets", limit=500)
    assert {one["device"] for one in targets["items"]} == {one.id for one in devices}
    assert all(one["token_envelope"] and one["enrolment"] for one in targets["items"])
    signed = {device: console.sign(campaign, device) for device in devices}
    answer = await console.send(campaign, *signed.values())
    assert [one["state"] for one in answer.json()["items"]] == ["eligible"] * 4
    assert await dispatch.tell_kicked() == 0, "a draft tells nobody"
    assert (await console.post(f"/{campaign}/start")).json()["state"] == "running"
    assert await dispatch.tell_kicked() == 4
    assert await counted(relay, campaign) == {"offered": 4}
    await devices[0].send_result(signed[devices[0]])
    for number, device in enumerate(devices[1:3]):
        await device.send_result(
            signed[device], state="failed", exit_code=2, stderr=b"disk %d is full" % number
        )
    report = await console.get(f"/{campaign}/report")
    assert report["state"] == "running"
    assert report["counts"] == {"failed": 2, "offered": 1, "succeeded": 1}
    assert [(one["signature"], one["count"]) for one in report["causes"]] == [("disk N is full", 2)]
    assert report["causes"][0]["example"] in {one.id for one in signed.values()}
    await devices[3].progress(signed[devices[3]], "running")
    await devices[3].send_result(signed[devices[3]], state="no_change")
    report = await console.get(f"/{campaign}/report")
    assert report["state"] == "finished"
    assert [(one["ring"], one["name"], one["counts"]) for one in report["rings"]] == [
        (0, "all", {"failed": 2, "no_change": 1, "succeeded": 1})
    ]
    assert await counted(relay, campaign) == report["counts"]


async def test_skipped_targets_end_as_refused(
    relay: Relay, console: Console, make_device: MakeDevice
) -> None:
    signed, forged, late = [await make_device(f"pc-{n}") for n in range(3)]
    campaign = await console.create()
    order = console.sign(campaign, signed)
    await console.send(campaign, order)
    skipped = [
        {"device": forged.id, "code": "device-key-changed"},
        # It has its order already, and only its own word ends that.
        {"device": signed.id, "code": "device-unconfirmed"},
    ]
    answer = await console.post(f"/{campaign}/start", {"skipped": skipped})
    assert answer.json()["counts"] == {"eligible": 1, "planned": 1, "refused": 1}
    assert await counted(relay, campaign) == answer.json()["counts"]
    rows = (
        await console.web.get(f"/api/v1/orders?campaign={campaign}", headers=console.headers)
    ).json()["items"]
    refused = next(one for one in rows if one["device"] == forged.id)
    assert (refused["state"], refused["refusal"]) == ("refused", "device-key-changed")
    shown = (
        await console.web.get(f"/api/v1/orders/{refused['order']}", headers=console.headers)
    ).json()
    last = shown["events"][-1]
    assert (last["state"], last["detail"]) == (
        "refused",
        {"by": "ann", "code": "device-key-changed"},
    )
    report = await console.get(f"/{campaign}/report")
    assert [one["signature"] for one in report["causes"]] == ["device-key-changed"]
    # Nothing fills the row any more; the one that was not named waits for its order.
    answer = await console.send(campaign, console.sign(campaign, forged))
    assert answer.json()["code"] == "order-final"
    other = console.sign(campaign, late)
    assert (await console.send(campaign, other)).status_code == 201
    await signed.send_result(order)
    assert (await console.get(f"/{campaign}"))["state"] == "running"
    await late.send_result(other)
    assert (await console.get(f"/{campaign}"))["state"] == "finished"
    assert await counted(relay, campaign) == {"refused": 1, "succeeded": 2}


async def test_a_campaign_of_skipped_targets_is_finished_at_once(
    relay: Relay, console: Console, make_device: MakeDevice
) -> None:
    device = await make_device()
    campaign = await console.create()
    skipped = [{"device": device.id, "code": "device-unconfirmed"}]
    answer = await console.post(f"/{campaign}/start", {"skipped": skipped})
    assert answer.json()["state"] == "finished"
    again = await console.post(f"/{campaign}/start", {"skipped": skipped})
    assert again.json()["code"] == "campaign-state"
    assert await counted(relay, campaign) == {"refused": 1}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"device": "d-nobody"}, "order-wrong-campaign"),
        ({"device": "d-\0"}, "order-wrong-campaign"),
        ({"device": ""}, "invalid"),
        ({"code": "Two words"}, "invalid"),
        ({"code": ""}, "invalid"),
        ({"surprise": 1}, "invalid"),
    ],
)
@pytest.mark.either_store
async def test_what_cannot_be_skipped(
    relay: Relay, console: Console, make_device: MakeDevice, changes: dict[str, Any], code: str
) -> None:
    device = await make_device()
    campaign = await console.create()
    said = {"device": device.id, "code": "device-unconfirmed", **changes}
    answer = await console.post(f"/{campaign}/start", {"skipped": [said]})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await console.get(f"/{campaign}"))["state"] == "draft"
    assert await counted(relay, campaign) == {"planned": 1}


async def test_the_last_two_at_once_finish_it(
    relay: Relay, console: Console, make_device: MakeDevice
) -> None:
    devices = [await make_device(f"pc-{n}") for n in range(4)]
    campaign = await console.create()
    signed = {device: console.sign(campaign, device) for device in devices}
    await console.send(campaign, *signed.values())
    await console.post(f"/{campaign}/start")
    await devices[0].progress(signed[devices[0]], "accepted")
    await devices[1].progress(signed[devices[1]], "running")
    await asyncio.gather(*(device.send_result(signed[device]) for device in devices))
    assert (await console.get(f"/{campaign}"))["state"] == "finished"
    assert await counted(relay, campaign) == {"succeeded": 4}


async def test_nobody_matches(console: Console, make_device: MakeDevice) -> None:
    await make_device()
    answer = await console.post("", {**NEW, "query": "group:nowhere"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no-targets")
    assert (await console.get(""))["items"] == []


async def test_the_set_is_frozen(console: Console, make_device: MakeDevice) -> None:
    await make_device("one")
    campaign = await console.create()
    late = await make_device("late")
    assert (await console.get(f"/{campaign}"))["targets"] == 1
    answer = await console.send(campaign, console.sign(campaign, late))
    assert answer.json()["code"] == "order-wrong-campaign"


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"digest": "cd" * 32},
        {"risk": "R1"},
        {"parameters": {"path": "/etc"}},
        {"ring": 1},
        {"ring": None},
        {"campaign": "c-another"},
        {"ticket": "FH-1"},
    ],
)
@pytest.mark.either_store
async def test_only_what_was_planned_fills_a_row(
    relay: Relay, console: Console, make_device: MakeDevice, changes: dict[str, Any]
) -> None:
    device = await make_device()
    campaign = await console.create()
    answer = await console.send(campaign, console.sign(campaign, device, **changes))
    assert answer.json()["code"] == "order-wrong-campaign"
    assert await counted(relay, campaign) == {"planned": 1}


async def test_signing_again_does_no_harm_but_never_replaces(
    relay: Relay, console: Console, make_device: MakeDevice
) -> None:
    device = await make_device()
    campaign = await console.create()
    order = console.sign(campaign, device)
    assert (await console.send(campaign, order)).status_code == 201
    assert (await console.send(campaign, order)).status_code == 201
    answer = await console.send(campaign, console.sign(campaign, device))
    assert answer.json()["code"] == "order-exists"
    assert await counted(relay, campaign) == {"eligible": 1}


async def test_pausing_offers_nothing(
    relay: Relay, console: Console, dispatch: Dispatch, make_device: MakeDevice
) -> None:
    away, here = await make_device("away"), await make_device("here")
    await here.connect()
    dispatch.devices_here = lambda: [[here.id]]
    campaign = await console.create()
    await console.post(f"/{campaign}/start")
    await console.post(f"/{campaign}/pause")
    await console.send(campaign, console.sign(campaign, away), console.sign(campaign, here))
    assert await dispatch.tell_kicked() == 0
    await dispatch.sweep()
    assert await away.present() == []
    assert here.heard == []
    assert (await console.post(f"/{campaign}/start")).json()["code"] == "campaign-state"
    assert (await console.post(f"/{campaign}/resume")).json()["state"] == "running"
    assert await dispatch.tell_kicked() == 1
    assert len(await away.present()) == 1
    assert await counted(relay, campaign) == {"offered": 2}


async def test_aborting(
    relay: Relay, console: Console, dispatch: Dispatch, make_device: MakeDevice, clock: ManualClock
) -> None:
    planned, eligible, offered = [await make_device(f"pc-{n}") for n in range(3)]
    campaign = await console.create()
    signed = [console.sign(campaign, one) for one in (eligible, offered)]
    await console.send(campaign, *signed)
    await console.post(f"/{campaign}/start")
    await offered.present()
    await offered.connect()
    answer = (await console.post(f"/{campaign}/abort")).json()
    assert (answer["state"], answer["counts"]) == ("aborted", {"cancelled": 2, "offered": 1})
    assert [one.order for one in offered.heard if hasattr(one, "order")] == [signed[1].id]
    assert await eligible.present() == []
    assert (await console.post(f"/{campaign}/resume")).json()["code"] == "campaign-state"
    late = await console.send(campaign, console.sign(campaign, planned))
    assert late.json()["code"] == "campaign-state"
    clock.advance(4_000)
    await dispatch.sweep()
    assert await counted(relay, campaign) == {"cancelled": 3}
    assert (await console.get(f"/{campaign}"))["state"] == "aborted"


async def test_an_abort_that_was_cut_short_is_finished_by_the_sweep(
    relay: Relay, console: Console, dispatch: Dispatch, make_device: MakeDevice
) -> None:
    await make_device()
    campaign = await console.create()
    async with relay.db.write() as c:
        await control_campaign(c, relay, campaign=campaign, event="abort", actor="ann")
    await dispatch.sweep()
    assert await counted(relay, campaign) == {"cancelled": 1}


async def test_expiry_finishes_a_campaign(
    relay: Relay, console: Console, dispatch: Dispatch, make_device: MakeDevice, clock: ManualClock
) -> None:
    device = await make_device()
    campaign = await console.create()
    await console.send(campaign, console.sign(campaign, device))
    await console.post(f"/{campaign}/start")
    clock.advance(3_601)
    await dispatch.sweep()
    assert (await console.get(f"/{campaign}"))["state"] == "finished"
    assert await counted(relay, campaign) == {"expired": 1}


async def test_five_thousand_devices_stay_in_bulk(relay: Relay, console: Console) -> None:
    await plant_devices(relay, 5_000)
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    engine = relay.db._writer.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        campaign = await console.create()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) < 30, statements
    assert await counted(relay, campaign) == {"planned": 5_000}
    page = await console.get(f"/{campaign}/targets", limit=500)
    assert len(page["items"]) == 500
    assert page["next"] is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"digest": "x"},
        {"risk": "R9"},
        {"ttl_s": 8 * 86_400},
        {"ttl_s": 1},
        {"name": "two\nlines"},
        {"rings": [{"name": "a"}, {"name": "b"}]},
        {"parameters": {"x": "y" * 20_000}},
        {"surprise": True},
    ],
)
@pytest.mark.either_store
async def test_bounds(console: Console, make_device: MakeDevice, changes: dict[str, Any]) -> None:
    await make_device()
    assert (await console.post("", {**NEW, **changes})).status_code == 422


async def test_saying_nothing_is_not_the_whole_fleet(
    console: Console, make_device: MakeDevice
) -> None:
    device = await make_device()
    for query in ("", "  ", "\t\n"):
        answer = await console.post("", {**NEW, "query": query})
        assert (answer.status_code, answer.json()["code"]) == (422, "query-invalid"), answer.text
    everybody = await console.create(query="*")
    targets = await console.get(f"/{everybody}/targets")
    assert [one["device"] for one in targets["items"]] == [device.id]
    for params in ({}, {"q": ""}):
        listed = await console.web.get("/api/v1/devices", headers=console.headers, params=params)
        assert [one["id"] for one in listed.json()["items"]] == [device.id]
