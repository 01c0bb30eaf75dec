"""Calls by hand and from a telephone system, on both stores."""

from __future__ import annotations

import httpx

from tests.server.channels.conftest import Caller
from tests.server.relays import ManualClock

MIA = "+351210000001"


async def test_a_call_is_timed_and_written_once(
    ann: Caller, mia: Caller, clock: ManualClock
) -> None:
    made = (await ann.post("/calls", {"direction": "in", "number": "00351 21 000-0001"})).json()
    assert (made["number"], made["name"], made["state"]) == (MIA, "Mia Moore", "talking")
    clock.advance(600)
    end = {"note": "Printer is out of toner.\nSent one."}
    ended = (await ann.post(f"/calls/{made['id']}/end", end)).json()
    assert ended["state"] == "ended"
    again = await ann.post(f"/calls/{made['id']}/end", end)
    assert (again.status_code, again.json()["code"]) == (409, "call-written")
    ticket = (await ann.get(f"/tickets/{ended['ticket']}")).json()
    assert ticket["requester"] == "mia"
    assert ticket["active_s"] == 600
    (said,) = [one for one in ticket["messages"] if one["kind"] == "call"]
    assert (said["channel"], said["public"]) == ("phone", False)
    # What was said on the phone is the desk's, the ticket is hers.
    hers = (await mia.get(f"/tickets/{ended['ticket']}")).json()
    assert hers["messages"] == []


async def test_a_caller_is_nobody_by_name_alone(ann: Caller, mia: Caller, admin: Caller) -> None:
    made = await admin.post("/people", {"name": "mia", "addresses": []})
    person = made.json()["id"]
    claimed = {"kind": "phone", "value": "112233"}
    answer = await admin.post(f"/people/{person}/addresses", claimed)
    assert answer.status_code < 300, answer.text
    body = {"direction": "in", "number": "112233", "minutes": 1, "note": "x"}
    number = (await ann.post("/calls/log", body)).json()["ticket"]
    ticket = (await ann.get(f"/tickets/{number}")).json()
    assert (ticket["requester"], ticket["person"]) == ("phone 112233", None)
    assert (await mia.get(f"/tickets/{number}")).status_code == 404


async def test_a_call_is_written_afterwards_on_a_ticket(ann: Caller) -> None:
    ticket = (await ann.post("/tickets", {"title": "no sound"})).json()["number"]
    body = {
        "direction": "out", "number": "112233", "minutes": 7.5, "note": "asked", "ticket": ticket,
    }  # fmt: skip
    logged = (await ann.post("/calls/log", body)).json()
    assert (logged["ticket"], logged["state"]) == (ticket, "ended")
    assert (await ann.get(f"/tickets/{ticket}")).json()["active_s"] == 450
    for wrong in ({"minutes": -1}, {"minutes": 1e9}, {"number": "call me"}, {"note": " "}):
        assert (await ann.post("/calls/log", body | wrong)).status_code == 422, wrong
    assert (await ann.post("/calls/log", body | {"ticket": "FH-99"})).status_code == 404


async def test_a_telephone_system_tells_who_calls(
    ann: Caller, admin: Caller, mia: Caller, web: httpx.AsyncClient, clock: ManualClock
) -> None:
    token = (await admin.post("/calls/hook-token", {})).json()["token"]
    assert (await ann.post("/calls/hook-token", {})).status_code == 403
    event = {"call": "pbx-1", "from": MIA, "to": "100", "direction": "in", "state": "ringing"}

    async def tell(shown: str = token, **changed: str) -> int:
        headers = {"X-Farhand-Token": shown}
        answer = await web.post("/api/v1/calls/hook", headers=headers, json=event | changed)
        return answer.status_code

    assert await tell("wrong") == 401
    assert await tell() == 202
    assert await tell() == 202  # told twice
    number = (await ann.post("/tickets", {"title": "old one"})).json()["number"]
    await mia.post("/tickets", {"title": "hers"})
    (seen,) = (await ann.get("/calls/watch", wait=0)).json()["items"]
    assert (seen["call"]["name"], seen["call"]["state"]) == ("Mia Moore", "ringing")
    assert [one["title"] for one in seen["tickets"]] == ["hers"]
    assert number not in [one["number"] for one in seen["tickets"]]
    assert await tell(state="answered", account="ann") == 202
    assert await tell(state="hangup") == 202
    assert await tell(state="answered") == 202  # late
    (call,) = (await ann.get("/calls")).json()["items"]
    assert (call["state"], call["account"]) == ("ended", "ann")
    assert (await ann.get("/calls/watch", wait=0)).json()["items"] == []
    clock.advance(1)
    # A call that nobody took, from somebody who hides the number.
    assert await tell(call="pbx-2", **{"from": ""}) == 202
    assert await tell(call="pbx-2", state="hangup") == 202
    newest = (await ann.get("/calls", limit=1)).json()["items"][0]
    assert (newest["number"], newest["state"], newest["person"]) == ("withheld", "missed", None)
    written = (await ann.post(f"/calls/{newest['id']}/end", {"note": "nobody there"})).json()
    assert written["state"] == "missed"
    assert (await ann.get(f"/tickets/{written['ticket']}")).json()["active_s"] == 0


async def test_a_wrong_token_is_not_guessed_for_long(web: httpx.AsyncClient) -> None:
    event = {"call": "x", "from": "1", "to": "2", "direction": "in", "state": "ringing"}
    codes = [
        (await web.post("/api/v1/calls/hook?token=guess", json=event)).status_code
        for _ in range(25)
    ]
    assert codes[0] == 401
    assert codes[-1] == 429
