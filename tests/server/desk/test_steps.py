"""Steps of tickets beyond the plain way: waiting, tiers, ending, merging, people, sight."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from farhand_protocol.instants import format_instant
from farhand_server.desk.closing import sweep_tickets
from farhand_server.relay import Relay
from tests.server.desk.conftest import DaysPass
from tests.server.desk.people import Desk
from tests.server.relays import ManualClock, SignIn


async def test_a_ticket_waits_until_its_time_or_until_the_customer_answers(
    ann: Desk, mia: Desk, relay: Relay, clock: ManualClock
) -> None:
    await mia.new()
    until = format_instant(clock.now() + timedelta(hours=3))
    waiting = await ann.step("1", "wait", reason="vendor", until=until, note="RMA 7")
    assert (waiting["state"], waiting["state_reason"]) == ("waiting", "vendor")
    assert waiting["waiting_until"].startswith(until[:19])
    clock.advance(3600)
    await sweep_tickets(relay)
    assert (await ann.show("1"))["state"] == "waiting"
    clock.advance(2 * 3600)
    await sweep_tickets(relay)
    after = await ann.show("1")
    assert (after["state"], after["state_reason"], after["waiting_until"]) == ("open", "", None)
    await ann.step("1", "wait", reason="customer")
    assert (await mia.post("/1/messages", {"body": "here it is"})).status_code == 201
    assert (await ann.show("1"))["state"] == "open"
    await ann.step("1", "wait", reason="visit")
    assert (await ann.step("1", "resume", note="been there"))["state"] == "open"
    for body in (
        {"reason": "rain"},
        {"reason": "reminder"},
        {"reason": "change", "until": "yesterday"},
        {"reason": "change", "until": format_instant(clock.now() - timedelta(hours=1))},
    ):
        assert (await ann.post("/1/wait", body)).status_code in (400, 422)
    assert await ann.refused("1", "resume") == "ticket-state"


async def test_tiers_are_climbed_with_a_handover(ann: Desk) -> None:
    await ann.new()
    await ann.step("1", "assign", owner="ann")
    up = await ann.step("1", "escalate", reason="needs the vendor's tool", handover="disk is fine")
    assert (up["tier"], up["owner"], up["state"]) == (2, None, "open")
    up = await ann.step("1", "escalate", reason="r", handover="h", owner="ann")
    assert (up["tier"], up["owner"]) == (3, "ann")
    assert await ann.refused("1", "escalate", reason="r", handover="h") == "tier-highest"
    assert (await ann.post("/1/escalate", {"reason": "r"})).status_code >= 400
    notes = [one["body"] for one in (await ann.show("1"))["messages"]]
    assert notes[0] == "To tier 2: needs the vendor's tool\n\ndisk is fine"


async def test_silence_closes_and_a_late_answer_begins_a_linked_ticket(
    ann: Desk, mia: Desk, relay: Relay, days_pass: DaysPass
) -> None:
    await mia.new("printer", body="jammed")
    await ann.step("1", "resolve", note="unjammed")
    # In time: it is the same ticket, and counted.
    assert (await mia.post("/1/messages", {"body": "jams again"})).json()["ticket"] == "FH-1"
    again = await ann.show("1")
    assert (again["state"], again["reopen_count"], again["resolved_at"]) == ("open", 1, None)
    await ann.step("1", "resolve", note="new roller")
    await days_pass(6)
    await sweep_tickets(relay)
    assert (await ann.show("1"))["state"] == "resolved"
    await days_pass(2)
    await sweep_tickets(relay)
    closed = await ann.show("1")
    assert (closed["state"], closed["closed_at"] is not None) == ("closed", True)
    assert await mia.refused("1", "reopen", reason="hm") == "reopen-too-late"
    late = (await mia.post("/1/messages", {"body": "and again"})).json()
    assert late["ticket"] == "FH-2"
    follower = await ann.show("FH-2")
    assert (follower["state"], follower["requester"], follower["title"]) == (
        "new",
        "mia",
        "printer",
    )
    assert [(one["kind"], one["ticket"]) for one in follower["links"]] == [("relates", "FH-1")]
    # What comes after that goes there, too, and whoever it is about stays out of it.
    assert (await mia.post("/1/messages", {"body": "hello?"})).json()["ticket"] == "FH-2"
    assert [one["body"] for one in (await ann.show("2"))["messages"]] == ["and again", "hello?"]
    # The desk may still take the old one up.
    assert (await ann.step("1", "reopen", reason="it was us"))["state"] == "open"


async def test_a_queue_says_how_long_a_ticket_comes_back(
    ann: Desk, mia: Desk, web: httpx.AsyncClient, sign_in: SignIn, days_pass: DaysPass
) -> None:
    boss = await sign_in("admin", name="boss")
    terms = {"title": "Short", "reopen_days": 1, "close_days": 30}
    made = await web.post("/api/v1/queues/short", headers=boss, json=terms)
    assert made.json() == {"name": "short", **terms, "policy": None}
    assert (await web.post("/api/v1/queues/x", headers=ann.headers, json={})).status_code == 403
    for name, body in (
        ("Up", {}),
        ("a b", {}),
        ("ok", {"reopen_days": 400}),
        ("ok", {"reopen_days": 9}),
    ):
        refused = await web.post(f"/api/v1/queues/{name}", headers=boss, json=body)
        assert refused.status_code == 422
    listed = (await web.get("/api/v1/queues", headers=ann.headers)).json()["items"]
    assert [one["name"] for one in listed] == ["desk", "short"]
    assert (await ann.post("", {"title": "t", "queue": "nowhere"})).status_code == 404
    await mia.new(queue="short")
    await ann.step("1", "resolve", note="done")
    await days_pass(1.5)
    assert (await mia.post("/1/messages", {"body": "no"})).json()["ticket"] == "FH-2"
    assert (await ann.show("2"))["queue"] == "short"
    assert [one["id"] for one in (await ann.get(queue="short")).json()["items"]] == ["2", "1"]


async def test_merging_shows_one_thread_and_can_be_taken_back(
    ann: Desk, mia: Desk, web: httpx.AsyncClient, sign_in: SignIn, days_pass: DaysPass
) -> None:
    zoe = Desk(web, await sign_in("requester", name="zoe"))
    await ann.new("mail is down", requester="mia", body="no mail")
    await zoe.new("cannot send", body="neither can I")
    await ann.step("2", "wait", reason="vendor")
    target = await ann.step("2", "merge", into="FH-1")
    assert target["number"] == "FH-1"
    shown = await ann.show("1")
    assert [(one["ticket"], one["body"]) for one in shown["messages"]] == [
        ("FH-1", "no mail"),
        ("FH-2", "neither can I"),
    ]
    assert shown["merged"] == ["FH-2"]
    source = await ann.show("2")
    assert (source["state"], source["merged_into"]) == ("merged", "FH-1")
    assert [one["id"] for one in (await ann.get()).json()["items"]] == ["1"]
    # Its requester goes on talking, on either number.
    assert (await zoe.post("/2/messages", {"body": "still"})).json()["ticket"] == "FH-1"
    assert (await zoe.get("/1")).status_code == 200
    assert (await ann.change("2", title="x")).json()["code"] == "ticket-state"
    assert await ann.refused("2", "merge", into="1") == "ticket-state"
    assert await ann.refused("1", "merge", into="1") == "merge-self"
    assert await ann.refused("1", "unmerge") == "merge-none"
    assert await ann.refused("1", "merge", into="2") == "merge-ended"
    back = await ann.step("2", "unmerge")
    assert (back["state"], back["state_reason"]) == ("waiting", "vendor")
    assert [one["body"] for one in (await ann.show("1"))["messages"]] == ["no mail", "still"]
    await ann.step("2", "merge", into="1")
    await days_pass(7.01)
    assert await ann.refused("2", "unmerge") == "merge-too-late"


async def test_links_are_seen_from_both_sides(ann: Desk) -> None:
    for title in ("server", "disk", "cable"):
        await ann.new(title)
    for other, kind in (("2", "parent"), ("3", "blocked-by")):
        await ann.step("1", "links", other=other, kind=kind)
    await ann.step("1", "links", other="2", kind="parent")
    links = (await ann.get("/1/links")).json()["items"]
    assert [(one["kind"], one["ticket"]) for one in links] == [
        ("parent", "FH-2"),
        ("blocked-by", "FH-3"),
    ]
    assert (await ann.get("/2/links")).json()["items"][0]["kind"] == "child"
    assert (await ann.get("/3/links")).json()["items"][0]["kind"] == "blocks"
    assert await ann.refused("2", "links", other="1", kind="parent") == "link-exists"
    assert await ann.refused("1", "links", other="1") == "link-self"
    await ann.step("2", "unlink", other="1")
    assert await ann.refused("2", "unlink", other="1") == "not-found"
    assert len((await ann.get("/1/links")).json()["items"]) == 1


async def test_weight_makes_priority_unless_a_person_says_otherwise(ann: Desk) -> None:
    made = await ann.new(impact="high", urgency="high", kind="problem")
    assert (made["priority"], made["kind"]) == ("urgent", "problem")
    assert (await ann.change("1", urgency="low")).json()["priority"] == "normal"
    refused = await ann.change("1", priority="urgent")
    assert refused.json()["code"] == "priority-unreasoned"
    raised = (await ann.change("1", priority="urgent", priority_reason="the board meets")).json()
    assert (raised["priority"], raised["priority_reason"]) == ("urgent", "the board meets")
    assert (await ann.change("1", impact="low")).json()["priority"] == "urgent"
    assert (await ann.change("1", priority="auto")).json()["priority"] == "low"
    before = (await ann.show("1"))["revision"]
    assert (await ann.change("1", impact="low")).json()["revision"] == before
    found = (await ann.get(priority="low", kind="problem")).json()["items"]
    assert [one["id"] for one in found] == ["1"]
    told = (await ann.change("1", steps_tried="off and on", reproducible="sometimes")).json()
    assert (told["steps_tried"], told["reproducible"]) == ("off and on", "sometimes")


async def test_who_is_complained_about_does_not_own_it(ann: Desk, mia: Desk) -> None:
    await mia.new("rude", kind="complaint", complained_about="ann")
    assert await ann.refused("1", "assign", owner="ann") == "owner-complained-about"
    assert (
        await ann.refused("1", "escalate", reason="r", handover="h", owner="ann")
        == "owner-complained-about"
    )
    await mia.new("slow")
    await ann.step("2", "assign", owner="ann")
    refused = await ann.change("2", complained_about="ann")
    assert refused.json()["code"] == "owner-complained-about"


async def test_access_is_not_given_before_somebody_is_recognised(ann: Desk, mia: Desk) -> None:
    await mia.new("my password", kind="access")
    assert await ann.refused("1", "resolve", note="set") == "identity-unchecked"
    await ann.change("1", identity_check="called back on the number we have")
    assert (await ann.step("1", "resolve", note="set"))["state"] == "resolved"


async def test_a_security_ticket_is_seen_by_few(
    ann: Desk, mia: Desk, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    boss = Desk(web, await sign_in("admin", name="boss"))
    await mia.new("phished", security=True, body="I typed it in")
    await ann.new("another")
    for path in ("/1", "/1/messages", "/1/events", "/1/time-entries", "/1/links", "/1/export"):
        assert (await ann.get(path)).status_code == 404
    for step, body in (("assign", {"owner": "ann"}), ("resolve", {"note": "x"})):
        assert await ann.refused("1", step, **body) == "not-found"
    assert await ann.refused("2", "links", other="1") == "not-found"
    assert [one["id"] for one in (await ann.get()).json()["items"]] == ["2"]
    assert [one["id"] for one in (await boss.get()).json()["items"]] == ["2", "1"]
    assert (await mia.get("/1")).status_code == 200
    assert await boss.refused("1", "merge", into="2") == "merge-guarded"
    await boss.step("2", "links", other="1")
    assert [one["title"] for one in (await ann.get("/2/links")).json()["items"]] == [""]
    await boss.step("1", "participants", name="ann", part="follower", can_post=True)
    assert (await ann.get("/1")).status_code == 200
    await boss.step("1", "dismiss", name="ann")
    assert (await ann.get("/1")).status_code == 404
    await boss.change("2", security=True)
    await boss.step("1", "merge", into="2")
    refused = await boss.change("2", security=False)
    assert refused.json()["code"] == "merge-guarded"
    await boss.step("1", "unmerge")
    await boss.step("1", "assign", owner="ann")
    assert (await ann.get("/1")).status_code == 200


async def test_a_participant_reads_and_writes_where_she_may(
    ann: Desk, mia: Desk, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    zoe = Desk(web, await sign_in("requester", name="zoe"))
    await mia.new(body="help")
    await ann.post("/1/messages", {"kind": "note", "body": "secret"})
    assert (await zoe.get("/1")).status_code == 404
    await ann.step("1", "participants", name="zoe", part="vendor", can_post=False)
    assert [one["body"] for one in (await zoe.show("1"))["messages"]] == ["help"]
    assert (await zoe.post("/1/messages", {"body": "hi"})).json()["code"] == "not-permitted"
    await ann.step("1", "resolve", note="done")
    assert await zoe.refused("1", "reopen", reason="hi") == "not-permitted"
    await ann.step("1", "reopen", reason="not yet")
    await ann.step("1", "participants", name="zoe", part="cc", can_post=True)
    assert (await zoe.post("/1/messages", {"body": "hi"})).status_code == 201
    assert [one["id"] for one in (await zoe.get()).json()["items"]] == ["1"]
    assert await ann.refused("1", "participants", name="nobody", part="cc", can_post=True) == (
        "not-found"
    )
    shown = (await ann.show("1"))["participants"]
    assert shown == [{"name": "zoe", "part": "cc", "can_post": True}]


async def test_spam_is_out_of_sight_and_comes_back(ann: Desk) -> None:
    await ann.new()
    await ann.step("1", "spam", reason="a prince")
    assert (await ann.get()).json()["items"] == []
    assert len((await ann.get(state="spam")).json()["items"]) == 1
    assert (await ann.step("1", "reopen", reason="he was one"))["state"] == "open"
    assert await ann.refused("1", "close") == "ticket-state"
    await ann.step("1", "resolve", note="helped")
    assert (await ann.step("1", "close"))["state"] == "closed"


@pytest.mark.parametrize("form", ["mbox", "html"])
async def test_a_thread_leaves_as_a_file(ann: Desk, mia: Desk, form: str) -> None:
    await mia.new("<b>Größe</b>", body="From me\n<script>alert(1)</script>")
    await ann.post("/1/messages", {"kind": "note", "body": "inside"})
    for who, has_note in ((ann, True), (mia, False)):
        answer = await who.get("/1/export", format=form)
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="FH-1.{form}"'
        assert b"<script>" not in answer.content
        if form == "html":
            assert (b"inside" in answer.content) is has_note
        else:
            assert answer.content.count(b"\nX-Farhand-Kind: ") == (2 if has_note else 1)
