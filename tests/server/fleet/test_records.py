"""What people keep of devices: product data, duplicates, merges, devices without an agent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from farhand_protocol.errors import RemoteError
from farhand_protocol.inventory import WITHHELD
from farhand_server.fleet import product
from farhand_server.fleet.hints import hints_of
from farhand_server.relay import Relay
from farhand_server.store.schema import audit, devices
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import DIGEST, Operator, b64
from tests.server.relays import ManualClock, SignIn

PRINTER = {"name": "printer 1", "kind": "printer", "address": "192.0.2.17"}


async def names(web: httpx.AsyncClient, headers: dict[str, str], q: str) -> list[str]:
    answer = await web.get("/api/v1/devices", params={"q": q}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["items"]]


async def actions(relay: Relay) -> list[str]:
    async with relay.db.read() as c:
        return list(await c.scalars(select(audit.c.action).order_by(audit.c.seq)))


# Product data.


async def test_product_data_is_kept_with_revisions(
    relay: Relay,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    make_device: MakeDevice,
    clock: ManualClock,
) -> None:
    device = await make_device("kiosk")
    await device.report({"system": [{"manufacturer": "ACME", "model": "X1", "serial": "R2D2-77"}]})
    headers = await sign_in("technician")
    url = f"/api/v1/devices/{device.id}/product"
    first = await web.get(url, headers=headers)
    assert first.headers["etag"] == '"0"'
    told = first.json()
    assert (told["make"], told["serial"], told["warranty"]) == ("ACME", "R2D2-77", "unknown")
    assert told["reported"] == ["make", "model", "serial"]
    today = clock.now().date()
    change = {
        "model": "X1 Carbon",
        "warranty_ends_on": today.isoformat(),
        "notes": "two lines\nof notes",
    }
    saved = await web.post(url, headers={**headers, "If-Match": '"0"'}, json=change)
    assert saved.status_code == 200, saved.text
    assert saved.headers["etag"] == '"1"'
    told = saved.json()
    assert (told["model"], told["warranty"], told["reported"]) == (
        "X1 Carbon",
        "ends-soon",
        ["make", "serial"],
    )
    stale = await web.post(url, headers={**headers, "If-Match": '"0"'}, json={"make": "B"})
    assert (stale.status_code, stale.json()["code"]) == (412, "revision-mismatch")
    emptied = (await web.post(url, headers=headers, json={"model": None})).json()
    assert (emptied["model"], emptied["notes"]) == ("X1", "two lines\nof notes")
    clock.advance(2 * 86_400)
    headers = await sign_in("technician")  # a token does not live that long
    assert (await web.get(url, headers=headers)).json()["warranty"] == "over"
    later = {"warranty_ends_on": "2099-12-31"}
    assert (await web.post(url, headers=headers, json=later)).json()["warranty"] == "ok"
    for wrong in (
        {},
        {"warranty_ends_on": "31.12.2099"},
        {"purchased_on": "2026-02-30"},
        {"make": "x" * 300},
        {"serial": "esc\x1b[2J"},
        {"colour": "red"},
    ):
        answer = await web.post(url, headers=headers, json=wrong)
        assert answer.status_code == 422, wrong
    denied = await web.post(url, headers=await sign_in("auditor"), json={"make": "x"})
    assert denied.status_code == 403
    assert (await actions(relay)).count("device.describe") == 3
    await make_device("other")
    theirs = "/api/v1/devices/other/product"
    number = {"make": "HP", "serial": "ZZ-991"}
    assert (await web.post(url, headers=headers, json=number)).status_code == 200
    taken = await web.post(theirs, headers=headers, json={"make": "hp", "serial": "zz-991"})
    assert (taken.status_code, taken.json()["code"]) == (409, "serial-taken")
    for free in ({"serial": "ZZ-991"}, {"make": "Other"}, {"make": "HP", "serial": "ZZ-992"}):
        assert (await web.post(theirs, headers=headers, json=free)).status_code == 200, free
    taken = await web.post(theirs, headers=headers, json={"serial": "ZZ-991"})
    assert taken.json()["code"] == "serial-taken"
    recorded = {"serial": "Asset 9"}
    await web.post(url, headers=headers, json=recorded)
    assert await names(web, headers, 'serial:"asset 9"') == ["kiosk"]
    assert await names(web, headers, "serial:r2d2-77") == ["kiosk"]


async def test_a_serial_number_is_one_devices_however_it_is_written(
    relay: Relay,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    make_device: MakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = await sign_in("technician")
    one, other = await make_device("one"), await make_device("other")
    url, theirs = (f"/api/v1/devices/{each.id}/product" for each in (one, other))
    # Letters beyond the English ones, too, which SQLite's own folding leaves alone.
    number = {"make": "ÄRZTE", "serial": "Ж-7"}
    assert (await web.post(url, headers=headers, json=number)).status_code == 200
    for same in (number, {"make": "ärzte", "serial": "ж-7"}):
        taken = await web.post(theirs, headers=headers, json=same)
        assert (taken.status_code, taken.json()["code"]) == (409, "serial-taken")

    # The store refuses it, where two come at once and neither sees the other.
    async def see_nobody(_: object, tenant: str, device: str, change: dict[str, Any]) -> None:
        change["folded"] = "ärzte\nж-7"

    with monkeypatch.context() as patched:
        patched.setattr(product, "_take_serial", see_nobody)
        taken = await web.post(theirs, headers=headers, json=number)
        assert (taken.status_code, taken.json()["code"]) == (409, "serial-taken")
    # One that is retired gives its number to whoever has it now; the writing stays.
    async with relay.db.write() as c:
        retired = update(devices).where(devices.c.id == one.id)
        await c.execute(retired.values(retired_at=relay.stamp()))
    assert (await web.post(theirs, headers=headers, json=number)).status_code == 200
    assert (await web.get(url, headers=headers)).json()["serial"] == "Ж-7"


# Devices without an agent.


async def test_a_device_without_an_agent_is_listed_and_never_a_target(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    admin = await sign_in("admin")
    kiosk = await make_device("kiosk")
    made = await web.post("/api/v1/devices", headers=admin, json=PRINTER)
    assert made.status_code == 201, made.text
    printer = made.json()
    assert (printer["kind"], printer["address"], printer["key"]) == ("printer", "192.0.2.17", "")
    assert await names(web, admin, "*") == ["kiosk", "printer 1"]
    assert await names(web, admin, "kind:printer") == ["printer 1"]
    assert await names(web, admin, "kind:agent") == ["kiosk"]
    for ref in (printer["id"], "printer 1", printer["id"].upper()):
        assert (await web.get(f"/api/v1/devices/{ref}", headers=admin)).status_code == 200, ref
    url = f"/api/v1/devices/{printer['id']}"
    assert (await web.get(f"{url}/sections", headers=admin)).json()["items"] == []
    assert (await web.get(f"{url}/product", headers=admin)).json()["warranty"] == "unknown"
    assert (await web.post(f"{url}/tags", headers=admin, json={"add": ["lab"]})).status_code == 200
    new = {"script": "check.disk.space", "version": 1, "digest": DIGEST, "risk": "R0"}
    frozen = await web.post("/api/v1/campaigns", headers=admin, json={**new, "query": "*"})
    assert frozen.json()["targets"] == 1
    only = await web.post("/api/v1/campaigns", headers=admin, json={**new, "query": "tag:lab"})
    assert only.json()["code"] == "no-targets"
    order = Operator(relay, "admin").order(kiosk, device=printer["id"])
    sealed = b64(Operator(relay, "admin").seal(order))
    answer = await web.post("/api/v1/orders", headers=admin, json={"items": [{"envelope": sealed}]})
    assert answer.json()["code"] == "device-agentless", answer.text
    confirmed = await web.post(f"{url}/confirm", headers=admin, json={"envelope": b64(b"x")})
    assert confirmed.json()["code"] == "device-agentless"
    denied = await web.post("/api/v1/devices", headers=await sign_in("technician"), json=PRINTER)
    assert denied.status_code == 403
    retired = await web.post(f"{url}/retire", headers=admin)
    assert retired.json()["retired_at"] is not None
    assert await names(web, admin, "*") == ["kiosk"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "toaster"},
        {"kind": "agent"},
        {"address": "http://192.0.2.17/"},
        {"address": "fe80::1%eth0"},
        {"address": "a..b"},
        {"address": "-x"},
        {"address": ""},
        {"name": "esc\x1b[2J"},
        {"name": "n" * 65},
        {"group": "Not A Group"},
    ],
)
@pytest.mark.either_store
async def test_what_an_agentless_device_cannot_be(
    web: httpx.AsyncClient, sign_in: SignIn, wrong: dict[str, Any]
) -> None:
    answer = await web.post(
        "/api/v1/devices", headers=await sign_in("admin"), json={**PRINTER, **wrong}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_an_agentless_name_takes_no_name_away(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    admin = await sign_in("admin")
    device = await make_device("desk")
    await web.post("/api/v1/devices", headers=admin, json={**PRINTER, "name": "desk"})
    assert (await web.get("/api/v1/devices/desk", headers=admin)).json()["id"] == device.id


# Duplicates.


def test_fillers_are_no_hints() -> None:
    junk = [
        "To Be Filled By O.E.M.", "Default string", "System Serial Number", "0123456789", "None",
        "00000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "Not Specified", "xxxxxxxx", "  ", "1",
        "03000200-0400-0500-0006-000700080009", "esc\x1b[2J", "N/A", "unknown",
    ]  # fmt: skip
    for value in junk:
        assert hints_of("system", [{"serial": value, "uuid": value}]) == set(), value
    # Where policy withholds serial numbers, all devices of an organisation answer the same.
    held = {"serial": WITHHELD, "uuid": WITHHELD, "hostname": WITHHELD}
    assert hints_of("system", [held]) == set()
    assert hints_of("system", [{"serial": " 5CG1234XYZ ", "hostname": "Front-Desk.lan"}]) == {
        ("serial", "5cg1234xyz"),
        ("host_name", "front-desk"),
    }
    macs = ["02:42:ac:11:00:02", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "not a mac", None]
    assert hints_of("network", [{"mac": mac} for mac in macs]) == set()
    assert hints_of("network", [{"mac": "3C-52-82-AA-BB-CC"}]) == {("mac", "3c:52:82:aa:bb:cc")}
    assert hints_of("network", [{"mac": "3c:52:82:aa:bb:cc", "virtual": True}]) == set()


async def twins(make_device: MakeDevice) -> tuple[Any, Any]:
    old, new = await make_device("desk-old"), await make_device("desk-new")
    for one in (old, new):
        await one.report({"system": [{"serial": "5CG1234XYZ", "hostname": "desk"}]})
    return old, new


async def test_duplicates_are_proposed_and_paged(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice, clock: ManualClock
) -> None:
    headers = await sign_in("auditor")
    old = await make_device("desk-old")
    clock.advance(3600)
    new, other = await make_device("desk-new"), await make_device("lone")
    for one in (old, new):
        await one.report({"system": [{"serial": "5CG1234XYZ", "hostname": "desk"}]})
    await other.report({"system": [{"serial": "Default string", "hostname": "desk"}]})
    seen: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 1}
    while True:
        page = (await web.get("/api/v1/duplicates", params=params, headers=headers)).json()
        seen += page["items"]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert [one["strength"] for one in seen] == ["strong", "weak", "weak"]
    assert (seen[0]["keep"]["id"], seen[0]["other"]["id"]) == (new.id, old.id)
    assert {one["kind"] for one in seen[0]["shared"]} == {"serial", "host_name"}
    for n in range(8):
        crowd = await make_device(f"crowd-{n}")
        await crowd.report({"system": [{"serial": "5CG1234XYZ", "hostname": "desk"}]})
    crowded = (await web.get("/api/v1/duplicates", headers=headers)).json()
    assert crowded["items"] == [], "what ten machines have says nothing"


async def test_a_dismissed_pair_comes_back_only_with_more_in_common(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    admin = await sign_in("admin")
    old, new = await twins(make_device)

    async def proposed(**params: Any) -> list[dict[str, Any]]:
        answer = await web.get("/api/v1/duplicates", params=params, headers=admin)
        return list(answer.json()["items"])

    async def say(what: str, one: str, other: str) -> httpx.Response:
        pair = {"one": one, "other": other}
        return await web.post(f"/api/v1/duplicates/{what}", headers=admin, json=pair)

    assert len(await proposed()) == 1
    assert (await say("dismiss", new.id, old.id)).status_code == 200
    assert await proposed() == []
    (aside,) = await proposed(dismissed=True)
    assert {aside["dismissed"]["one"], aside["dismissed"]["other"]} == {old.id, new.id}
    # The same again, and less of it, is nothing new.
    for one in (old, new):
        await one.report({"system": [{"serial": "5CG1234XYZ"}]})
    assert await proposed() == []
    for one in (old, new):
        await one.report({"network": [{"mac": "3c:52:82:aa:bb:cc"}]})
    (back,) = await proposed()
    assert {shared["kind"] for shared in back["shared"]} == {"serial", "mac"}
    assert await proposed(dismissed=True) == []
    assert (await say("dismiss", old.id, new.id)).status_code == 200, "once more, for all of it"
    assert await proposed() == []
    assert (await say("recall", "desk-old", "desk-new")).status_code == 200
    assert len(await proposed()) == 1
    third = await make_device("third")
    for what, other, code in (
        ("recall", new.id, "duplicate-not-dismissed"),
        ("dismiss", third.id, "device-not-alike"),
        ("dismiss", old.id, "invalid"),
    ):
        assert (await say(what, old.id, other)).json()["code"] == code
    pair = {"one": old.id, "other": new.id}
    for what in ("dismiss", "recall"):
        answer = await web.post(
            f"/api/v1/duplicates/{what}", headers=await sign_in("technician"), json=pair
        )
        assert answer.status_code == 403
    told = [one for one in await actions(relay) if one.startswith("duplicate.")]
    assert told == ["duplicate.dismiss", "duplicate.dismiss", "duplicate.recall"]


async def test_merging_and_taking_it_back(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    admin = await sign_in("admin")
    old, new = await twins(make_device)
    await old.report({"cpu": [{"model": "a"}]})
    order = Operator(relay, "admin")
    items = {"items": [{"envelope": b64(order.seal(order.order(old)))}]}
    await web.post("/api/v1/orders", headers=admin, json=items)
    merge = f"/api/v1/devices/{new.id}/merge"
    done = await web.post(merge, headers=admin, json={"other": old.id})
    assert done.status_code == 200, done.text
    assert (done.json()["kept"], done.json()["other"]) == (new.id, old.id)
    again = await web.post(merge, headers=admin, json={"other": old.id})
    assert again.json()["id"] == done.json()["id"], "saying it twice does it once"
    assert await names(web, admin, "*") == ["desk-new"]
    shown = (await web.get(f"/api/v1/devices/{old.id}", headers=admin)).json()
    assert (shown["merged_into"], shown["retired_at"] is not None) == (new.id, True)
    with pytest.raises(RemoteError, match="device-retired"):
        await old.present()
    # What was his follows.
    history = (await web.get(f"/api/v1/devices/{new.id}/history", headers=admin)).json()
    assert {one["device"] for one in history["items"]} == {old.id, new.id}
    listed = await web.get("/api/v1/orders", params={"device": new.id}, headers=admin)
    assert [one["device"] for one in listed.json()["items"]] == [old.id]
    assert (await web.get("/api/v1/duplicates", headers=admin)).json()["items"] == []
    third = await make_device("third")
    for keep, other in ((third.id, old.id), (third.id, new.id)):
        answer = await web.post(
            f"/api/v1/devices/{keep}/merge", headers=admin, json={"other": other}
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "device-merged")
    printer = {"name": "laser", "kind": "printer", "address": "192.0.2.9", "group": "default"}
    made = (await web.post("/api/v1/devices", headers=admin, json=printer)).json()["id"]
    for keep, other in ((third.id, made), (made, third.id)):
        answer = await web.post(
            f"/api/v1/devices/{keep}/merge", headers=admin, json={"other": other}
        )
        assert answer.json()["code"] == "invalid"
        assert "runs an agent" in answer.text
    await web.post(f"/api/v1/devices/{made}/retire", headers=admin)
    itself = await web.post(merge, headers=admin, json={"other": new.id})
    assert itself.json()["code"] == "invalid"
    undo = f"/api/v1/devices/{old.id}/unmerge"
    assert (await web.post(undo, headers=await sign_in("technician"))).status_code == 403
    undone = (await web.post(undo, headers=admin)).json()
    assert undone["undone_at"] is not None
    assert (await web.post(undo, headers=admin)).json()["code"] == "device-not-merged"
    await old.present()
    assert await names(web, admin, "*") == ["desk-new", "desk-old", "third"]
    kept = [one for one in await actions(relay) if "merge" in one]
    assert kept == ["device.merge", "device.unmerge"]


async def test_a_system_is_found_by_what_its_section_says(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    admin = await sign_in("admin")
    for name in ("one", "two"):
        device = await make_device(name)
        item = {"id": "void", "id_like": ["gnu%"], "name": "Void Linux", "version": "12"}
        await device.report({"os": [item]})
    for query in ("os:void", "os:VOID", "os:gnu%", 'os:"void lin"'):
        assert await names(web, admin, query) == ["one", "two"], query
    assert await names(web, admin, "os:v_id") == []
    assert await names(web, admin, "-os:void") == []
    # Of one system are half the fleet: that makes no twins of them.
    assert (await web.get("/api/v1/duplicates", headers=admin)).json()["items"] == []
    await device.report({"os": [{"id": "ubuntu", "id_like": "void", "name": 3}]})
    assert await names(web, admin, "os:void") == ["one"]


# Checks.


async def test_states_of_checks_are_found(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers = await sign_in("technician")
    one, two = await make_device("one"), await make_device("two")
    full = {"id": "disk.space", "state": "critical", "summary": "2 % free", "value": 2, "unit": "%"}
    fine = {"id": "disk.space", "state": "ok", "summary": "fine"}
    await one.report({"checks": [full | {"subject": "/"}, fine | {"subject": "/home"}]})
    await two.report({"checks": [fine, {"id": "Not An Id", "state": "ok"}, {"id": "x.y"}]})
    for q, found in (
        ("check:disk.space=critical", ["one"]),
        ("check:disk.space=ok", ["one", "two"]),
        ("check:check.disk.space=critical", ["one"]),
        ("check:*=critical", ["one"]),
        ("check:disk.*", ["one", "two"]),
        ("-check:*=critical", ["two"]),
        ("check:other=ok", []),
    ):
        assert await names(web, headers, q) == found, q
    listed = (await web.get(f"/api/v1/devices/{one.id}/checks", headers=headers)).json()["items"]
    assert [(c["subject"], c["state"], c["value"]) for c in listed] == [
        ("/", "critical", "2"),
        ("/home", "ok", None),
    ]
    await one.report({"checks": [fine]})
    assert await names(web, headers, "check:*=critical") == []
