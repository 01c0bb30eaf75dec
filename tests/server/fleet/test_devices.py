"""Devices over HTTP: found, listed, tagged, confirmed, retired."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import select

from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal, signers
from farhand_protocol.errors import RemoteError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.tokens import Confirmation, Enrolment
from farhand_protocol.trust import Operator as RosterOperator
from farhand_protocol.trust import Roster
from farhand_server.fleet import devices as devices_module
from farhand_server.gateway.node import make_gateway
from farhand_server.relay import Relay
from farhand_server.store.schema import orders
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import (
    DIGEST,
    FakeDevice,
    Operator,
    TokenKit,
    b64,
    plant_devices,
)
from tests.server.relays import SignIn

ADMIN_KEY = SeedSigner(b"\x11" * 32)


@pytest.fixture
def roster(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Roster:
    """A roster with one admin, as if published; trust has its own tests."""
    found = Roster(
        tenant=relay.tenant,
        operators=[
            RosterOperator(name="root", keys=[ADMIN_KEY.public_key], permissions=["admin"]),
        ],
    )

    async def current(_c: object, _relay: Relay) -> Roster:
        return found

    monkeypatch.setattr(devices_module, "current_roster", current)
    return found


async def names(web: httpx.AsyncClient, headers: dict[str, str], q: str) -> list[str]:
    answer = await web.get("/api/v1/devices", params={"q": q}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["items"]]


async def test_queries(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers = await sign_in("technician")
    desk = await make_device("front desk", group="sales", os="Debian 12")
    await make_device("till_1", group="sales", os="Fedora 40")
    await make_device("tillx1", group="lab", os="debian 11", agent_version="0.2.0")
    tag = f"/api/v1/devices/{desk.id}/tags"
    tagged = await web.post(tag, headers=headers, json={"add": ["Lab", "gate"], "remove": []})
    assert tagged.json()["tags"] == ["Lab", "gate"]
    relay.service(make_gateway).presence.came(desk.id)
    everyone = ["front desk", "till_1", "tillx1"]
    assert await names(web, headers, "*") == everyone
    assert await names(web, headers, "") == everyone
    assert await names(web, headers, "os:debian") == ["front desk", "tillx1"]
    assert await names(web, headers, "os:debian group:lab") == ["tillx1"]
    assert await names(web, headers, "-group:sales") == ["tillx1"]
    assert await names(web, headers, "tag:Lab") == ["front desk"]
    assert await names(web, headers, "tag:lab") == []
    assert await names(web, headers, '"front desk"') == ["front desk"]
    assert await names(web, headers, "TILL_1") == ["till_1"], "an underscore is no wildcard"
    assert await names(web, headers, "name:till*") == ["till_1", "tillx1"]
    assert await names(web, headers, "name:till_*") == ["till_1"]
    assert await names(web, headers, desk.id[:12]) == ["front desk"]
    assert await names(web, headers, f"id:{desk.id}") == ["front desk"]
    assert await names(web, headers, "online:true") == ["front desk"]
    assert await names(web, headers, "online:false") == ["till_1", "tillx1"]
    assert await names(web, headers, "confirmed:true version:0.2") == ["tillx1"]
    assert await names(web, headers, "'; DROP TABLE devices; --") == []
    wrong = await web.get("/api/v1/devices", params={"q": "colour:red"}, headers=headers)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "query-invalid")


async def test_fifty_thousand_online_devices_are_one_parameter(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    headers = await sign_in("technician")
    here, away = (await plant_devices(relay, 2))[:2]
    presence = relay.service(make_gateway).presence
    presence.came(here)
    presence.heard_here("other", [f"d-{n:052d}" for n in range(50_000)])
    assert len(presence.online()) == 50_001
    for q, expected in (("online:true", here), ("online:false", away), ("-online:true", away)):
        answer = await web.get("/api/v1/devices", params={"q": q}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert [one["id"] for one in answer.json()["items"]] == [expected]
    new = {"script": "check.disk.space", "version": 1, "digest": DIGEST, "risk": "R0"}
    for q, count in (("online:true", 1), ("online:true online:false", None)):
        answer = await web.post("/api/v1/campaigns", headers=headers, json={**new, "query": q})
        assert answer.json().get("targets") == count, answer.text


async def test_a_list_pages_by_name_and_id(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers = await sign_in("technician")
    made = [await make_device(name) for name in ("same", "same", "same", "other")]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 1}
    while True:
        page = (await web.get("/api/v1/devices", params=params, headers=headers)).json()
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert sorted(seen) == sorted(one.id for one in made)


async def test_a_console_can_verify_the_key_without_the_relay(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    token = await TokenKit().register(relay)
    device = await FakeDevice(relay).enrol(token)
    shown = await web.get("/api/v1/devices/kiosk", headers=await sign_in("technician"))
    body = shown.json()
    enrolment = decode_envelope(base64.b64decode(body["enrolment"]))
    said = open_payload(enrolment, Enrolment)
    assert said.device_key == base64.b64decode(body["key"]) == device.signer.public_key
    assert len(signers(enrolment, [token.signer.public_key, said.device_key])) == 2
    assert body["token_envelope"] is not None
    assert (body["token_signed_by"], body["confirmed"]) == ("admin", True)


async def test_names_that_several_have(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers = await sign_in("technician")
    one, two = await make_device("twin"), await make_device("twin")
    answer = (await web.get("/api/v1/devices/twin", headers=headers)).json()
    assert (answer["status"], answer["code"]) == (409, "device-ambiguous")
    assert one.id in answer["hint"]
    assert two.id in answer["hint"]
    assert (await web.get(f"/api/v1/devices/{one.id}", headers=headers)).json()["id"] == one.id
    assert (await web.get("/api/v1/devices/nobody", headers=headers)).status_code == 404


async def test_a_confirmed_device_keeps_its_name(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    """A token of the relay's host enrols unconfirmed devices of any name."""
    admin = await sign_in("admin")
    real = await make_device("front")
    false = [
        await FakeDevice(relay, "front").enrol(await TokenKit().register(relay, signed_by="relay"))
        for _ in range(2)
    ]
    shown = (await web.get("/api/v1/devices/front", headers=admin)).json()
    assert (shown["id"], shown["confirmed"]) == (real.id, True)
    # Without the confirmed one they are two of a name; retired, it is in nobody's way.
    await web.post(f"/api/v1/devices/{real.id}/retire", headers=admin)
    answer = (await web.get("/api/v1/devices/front", headers=admin)).json()
    assert answer["code"] == "device-ambiguous"
    assert real.id not in answer["hint"]
    await web.post(f"/api/v1/devices/{false[0].id}/retire", headers=admin)
    shown = (await web.get("/api/v1/devices/front", headers=admin)).json()
    assert (shown["id"], shown["confirmed"]) == (false[1].id, False)


