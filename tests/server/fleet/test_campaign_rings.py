"""Rings, gates, breakers and slots: which device is told when, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from farhand_protocol.instants import format_instant
from farhand_protocol.orders import Order
from farhand_protocol.terms import Terms
from farhand_server.fleet.check_states import set_check_states
from farhand_server.fleet.devices import change_tags
from farhand_server.fleet.dispatch import Dispatch
from farhand_server.relay import Relay
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import FakeDevice
from tests.server.fleet.test_campaigns import Console, counted
from tests.server.relays import ManualClock, SignIn

ALL = {"name": "all"}
# Where no statement is asked for that another test does not ask of both stores.
EMBEDDED = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)


@pytest.fixture
async def console(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> Console:
    return Console(relay, web, await sign_in("technician", name="ann"))


class Campaign:
    """A campaign over some devices, and what they were told."""

    def __init__(self, console: Console, dispatch: Dispatch, devices: Sequence[FakeDevice]) -> None:
        self.console = console
        self.dispatch = dispatch
        self.devices = {device.id: device for device in devices}
        self.id = ""
        self.rings: dict[str, int] = {}
        self.set = ""
        self.terms: dict[str, Any] = {}
        self.orders: dict[str, Order] = {}

    async def make(self, plan: dict[str, Any], **changes: Any) -> Campaign:
        self.id = await self.console.create(plan=plan, **changes)
        shown = await self.console.get(f"/{self.id}")
        self.set = shown["target_set"]
        self.terms = plan.get("terms", {})
        targets = await self.console.get(f"/{self.id}/targets", limit=500)
        self.rings = {one["device"]: one["ring"] for one in targets["items"]}
        return self

    def of_ring(self, ring: int) -> list[str]:
        return sorted(device for device, number in self.rings.items() if number == ring)

    async def sign(self, *rings: int, **changes: Any) -> list[dict[str, Any]]:
        signed = []
        for device, ring in self.rings.items():
            if not rings or ring in rings:
                order = self.console.sign(
                    self.id,
                    self.devices[device],
                    ring=ring,
                    terms=Terms(target_set=self.set, **self.terms),
                    **changes,
                )
                self.orders[device] = order
                signed.append(order)
        answer = await self.console.send(self.id, *signed)
        found: list[dict[str, Any]] = answer.json().get("items", [answer.json()])
        return found

    async def steer(self, step: str, body: Any = None) -> dict[str, Any]:
        answer = await self.console.post(f"/{self.id}/{step}", body)
        told: dict[str, Any] = answer.json()
        await self.dispatch.tell_kicked()
        return told

    async def answer(self, device: str, state: Any = "succeeded", **changes: Any) -> None:
        await self.devices[device].send_result(
            self.orders[device], state=state, exit_code=0 if state == "succeeded" else 1, **changes
        )
        await self.dispatch.tell_kicked()

    @property
    def told(self) -> set[str]:
        return {device.id for device in self.devices.values() if device.heard}

    async def report(self) -> Any:
        return await self.console.get(f"/{self.id}/report")


@pytest.fixture
async def fleet(console: Console, dispatch: Dispatch, make_device: MakeDevice) -> Campaign:
    """Six devices that are online."""
    devices = [await make_device(f"pc-{n}", group=f"site-{n % 2}") for n in range(6)]
    for device in devices:
        await device.connect()
    return Campaign(console, dispatch, devices)


async def test_the_next_ring_begins_when_the_one_before_went_well(
    relay: Relay, fleet: Campaign, clock: ManualClock
) -> None:
    await fleet.make({"rings": [{"name": "canary", "count": 2, "soak_s": 600}, ALL]})
    assert [len(fleet.of_ring(0)), len(fleet.of_ring(1))] == [2, 4]
    await fleet.sign()
    await fleet.steer("start")
    first = set(fleet.of_ring(0))
    assert fleet.told == first
    for device in first:
        await fleet.answer(device)
    assert fleet.told == first, "it soaks"
    ring = (await fleet.report())["rings"][0]
    assert ring["settled_at"] is not None
    clock.advance(599)
    await fleet.dispatch.sweep()
    assert fleet.told == first
    clock.advance(1)
    await fleet.dispatch.sweep()
    assert fleet.told == set(fleet.devices)
    for device in fleet.of_ring(1):
        await fleet.answer(device)
    report = await fleet.report()
    assert (report["state"], report["counts"]) == ("finished", {"succeeded": 6})
    assert await counted(relay, fleet.id) == {"succeeded": 6}


@EMBEDDED
async def test_the_same_devices_come_first_every_time(fleet: Campaign) -> None:
    plan = {"rings": [{"name": "canary", "percent": 30}, ALL]}
    await fleet.make(plan)
    first, named = fleet.of_ring(0), fleet.set
    await fleet.make(plan)
    assert (fleet.of_ring(0), fleet.set, len(first)) == (first, named, 2)


async def test_rings_by_tag_and_by_query_and_who_stays_out(relay: Relay, fleet: Campaign) -> None:
    one, two, three, *_ = fleet.devices.values()
    async with relay.db.write() as c:
        await change_tags(c, relay, device=one.id, add=["canary"], remove=[], actor="ann")
    await fleet.make(
        {
            "rings": [
                {"name": "canary", "tag": "canary"},
                {"name": "named", "query": f"name:{two.name}"},
                ALL,
            ],
            "exclude": f"name:{three.name}",
        }
    )
    assert fleet.of_ring(0) == [one.id]
    assert fleet.of_ring(1) == [two.id]
    assert three.id not in fleet.rings
    assert len(fleet.of_ring(2)) == 3


async def test_a_limit_trips_with_the_very_device_and_counts_anew_when_resumed(
    relay: Relay, fleet: Campaign
) -> None:
    await fleet.make({"max_in_flight": 1, "limits": {"failed": 1}})
    await fleet.sign()
    await fleet.steer("start")
    failed: list[str] = []
    while (await fleet.report())["state"] == "running":
        (device,) = fleet.told - set(failed)
        failed.append(device)
        await fleet.answer(device, "failed", stderr=b"no route")
    assert len(failed) == 2, "one is allowed, the second trips, the third is never told"
    shown = await fleet.console.get(f"/{fleet.id}")
    assert (shown["state"], shown["reason"]) == ("paused", "too-many-failed")
    assert fleet.told == set(failed)
    await fleet.steer("resume")
    assert len(fleet.told) == 3, "somebody looked: it goes on"
    while (await fleet.report())["state"] == "running":
        (device,) = fleet.told - set(failed)
        failed.append(device)
        await fleet.answer(device, "timeout" if len(failed) % 2 else "failed")
    assert len(failed) == 4
    assert (await fleet.report())["counts"] == await counted(relay, fleet.id)
    told = await fleet.steer("abort")
    assert (told["state"], told["counts"]["cancelled"]) == ("aborted", 2)


@EMBEDDED
async def test_refused_and_unreachable_have_limits_of_their_own(
    fleet: Campaign, clock: ManualClock, dispatch: Dispatch
) -> None:
    limits = {"failed": 0, "refused": 1, "unreachable": 0}
    await fleet.make({"rings": [ALL | {"limits": limits}], "max_in_flight": 3})
    await fleet.sign()
    await fleet.steer("start")
    first, second, away = sorted(fleet.told)
    await fleet.answer(first, "refused", refusal="policy-refused")
    assert (await fleet.report())["state"] == "running"
    await fleet.answer(second, "expired")
    report = await fleet.report()
    assert (report["state"], report["reason"]) == ("paused", "too-many-unreachable")
    await fleet.steer("resume")
    await fleet.answer(away, "refused", refusal="policy-refused")
    assert (await fleet.report())["state"] == "running", "one more is allowed after the resume"


@EMBEDDED
async def test_a_ring_that_went_badly_holds_the_next(fleet: Campaign) -> None:
    await fleet.make({"rings": [{"name": "canary", "count": 2, "success_percent": 60}, ALL]})
    await fleet.sign()
    await fleet.steer("start")
    one, two = sorted(fleet.told)
    await fleet.answer(one)
    await fleet.answer(two, "failed")
    report = await fleet.report()
    assert (report["state"], report["reason"]) == ("paused", "gate-success")
    assert report["rings"][0]["held"] == "gate-success"
    await fleet.steer("resume")
    assert (await fleet.report())["state"] == "paused", "it is no better than it was"
    assert fleet.told == {one, two}


@EMBEDDED
async def test_a_bad_check_and_a_missing_word_hold_a_ring(relay: Relay, fleet: Campaign) -> None:
    canary = {"name": "canary", "count": 1, "gates": ["disk.space"]}
    await fleet.make({"rings": [canary, ALL | {"approval": "manual"}]})
    await fleet.sign()
    await fleet.steer("start")
    (first,) = fleet.told

    async def say(state: str) -> None:
        async with relay.db.write() as c:
            await set_check_states(
                c,
                tenant=relay.tenant,
                device=first,
                items=[{"id": "disk.space", "state": state, "summary": "it is"}],
                now=relay.now(),
            )
        await fleet.dispatch.sweep()

    await say("critical")
    await fleet.answer(first)
    assert (await fleet.report())["rings"][0]["held"] == "gate-check"
    await say("ok")
    assert (await fleet.report())["rings"][0]["held"] == "gate-approval"
    assert fleet.told == {first}
    await fleet.steer("rings/1/approve")
    assert fleet.told == set(fleet.devices)
    ring = (await fleet.report())["rings"][1]
    assert (ring["approved_by"], ring["opened_at"] is not None) == ("ann", True)
    answer = await fleet.console.post(f"/{fleet.id}/rings/1/approve")
    assert answer.json()["code"] == "campaign-state"
    assert (await fleet.console.post(f"/{fleet.id}/rings/7/approve")).status_code == 404


async def test_only_so_many_work_at_once_and_of_one_group(
    fleet: Campaign, clock: ManualClock
) -> None:
    await fleet.make({"max_in_flight": 3, "domain": "group", "per_domain": 1, "lease_s": 600})
    await fleet.sign()
    await fleet.steer("start")
    groups = {device: fleet.devices[device].group for device in fleet.devices}
    assert sorted(groups[device] for device in fleet.told) == ["site-0", "site-1"]
    done = sorted(fleet.told)[0]
    await fleet.answer(done)
    assert sorted(groups[device] for device in fleet.told - {done}) == ["site-0", "site-1"]
    # What fell silent gives its place free after the lease; its own order stays what it is.
    clock.advance(601)
    await fleet.dispatch.sweep()
    assert len(fleet.told) == 5
    assert (await fleet.report())["counts"] == {"eligible": 1, "offered": 4, "succeeded": 1}


@EMBEDDED
async def test_what_a_device_accepted_keeps_its_place_until_it_can_no_longer_begin(
    fleet: Campaign, clock: ManualClock
) -> None:
    await fleet.make({"max_in_flight": 1, "lease_s": 600}, ttl_s=86_400)
    everybody, (first, *rest) = fleet.rings, sorted(fleet.rings)
    fleet.rings = {first: 0}
    await fleet.sign(expires=format_instant(clock.now() + timedelta(hours=2)))
    await fleet.steer("start")
    fleet.rings = {device: everybody[device] for device in rest}
    await fleet.sign(expires=format_instant(clock.now() + timedelta(days=1)))
    # It waits for its window, or is put off, and has nothing to say meanwhile.
    await fleet.devices[first].progress(fleet.orders[first], "accepted")
    clock.advance(3600)
    await fleet.dispatch.sweep()
    assert fleet.told == {first}
    # It may lose its link and begin all the same.
    fleet.dispatch.who_is_online = lambda: set(rest)
    await fleet.dispatch.sweep()
    assert fleet.told == {first}
    # A long script goes on beyond what its order was valid for.
    await fleet.devices[first].progress(fleet.orders[first], "running")
    fleet.dispatch.who_is_online = lambda: set(everybody)
    clock.advance(3601)
    await fleet.dispatch.sweep()
    assert fleet.told == {first}
    fleet.dispatch.who_is_online = lambda: set(rest)
    await fleet.dispatch.sweep()
    assert len(fleet.told) == 2


@EMBEDDED
async def test_skipped_targets_trip_a_limit_at_the_start(fleet: Campaign) -> None:
    await fleet.make({"rings": [{"name": "canary", "count": 2}, ALL], "limits": {"refused": 0}})
    left_out = fleet.of_ring(0)[0]
    skipped = {"skipped": [{"device": left_out, "code": "device-unverified"}]}
    del fleet.rings[left_out]
    await fleet.sign()
    told = await fleet.steer("start", skipped)
    assert (told["state"], told["reason"]) == ("paused", "too-many-refused")
    assert fleet.told == set()
    await fleet.steer("resume")
    assert fleet.told == set(fleet.of_ring(0))


@EMBEDDED
async def test_who_is_away_takes_no_place(
    console: Console, dispatch: Dispatch, make_device: MakeDevice
) -> None:
    here, *away = [await make_device(f"pc-{n}") for n in range(3)]
    await here.connect()
    fleet = await Campaign(console, dispatch, [here, *away]).make({"max_in_flight": 1})
    await fleet.sign()
    await fleet.steer("start")
    assert fleet.told == {here.id}
    await fleet.answer(here.id)
    await away[1].connect()
    await away[1].present()
    await dispatch.tell_kicked()
    assert fleet.told == {here.id, away[1].id}


@EMBEDDED
async def test_who_was_away_is_told_when_back_and_who_stays_away_ends_as_expired(
    console: Console, dispatch: Dispatch, make_device: MakeDevice, clock: ManualClock
) -> None:
    here, late, never = [await make_device(f"pc-{n}") for n in range(3)]
    await here.connect()
    devices = [here, late, never]
    fleet = await Campaign(console, dispatch, devices).make({"max_in_flight": 2}, ttl_s=7200)
    expires = format_instant(clock.now() + timedelta(hours=2))
    await fleet.sign(expires=expires)
    await fleet.steer("start")
    await fleet.answer(here.id)
    clock.advance(3600)
    await late.connect()
    await late.present()
    await dispatch.tell_kicked()
    assert fleet.told == {here.id, late.id}
    await fleet.answer(late.id)
    clock.advance(3601)
    await dispatch.sweep()
    report = await fleet.report()
    assert (report["state"], report["counts"]) == ("finished", {"expired": 1, "succeeded": 2})
    # What comes back after that is told nothing.
    await never.connect()
    await never.present()
    await dispatch.sweep()
    assert fleet.told == {here.id, late.id}


@EMBEDDED
async def test_terms_and_ring_of_an_order_are_the_plans(fleet: Campaign) -> None:
    terms = {"windows": ["daily 22:00 for 6h"], "defer_days": 2}
    await fleet.make({"rings": [{"name": "canary", "count": 1}, ALL], "terms": terms})
    fleet.terms = {"windows": [], "defer_days": 2}
    assert (await fleet.sign(0))[0]["code"] == "order-wrong-campaign"
    fleet.terms, true = terms, fleet.set
    fleet.set = "ab" * 32
    assert (await fleet.sign(0))[0]["code"] == "order-wrong-campaign"
    fleet.set = true
    rings, fleet.rings = fleet.rings, dict.fromkeys(fleet.rings, 0)
    answers = await fleet.sign()
    assert [one["code"] for one in answers].count(None) == 1, "the others are not in ring 0"
    fleet.rings = rings
    assert {one["code"] for one in await fleet.sign(1)} == {None}


async def test_a_later_ring_is_signed_when_its_turn_comes(relay: Relay, fleet: Campaign) -> None:
    await fleet.make({"rings": [{"name": "canary", "count": 2}, ALL]})
    await fleet.sign(0)
    await fleet.steer("start")
    for device in fleet.of_ring(0):
        await fleet.answer(device)
    shown = await fleet.console.get(f"/{fleet.id}")
    assert (shown["state"], shown["open_ring"]) == ("running", 1)
    assert shown["counts"] == {"planned": 4, "succeeded": 2}
    left_out = fleet.of_ring(1)[0]
    skipped = [{"device": left_out, "code": "device-unverified"}]
    assert (await fleet.steer("skip", {"skipped": skipped}))["counts"]["refused"] == 1
    del fleet.rings[left_out]
    await fleet.sign(1)
    await fleet.dispatch.tell_kicked()
    for device in fleet.of_ring(1):
        await fleet.answer(device)
    assert await counted(relay, fleet.id) == {"refused": 1, "succeeded": 5}
    assert (await fleet.report())["state"] == "finished"


async def test_a_retry_is_about_who_ended_badly_and_a_way_back_about_who_began(
    fleet: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.make({})
    await fleet.sign()
    await fleet.steer("start")
    first, devices = fleet.id, list(fleet.devices.values())
    answer = await fleet.console.post("", {**NEW, "source": first})
    assert (answer.json()["code"], "abort" in answer.json()["hint"]) == ("no-targets", True)
    bad, late, cut, same, good, busy = sorted(fleet.devices)
    await fleet.answer(bad, "failed")
    await fleet.answer(late, "timeout")
    await fleet.answer(cut, "interrupted")
    await fleet.answer(same, "no_change")
    await fleet.answer(good)
    # Its device may yet begin it, or is at work: it runs neither the same again nor the inverse.
    await fleet.devices[busy].progress(fleet.orders[busy], "running")
    # However large the fleet is, only the targets of the first one are asked about.
    monkeypatch.setattr("farhand_server.fleet.frozen_sets.MAX_TARGETS", 4)
    of_fleet = await fleet.console.post("", NEW)
    assert of_fleet.json()["code"] == "too-many-targets"
    plan = {"rings": [{"name": "canary", "query": "*"}, ALL]}
    retry = await Campaign(fleet.console, fleet.dispatch, devices).make(plan, source=first)
    assert sorted(retry.rings) == [bad, late, cut]
    back = await Campaign(fleet.console, fleet.dispatch, devices).make(
        plan, source=first, source_use="rollback"
    )
    assert sorted(back.rings) == [bad, late, cut, good]
    assert (await back.console.get(f"/{back.id}"))["source"] == first


async def test_events_come_in_order_and_a_cursor_goes_on(fleet: Campaign) -> None:
    await fleet.make({"rings": [{"name": "canary", "count": 1}, ALL]})
    await fleet.sign()
    await fleet.steer("start")
    (first,) = fleet.told
    page = await fleet.console.get(f"/{fleet.id}/events", limit=3)
    await fleet.answer(first)
    rest = await fleet.console.get(f"/{fleet.id}/events", cursor=page["next"])
    states = [(one["state"], one["device"]) for one in page["items"] + rest["items"]]
    assert states.index(("running", None)) < states.index(("offered", first))
    assert states.index(("offered", first)) < states.index(("succeeded", first))
    assert states.index(("succeeded", first)) < states.index(("ring-opened", None))
    numbers = [one["seq"] for one in page["items"] + rest["items"]]
    assert numbers == sorted(set(numbers))
    again = await fleet.console.get(f"/{fleet.id}/events", cursor=rest["next"])
    assert (again["items"], again["next"], again["state"]) == ([], rest["next"], "running")


@EMBEDDED
async def test_a_plan_that_makes_no_sense_makes_no_campaign(fleet: Campaign) -> None:
    for plan, code in (
        ({"rings": [{"name": "canary", "count": 1}]}, "plan-malformed"),
        ({"terms": {"windows": ["whenever"]}}, "terms-malformed"),
        ({"exclude": "*"}, "no-targets"),
    ):
        answer = await fleet.console.post("", {**NEW, "plan": plan})
        assert answer.json()["code"] == code, plan


NEW = {"script": "check.disk.space", "version": 1, "digest": "ab" * 32, "risk": "R0", "query": "*"}
