"""Visits: what everybody's calendar is told, and what the ticket does meanwhile."""

from __future__ import annotations

from datetime import timedelta

from icalendar import Calendar
from sqlalchemy import select

from farhand_protocol.instants import format_instant
from farhand_server.relay import Relay
from farhand_server.store.schema.outbox import outbox
from tests.server.channels.conftest import Caller
from tests.server.relays import ManualClock


def _terms(clock: ManualClock, *, in_h: float, **more: str) -> dict[str, str]:
    starts = clock.now() + timedelta(hours=in_h)
    return {
        "starts_at": format_instant(starts),
        "ends_at": format_instant(starts + timedelta(hours=1)),
        "place": "Rua 5, 2nd floor; ring twice",
        "technician": "ann",
        **more,
    }


async def _card(caller: Caller, visit: str) -> Calendar:
    answer = await caller.get(f"/visits/{visit}/ics")
    assert answer.headers["content-type"].startswith("text/calendar")
    return Calendar.from_ical(answer.content)


async def test_a_visit_is_planned_moved_and_done(
    ann: Caller, mia: Caller, clock: ManualClock, relay: Relay
) -> None:
    number = (await mia.post("/tickets", {"title": "dead router"})).json()["number"]
    ticket = {"ticket": number}
    planned = await ann.post("/visits", ticket | _terms(clock, in_h=24))
    assert planned.status_code == 201, planned.text
    visit = planned.json()["id"]
    shown = (await ann.get(f"/tickets/{number}")).json()
    assert (shown["state"], shown["state_reason"]) == ("waiting", "visit")
    first = await _card(ann, visit)
    assert (await ann.post(f"/visits/{visit}/move", _terms(clock, in_h=48))).status_code == 200
    second = await _card(ann, visit)
    uid = [str(one.walk("VEVENT")[0]["UID"]) for one in (first, second)]
    assert uid[0] == uid[1]
    assert [int(str(one.walk("VEVENT")[0]["SEQUENCE"])) for one in (first, second)] == [0, 1]
    event = second.walk("VEVENT")[0]
    assert str(event["LOCATION"]) == "Rua 5, 2nd floor; ring twice"
    assert str(second["METHOD"]) == "REQUEST"
    async with relay.db.read() as c:
        kinds = list(await c.scalars(select(outbox.c.kind)))
    assert "mail" in kinds  # the requester is invited
    hers = (await mia.get(f"/tickets/{number}")).json()
    assert [one["kind"] for one in hers["messages"]] == ["system", "system"]
    done = await ann.post(f"/visits/{visit}/finish", {"outcome": "replaced it", "minutes": 25})
    assert done.json()["state"] == "done"
    after = (await ann.get(f"/tickets/{number}")).json()
    assert (after["state"], after["active_s"]) == ("open", 1500)
    (entry,) = after["time_entries"]
    assert entry["ended_at"] <= relay.stamp()  # it was done before its day
    again = await ann.post(f"/visits/{visit}/finish", {"outcome": "again"})
    assert (again.status_code, again.json()["code"]) == (409, "visit-state")


async def test_nobody_was_there_and_called_off(
    ann: Caller, mia: Caller, clock: ManualClock
) -> None:
    number = (await mia.post("/tickets", {"title": "dead router"})).json()["number"]
    body = {"ticket": number} | _terms(clock, in_h=2)
    visit = (await ann.post("/visits", body)).json()["id"]
    end = {"outcome": "rang twice", "was_there": False, "minutes": 0}
    assert (await ann.post(f"/visits/{visit}/finish", end)).json()["state"] == "missed"
    moved = await ann.post(f"/visits/{visit}/move", _terms(clock, in_h=26))
    assert (moved.json()["state"], moved.json()["sequence"]) == ("planned", 1)
    off = await ann.post(f"/visits/{visit}/cancel", {"reason": "she mended it herself"})
    assert off.json()["state"] == "cancelled"
    card = await _card(ann, visit)
    assert str(card["METHOD"]) == "CANCEL"
    assert str(card.walk("VEVENT")[0]["STATUS"]) == "CANCELLED"
    assert (await ann.get(f"/tickets/{number}")).json()["state"] == "open"
    for in_h, ends in ((2, None), (-3, None)):
        wrong = body | _terms(clock, in_h=in_h)
        wrong["ends_at"] = ends or wrong["starts_at"]
        assert (await ann.post("/visits", wrong)).status_code == 422
    listed = (await ann.get("/visits", technician="ann")).json()["items"]
    assert [one["id"] for one in listed] == [visit]
    assert (await ann.get("/visits", state="done")).json()["items"] == []


async def test_of_a_security_ticket_others_see_neither_visit_nor_call(
    ann: Caller, admin: Caller, clock: ManualClock
) -> None:
    guarded = {"title": "stolen laptop", "security": True}
    number = (await admin.post("/tickets", guarded)).json()["number"]
    planned = await admin.post("/visits", {"ticket": number} | _terms(clock, in_h=2))
    assert planned.status_code == 201, planned.text
    call = {"direction": "in", "number": "112233", "minutes": 1, "note": "x", "ticket": number}
    logged = (await admin.post("/calls/log", call)).json()
    assert (await ann.get("/visits")).json()["items"] == []
    assert (await ann.get("/calls")).json()["items"] == []
    assert (await ann.get(f"/calls/{logged['id']}")).status_code == 404
    assert len((await admin.get("/visits")).json()["items"]) == 1
    assert len((await admin.get("/calls")).json()["items"]) == 1