async def test_a_device_cannot_take_another_ones_id_as_its_name(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    honest = await make_device("honest")
    await FakeDevice(relay, honest.id).enrol(await TokenKit().register(relay))
    shown = await web.get(f"/api/v1/devices/{honest.id}", headers=await sign_in("technician"))
    assert shown.json()["name"] == "honest"


async def test_tags_are_bounded(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers = await sign_in("technician")
    device = await make_device()
    path = f"/api/v1/devices/{device.id}/tags"
    for add in (["has space"], ["-x"], ["x" * 65], [""], ["\u202e"]):
        assert (await web.post(path, headers=headers, json={"add": add})).status_code == 422
    full = {"add": [f"t{n}" for n in range(64)]}
    assert len((await web.post(path, headers=headers, json=full)).json()["tags"]) == 64
    assert (await web.post(path, headers=headers, json={"add": ["more"]})).status_code == 422
    swap = {"add": ["more", "t1"], "remove": ["t0"]}
    assert len((await web.post(path, headers=headers, json=swap)).json()["tags"]) == 64
    denied = await web.post(path, headers=await sign_in("auditor"), json=swap)
    assert denied.status_code == 403


async def test_confirming(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, roster: Roster
) -> None:
    admin = await sign_in("admin")
    token = await TokenKit().register(relay, signed_by="relay")
    device = await FakeDevice(relay).enrol(token)
    good = Confirmation(
        tenant=relay.tenant,
        device=device.id,
        device_key=device.signer.public_key,
        group="default",
        at="2026-11-22T12:00:00Z",
    )

    async def confirm(
        statement: Confirmation, signer: SeedSigner, headers: dict[str, str] = admin
    ) -> httpx.Response:
        blob = b64(encode_envelope(seal(statement, signer)))
        return await web.post(
            f"/api/v1/devices/{device.id}/confirm", headers=headers, json={"envelope": blob}
        )

    wrong_group = msgspec.structs.replace(good, group="sales")
    assert (await confirm(wrong_group, ADMIN_KEY)).json()["code"] == "confirmation-mismatch"
    stranger = SeedSigner(b"\x12" * 32)
    assert (await confirm(good, stranger)).json()["code"] == "confirmation-signature"
    assert (await confirm(good, ADMIN_KEY, await sign_in("technician"))).status_code == 403
    answer = (await confirm(good, ADMIN_KEY)).json()
    assert (answer["confirmed"], answer["confirmation"] is not None) == (True, True)
    # The group moves with another token, so the confirmation no longer stands.
    await device.enrol(await TokenKit(group="sales").register(relay, signed_by="relay"))
    shown = (await web.get(f"/api/v1/devices/{device.id}", headers=admin)).json()
    assert (shown["confirmed"], shown["confirmation"]) == (False, None)


async def test_retiring(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    admin = await sign_in("admin", name="ann")
    device = await make_device("old")
    await device.connect()
    operator = Operator(relay, "ann")
    order = operator.order(device)
    items = {"items": [{"envelope": b64(operator.seal(order))}]}
    await web.post("/api/v1/orders", headers=admin, json=items)
    answer = await web.post("/api/v1/devices/old/retire", headers=admin)
    assert answer.json()["retired_at"] is not None
    async with relay.db.read() as c:
        assert await c.scalar(select(orders.c.state).where(orders.c.id == order.id)) == "gone"
    assert await names(web, admin, "*") == []
    for ref, path in (
        ("old", ""),
        ("old", "/sections"),
        (device.id, "/sections"),
        ("old", "/diff"),
    ):
        gone = await web.get(f"/api/v1/devices/{ref}{path}", headers=admin)
        assert (gone.status_code, gone.json()["code"]) == (409, "device-retired"), (ref, path)
    for ref in ("old", device.id):
        twice = await web.post(f"/api/v1/devices/{ref}/retire", headers=admin)
        assert twice.json()["code"] == "device-retired"
    assert (await web.get(f"/api/v1/devices/{device.id}", headers=admin)).status_code == 200
    for saying in (device.present(), device.report({}), device.send_result(order)):
        with pytest.raises(RemoteError, match="device-retired"):
            await saying
    again = {"items": [{"envelope": b64(operator.seal(operator.order(device)))}]}
    refused = await web.post("/api/v1/orders", headers=admin, json=again)
    assert refused.json()["code"] == "device-retired"
