"""Without any settings an incident is asked since when; an admin may ask something else."""

from __future__ import annotations

import httpx
import pytest

from tests.server.desk.people import Desk
from tests.server.relays import SignIn


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_an_incident_says_since_when(
    ann: Desk, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    made = await ann.new("no sound", fields={"since": "Monday morning"})
    assert made["fields"] == {"since": "Monday morning"}
    assert (await ann.show("1"))["fields"] == {"since": "Monday morning"}
    other = await ann.post("", {"title": "x", "kind": "request", "fields": {"since": "Monday"}})
    assert other.json()["code"] == "fields-invalid"
    # A form without fields asks nothing; what a ticket was made with stays.
    boss = await sign_in("admin", name="boss")
    none = await web.post("/api/v1/ticket-forms/incident", headers=boss, json={"properties": {}})
    assert none.is_success, none.text
    again = await ann.post("", {"title": "x", "fields": {"since": "Monday"}})
    assert again.json()["code"] == "fields-invalid"
    assert (await ann.show("1"))["fields"] == {"since": "Monday morning"}
