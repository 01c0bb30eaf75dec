"""What is worked with on a ticket: forms, checklists, canned replies, instructions, the device."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, insert, select, update

from farhand_server.clock import stamp
from farhand_server.desk.closing import sweep_tickets
from farhand_server.relay import Relay
from farhand_server.store.schema import blobs, campaigns, devices, orders, section_changes
from tests.server.desk.people import Desk
from tests.server.fleet.parts import FakeDevice, TokenKit
from tests.server.relays import ManualClock, SignIn

FORM = {
    "type": "object",
    "required": ["since"],
    "properties": {
        "since": {"type": "string", "format": "date", "title": "Since when"},
        "users": {"type": "integer", "minimum": 1, "maximum": 500},
        "where": {"type": "string", "enum": ["office", "home"]},
        "vpn": {"type": "boolean"},
    },
    "additionalProperties": False,
}


@pytest.fixture
async def boss(web: httpx.AsyncClient, sign_in: SignIn) -> Desk:
    return Desk(web, await sign_in("admin", name="boss"))


async def _post(who: Desk, path: str, body: Any, status: int = 200) -> Any:
    answer = await who.web.post(f"/api/v1{path}", headers=who.headers, json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def _get(who: Desk, path: str) -> Any:
    answer = await who.web.get(f"/api/v1{path}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_form_says_what_a_kind_of_ticket_is_asked(ann: Desk, boss: Desk, mia: Desk) -> None:
    await _post(boss, "/ticket-forms/incident", FORM)
    assert [one["kind"] for one in (await _get(mia, "/ticket-forms"))["items"]] == ["incident"]
    refused = await mia.post("", {"title": "t"})
    assert refused.json()["code"] == "fields-invalid"
    for wrong in (
        {"since": "yesterday"},
        {"since": "2026-11-01", "users": 0},
        {"since": "2026-11-01", "users": True},
        {"since": "2026-11-01", "users": 1.5},
        {"since": "2026-11-01", "where": "moon"},
        {"since": "2026-11-01", "vpn": "yes"},
        {"since": "2026-11-01", "other": 1},
        {"since": ""},
    ):
        answer = await mia.post("", {"title": "t", "fields": wrong})
        assert answer.status_code in (400, 422), wrong
    made = await mia.new("t", fields={"since": "2026-11-01", "where": "home", "vpn": False})
    assert made["fields"] == {"since": "2026-11-01", "where": "home", "vpn": False}
    await mia.new("another kind", kind="question")
    changed = (await ann.change("1", fields={"users": 3, "where": None})).json()
    assert changed["fields"] == {"since": "2026-11-01", "users": 3, "vpn": False}
    assert (await ann.change("1", fields={"since": None})).json()["code"] == "fields-invalid"
    for wrong_form in (
        {**FORM, "required": ["nothing"]},
        {**FORM, "patternProperties": {}},
        {"properties": {"a": {"type": "array"}}},
        {"properties": {"a": {"type": "string", "pattern": "(a+)+"}}},
        {"properties": {"a": {"type": "integer", "minimum": 3, "maximum": 2}}},
        {"properties": {"A b": {"type": "string"}}},
    ):
        answer = await boss.web.post(
            "/api/v1/ticket-forms/incident", headers=boss.headers, json=wrong_form
        )
        assert answer.status_code in (400, 422), wrong_form
    await _post(boss, "/ticket-forms/incident", {"properties": {}})
    assert (await _get(ann, "/ticket-forms"))["items"] == []


async def test_required_items_hold_a_ticket_back(ann: Desk, boss: Desk, relay: Relay) -> None:
    setup = {
        "kind": "request",
        "items": [
            {"words": "Unpack it"},
            {"words": "Updates", "script": "patch.apt.apply"},
            {"words": "Wipe the screen", "required": False},
        ],
    }
    await _post(boss, "/checklists/setup", setup)
    await _post(boss, "/checklists/extra", {"holds_back": False, "items": [{"words": "x"}]})
    await ann.new("new laptop", kind="request")
    items = (await _get(ann, "/tickets/1/checklist"))["items"]
    assert [(one["place"], one["state"]) for one in items] == [
        (1, "open"), (2, "open"), (3, "open"),
    ]  # fmt: skip
    assert await ann.refused("1", "resolve", note="n") == "checklist-open"
    await _post(ann, "/tickets/1/checklist/1", {"state": "done"})
    skip = await ann.post("/1/checklist/2", {"state": "skipped"})
    assert skip.json()["code"] == "invalid", "a required item is skipped with a reason"
    run = await ann.post("/1/checklist/2", {"state": "done", "run": "o-nothing"})
    assert run.json()["code"] == "checklist-run"
    await _post(ann, "/tickets/1/checklist/2", {"state": "skipped", "note": "no network"})
    await _post(ann, "/tickets/1/checklist", {"name": "extra"})
    again = await ann.post("/1/checklist", {"name": "extra"})
    assert again.json()["code"] == "checklist-there"
    # Neither what is optional nor a list that does not hold back is in the way.
    assert (await ann.step("1", "resolve", note="done"))["state"] == "resolved"
    late = await ann.post("/1/checklist/3", {"state": "done"})
    assert late.json()["code"] == "ticket-state"
    assert "checklist-item" in await ann.kinds("1", "events")


async def test_a_run_ticks_the_item_that_names_its_script(
    ann: Desk, boss: Desk, relay: Relay
) -> None:
    device = await FakeDevice(relay, "kiosk").enrol(await TokenKit().register(relay))
    await _post(
        boss, "/checklists/fix", {"items": [{"words": "Flush", "script": "remedy.dns.flush"}]}
    )
    await ann.new("dns", device="kiosk")
    await _post(ann, "/tickets/1/checklist", {"name": "fix"})
    for order, script, state in (
        ("o-good", "remedy.dns.flush", "succeeded"),
        ("o-bad", "remedy.dns.flush", "failed"),
        ("o-other", "check.disk.space", "succeeded"),
    ):
        async with relay.db.write() as c:
            row = {
                "tenant": relay.tenant,
                "id": order,
                "device": device.id,
                "script": script,
                "version": 1,
                "operator": "ann",
                "state": state,
                "created_at": relay.stamp(),
                "updated_at": relay.stamp(),
            }
            await c.execute(insert(orders).values(row))
    for order in ("o-bad", "o-other"):
        answer = await ann.post("/1/checklist/1", {"state": "done", "run": order})
        assert answer.json()["code"] == "checklist-run"
    done = await _post(ann, "/tickets/1/checklist/1", {"state": "done", "run": "o-good"})
    assert (done["state"], done["run"]) == ("done", "o-good")


async def test_canned_replies_speak_the_tickets_language_and_miss_nothing(
    ann: Desk, mia: Desk
) -> None:
    for language, body in (
        ("en", "Dear {requester.name}, {ticket.number}: {param.what}"),
        ("de", "Hallo {requester.name}, zu {ticket.number}: {param.what}"),
    ):
        await _post(ann, "/canned-replies/hello", {"language": language, "body": body})
    for body in ("{ticket.__class__} {password.text}", "Dear {name}"):
        wrong = {"language": "en", "body": body}
        answer = await ann.web.post("/api/v1/canned-replies/x", headers=ann.headers, json=wrong)
        assert answer.json()["code"] == "invalid", body
    await mia.new("drucker", language="de-AT")
    await mia.new("imprimanta", language="ro")
    seen = await _post(ann, "/tickets/1/canned", {"key": ":hello"})
    assert (seen["language"], seen["missing"]) == ("de", ["param.what"])
    assert "{param.what}" in seen["body"]
    use: dict[str, Any] = {"key": "hello"}
    unsent = await ann.post("/1/canned/send", use)
    assert unsent.json()["code"] == "canned-incomplete"
    use["params"] = {"what": "{ticket.title} **bald**"}
    said = await _post(ann, "/tickets/1/canned/send", use, status=201)
    # A value is text: no variable in it is replaced.
    assert said["body"] == "Hallo mia, zu FH-1: {ticket.title} **bald**"
    assert (said["language"], said["public"]) == ("de", True)
    assert (await _post(ann, "/tickets/2/canned", use))["language"] == "en"
    stray = await ann.post("/1/canned", {"key": "hello", "params": {"who": "x"}})
    assert stray.json()["code"] == "invalid"
    assert (await mia.post("/1/canned", use)).status_code == 403
    await _post(ann, "/canned-replies/hello/drop", {"language": "de"})
    assert (await _post(ann, "/tickets/1/canned", use))["language"] == "en"


async def test_instructions_are_answered_step_by_step(ann: Desk, mia: Desk) -> None:
    await mia.new("no sound")
    asked = await _post(
        ann, "/tickets/1/instructions", {"steps": ["Plug it in", "Turn it up"]}, status=201
    )
    assert (asked["kind"], asked["body"]) == ("instruction", "1. Plug it in\n2. Turn it up")
    seen = (await _get(mia, "/tickets/1/instructions"))["items"]
    path = f"/tickets/1/instructions/{seen[0]['message']}"
    await _post(mia, f"{path}/1", {"answer": "done"})
    twice = await mia.post(path.removeprefix("/tickets") + "/1", {"answer": "done"})
    assert twice.json()["code"] == "step-answered"
    vague = await mia.post(path.removeprefix("/tickets") + "/2", {"answer": "cannot"})
    assert vague.json()["code"] == "invalid"
    told = await _post(mia, f"{path}/2", {"answer": "cannot", "reason": "no knob"})
    assert (told["answer"], told["answered_by"]) == ("cannot", "mia")
    thread = (await ann.show("1"))["messages"]
    assert (thread[-1]["author"], thread[-1]["kind"]) == ("mia", "reply")
    assert "no knob" in thread[-1]["body"]
    assert (await ann.post("/1/instructions", {"steps": []})).status_code == 422


async def test_the_device_of_a_ticket_then_and_now(
    ann: Desk, relay: Relay, clock: ManualClock, sign_in: SignIn
) -> None:
    device = await FakeDevice(relay, "kiosk").enrol(await TokenKit().register(relay))
    await device.present()
    system = {"manufacturer": "ACME", "model": "X1", "serial": "R2D2-77"}
    await device.report({"system": [system], "disks": [{"name": "sda", "size_bytes": 1}]})
    await ann.new("slow", device="kiosk")
    nobody = await ann.new("no device")
    shown = await _get(ann, "/tickets/1/device")
    assert shown["product"]["serial"] == "R2D2-77"
    assert (shown["warranty"], shown["since"]) == ("unknown", [])
    assert {one["name"] for one in shown["then"]} == {"system", "disks"}
    await device.report({"disks": [{"name": "sda", "size_bytes": 1}, {"name": "sdb"}]})
    # However the device's own history is pruned.
    async with relay.db.write() as c:
        await c.execute(delete(section_changes))
    bought = {"warranty_ends_on": "2099-01-31", "asset_number": "INV-0815"}
    await _post(ann, f"/devices/{device.id}/product", bought)
    shown = await _get(ann, "/tickets/1/device")
    assert shown["warranty"] == "in warranty until 2099-01-31"
    (since,) = shown["since"]
    assert (since["name"], since["count"]) == ("disks", 1)
    assert since["changes"][0]["after"]["name"] == "sdb"
    then = await _get(ann, "/tickets/1/device/sections/disks")
    assert [one["name"] for one in then["items"]] == ["sda"]
    found = await ann.web.get(
        "/api/v1/ticket-search", headers=ann.headers, params={"q": "inv-0815"}
    )
    assert [one["id"] for one in found.json()["items"]] == ["1"]
    # The proof is with the device, and seen from the ticket.
    url = f"/devices/{device.id}/proofs"
    card = b"%PDF-1.7 warranty card"
    proof = {"name": "C:\\scans\\card.pdf", "content": base64.b64encode(card).decode()}
    made = await ann.web.post(f"/api/v1{url}", headers=ann.headers, json=proof)
    assert (made.status_code, made.json()["place"]) == (201, 1)
    (shown,) = (await _get(ann, "/tickets/1/device"))["proofs"]
    assert (shown["name"], shown["size"], shown["added_by"]) == ("card.pdf", len(card), "ann")
    kept = await ann.web.get(f"/api/v1{url}/1", headers=ann.headers)
    assert kept.content == card
    assert kept.headers["content-disposition"].startswith("attachment;")
    assert (await _get(ann, url))["items"] == [shown]
    assert (await _post(ann, f"{url}/1/remove", {}))["items"] == []
    async with relay.db.read() as c:
        assert await c.scalar(select(blobs.c.size).where(blobs.c.sha256 == shown["sha256"])) is None
    empty = await ann.web.post(
        f"/api/v1{url}", headers=ann.headers, json={"name": "x.pdf", "content": ""}
    )
    assert empty.json()["code"] == "invalid"
    lost = await ann.get(f"/{nobody['id']}/device")
    assert lost.json()["code"] == "ticket-no-device"


async def test_down_time_is_filled_in_from_silence(
    ann: Desk, relay: Relay, clock: ManualClock
) -> None:
    device = await FakeDevice(relay, "kiosk").enrol(await TokenKit().register(relay))

    async def last_seen(at: str) -> None:
        async with relay.db.write() as c:
            await c.execute(update(devices).where(devices.c.id == device.id).values(last_seen=at))

    silent_since = stamp(clock.now() - timedelta(hours=2))
    await last_seen(silent_since)
    made = await ann.new("dead", device="kiosk")
    assert (made["down_from"], made["down_to"]) == (silent_since, None)
    await ann.new("a question", kind="question", device="kiosk")
    assert (await ann.show("2"))["down_from"] is None
    await sweep_tickets(relay)
    assert (await ann.show("1"))["down_to"] is None
    clock.advance(600)
    back = stamp(clock.now())
    await last_seen(back)
    await sweep_tickets(relay)
    assert (await ann.show("1"))["down_to"] == back
    later = await ann.new("heard", device="kiosk")
    assert later["down_from"] is None
    changed = (await ann.change("1", down_from="2026-11-20T08:00:00Z")).json()
    assert changed["down_from"] == "2026-11-20T08:00:00.000000Z"
    wrong = await ann.change("1", down_to="2026-11-19T08:00:00Z")
    assert wrong.json()["code"] == "invalid"


async def test_a_campaign_is_one_ticket_with_a_row_for_each_device(
    ann: Desk, mia: Desk, relay: Relay
) -> None:
    token = await TokenKit().register(relay, uses=2)
    kiosks = [await FakeDevice(relay, name).enrol(token) for name in ("one", "two")]
    at = relay.stamp()
    async with relay.db.write() as c:
        row: dict[str, Any] = {"tenant": relay.tenant, "id": "c-1", "name": "patches"}
        row |= {"script": "patch.apt.apply", "version": 1, "digest": "d", "risk": "R2"}
        row |= {"query": "*", "parameters": "{}", "ttl_s": 60, "plan": "{}", "state": "running"}
        await c.execute(insert(campaigns).values(**row, created_by="ann", created_at=at))
        for place, device in enumerate(kiosks):
            order: dict[str, Any] = {"tenant": relay.tenant, "id": f"o-{place}", "ring": 0}
            order |= {"device": device.id, "campaign": "c-1", "script": "patch.apt.apply"}
            order |= {"version": 1, "operator": "ann", "state": ("succeeded", "failed")[place]}
            await c.execute(insert(orders).values(**order, created_at=at, updated_at=at))
    await ann.new("patch everything", kind="change")
    await ann.new("another")
    (held,) = (await _post(ann, "/tickets/1/campaigns", {"campaign": "c-1"}))["items"]
    assert (held["state"], held["counts"]) == ("running", {"failed": 1, "succeeded": 1})
    taken = await ann.post("/2/campaigns", {"campaign": "c-1"})
    assert taken.json()["code"] == "campaign-ticket"
    assert (await ann.post("/2/campaigns", {"campaign": "c-9"})).json()["code"] == "not-found"
    rows = await _get(ann, "/tickets/1/campaign-devices?limit=1")
    assert rows["next"] is not None
    rows = (await _get(ann, "/tickets/1/campaign-devices"))["items"]
    assert {(one["name"], one["state"]) for one in rows} == {
        ("one", "succeeded"),
        ("two", "failed"),
    }
    assert (await mia.get("/1/campaigns")).status_code == 403
    await sweep_tickets(relay)
    assert (await ann.show("1"))["messages"] == []
    async with relay.db.write() as c:
        await c.execute(update(campaigns).values(state="finished"))
    for _ in range(2):
        await sweep_tickets(relay)
    (told,) = (await ann.show("1"))["messages"]
    assert told["body"] == "Campaign patches (c-1) is finished: 1 failed, 1 succeeded."
