"""Inbound hooks: who may bring what, once, and how little of it is believed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from farhand_server.desk.moves import close, mark_spam, resolve
from farhand_server.desk.tickets import create_ticket
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets
from farhand_server.webhooks.hooks import MAX_DELIVERIES_A_MINUTE, MAX_DELIVERY_BYTES
from farhand_server.webhooks.signing import hex_hmac, sign
from tests.server.relays import ManualClock, SignIn

pytestmark = pytest.mark.either_store

API = "/api/v1/hooks"
SECRET = "a secret of twenty letters"
TOKEN = {"X-Farhand-Token": SECRET}


class Hooks:
    """Brings deliveries, and looks at what became of them."""

    def __init__(self, web: httpx.AsyncClient, admin: dict[str, str]) -> None:
        self.web, self.admin = web, admin

    async def add(self, **fields: Any) -> None:
        body = {"name": "square", "secret": SECRET, **fields}
        answer = await self.web.post(API, headers=self.admin, json=body)
        assert answer.status_code == 201, answer.text

    async def bring(self, body: Any, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.web.post(f"{API}/square", headers={**TOKEN, **named}, content=content)

    async def taken(self, body: Any, **headers: str) -> list[str]:
        answer = await self.bring(body, **headers)
        assert answer.status_code == 202, answer.text
        found: list[str] = answer.json()["tickets"]
        return found

    async def thread(self, number: str) -> list[dict[str, Any]]:
        answer = await self.web.get(f"/api/v1/tickets/{number}/messages", headers=self.admin)
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def ticket(self, number: str) -> dict[str, Any]:
        found: dict[str, Any] = (
            await self.web.get(f"/api/v1/tickets/{number}", headers=self.admin)
        ).json()
        return found


@pytest.fixture
async def hooks(web: httpx.AsyncClient, sign_in: SignIn) -> Hooks:
    return Hooks(web, await sign_in("admin"))


def _said(text: str, **fields: Any) -> dict[str, Any]:
    return {"text": text, "thread": "t-1", "from": {"id": "77", "name": "Mia"}, **fields}


async def test_a_thread_elsewhere_is_one_ticket(hooks: Hooks, relay: Relay) -> None:
    await hooks.add()
    (number,) = await hooks.taken(_said("It is slow.\nVery."), X_Farhand_Delivery="1")
    assert await hooks.taken(_said("It is slow.\nVery."), X_Farhand_Delivery="1") == []
    assert await hooks.taken(_said("Still."), X_Farhand_Delivery="2") == [number]
    (other,) = await hooks.taken(_said("Another", thread="t-2", id="3"))
    assert await hooks.taken(_said("Another", thread="t-2", id="3")) == []
    assert other != number
    ticket, thread = await hooks.ticket(number), await hooks.thread(number)
    assert (ticket["title"], ticket["requester"]) == ("It is slow.", "square:77")
    assert [(one["kind"], one["channel"], one["body"]) for one in thread] == [
        ("reply", "social:square", "It is slow.\nVery."),
        ("reply", "social:square", "Still."),
    ]
    assert len({one["person"] for one in thread}) == 1
    async with relay.db.write() as c:
        await resolve(c, relay, ref=number, note="done", actor="ann")
    assert await hooks.taken(_said("No.", id="4")) == [number]
    assert (await hooks.ticket(number))["state"] == "open", "an answer reopens, as any other"
    async with relay.db.write() as c:
        await resolve(c, relay, ref=number, note="done", actor="ann")
        await close(c, relay, ref=number, actor="ann")
    (following,) = await hooks.taken(_said("Again.", id="5"))
    assert following not in (number, other)
    assert await hooks.taken(_said("And again.", id="6")) == [following]
    async with relay.db.write() as c:
        await mark_spam(c, relay, ref=other, reason="no", actor="ann")
    assert await hooks.taken(_said("Buy!", thread="t-2", id="7")) == [other]
    assert (await hooks.ticket(other))["state"] == "spam"


async def test_nobody_without_the_secret(
    hooks: Hooks, web: httpx.AsyncClient, clock: ManualClock
) -> None:
    await hooks.add()
    body = json.dumps(_said("hello")).encode()
    now = int(clock.now().timestamp())
    right = sign(SECRET.encode(), body, at=now)
    hub = "sha256=" + hex_hmac(SECRET.encode(), body)
    cases: tuple[tuple[Any, int], ...] = (
        ({}, 403),
        ({"X-Farhand-Token": ""}, 403),
        ({"X-Farhand-Token": SECRET + "x"}, 403),
        ({"X-Farhand-Token": "\u00e9".encode()}, 403),
        ({"Authorization": f"Bearer {SECRET}"}, 403),
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, 403),
        ({"X-Farhand-Signature-256": sign(b"other", body, at=now)}, 403),
        ({"X-Farhand-Signature-256": sign(SECRET.encode(), body, at=now - 301)}, 403),
        # What is signed wrongly is not saved by a token beside it.
        ({"X-Farhand-Signature-256": "t=1,sha256=" + "0" * 64, **TOKEN}, 403),
        ({"X-Hub-Signature-256": hub[:-1] + "z", **TOKEN}, 403),
        ({"X-Hub-Signature-256": hub, "X-GitHub-Delivery": "a"}, 202),
        ({"X-Farhand-Signature-256": right, "X-Farhand-Delivery": "b"}, 202),
        (TOKEN, 202),
    )
    for headers, status in cases:
        answer = await web.post(f"{API}/square", headers=headers, content=body)
        assert answer.status_code == status, (headers, answer.text)
        if status == 403:
            assert answer.json()["code"] == "hook-refused"
    assert (await web.post(f"{API}/none", headers=TOKEN, content=body)).status_code == 404


async def test_hostile_bodies(hooks: Hooks, relay: Relay) -> None:
    await hooks.add()
    for body in (
        b"", b"[]", b"{", b"[" * 5000, b"\xff\xfe", b'{"text": 1}', {"text": ""},
        {"text": "\x00 \x1b"}, {"title": "no words"}, b'{"text": "\\ud800"}',
    ):  # fmt: skip
        answer = await hooks.bring(body)
        assert (answer.status_code, answer.json()["code"]) == (422, "delivery-malformed"), body
    answer = await hooks.bring(b" " * (MAX_DELIVERY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    hostile = {
        "text": "a\x1b[31m\x00b" + "x" * 100_000,
        "title": "t\n\x07" + "y" * 500,
        "thread": "z" * 5000,
        "from": {"id": "\x00i" * 500, "name": "\u202e\x1b" * 500},
    }
    (number,) = await hooks.taken(hostile)
    assert await hooks.taken({**hostile, "text": "again"}) == [number]
    shown = json.dumps([await hooks.ticket(number), await hooks.thread(number)])
    assert "\\u001b" not in shown
    assert "\\u0000" not in shown
    # It can name neither a ticket nor a device of ours.
    named = _said("me too", thread="", ticket=number, device="d-1", external_key="FH-1")
    (other,) = await hooks.taken(named)
    assert other != number
    assert (await hooks.ticket(other))["device"] is None


async def test_an_alert_by_its_fingerprint(hooks: Hooks, relay: Relay) -> None:
    """Alertmanager's form (prometheus.io/docs/alerting/latest/configuration, webhook_config)."""
    await hooks.add(purpose="alerts")

    def alerts(*states: tuple[str, str]) -> dict[str, Any]:
        return {
            "version": "4",
            "groupKey": "{}:{}",
            "status": "firing",
            "receiver": "farhand",
            "alerts": [
                {
                    "status": status,
                    "labels": {"alertname": "DiskFull", "instance": mark},
                    "annotations": {"summary": f"{mark} has no room"},
                    "startsAt": "2026-11-22T11:00:00Z",
                    "fingerprint": mark,
                }
                for mark, status in states
            ],
        }

    both = await hooks.taken(alerts(("a", "firing"), ("b", "firing")))
    assert len(both) == 2
    (first,) = await hooks.taken(alerts(("a", "firing")))
    assert first in both
    assert await hooks.taken(alerts(("a", "resolved"))) == [first]
    thread = await hooks.thread(first)
    assert {one["kind"] for one in thread} == {"note"}
    assert [one["body"].split(":")[0] for one in thread] == ["alert", "alert", "recovered"]
    assert (await hooks.ticket(first))["state"] == "new", "a person resolves"
    async with relay.db.write() as c:
        await resolve(c, relay, ref=first, note="grown", actor="ann")
    assert await hooks.taken(alerts(("a", "resolved"))) == [], "the end of nothing"
    (later,) = await hooks.taken(alerts(("a", "firing")))
    assert later not in both
    for wrong in ({"alerts": [{"fingerprint": " "}]}, {"alerts": [{"fingerprint": "a"}] * 101}):
        assert (await hooks.bring(wrong)).json()["code"] == "delivery-malformed"
    async with relay.db.read() as c:
        assert len(list(await c.scalars(select(tickets.c.number)))) == 3


async def test_a_key_of_somebody_else_makes_no_ticket_the_hooks(
    hooks: Hooks, relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    """The key is no secret; who asks for help sets none, and one that stands is not believed."""
    await hooks.add()
    await hooks.add(name="prometheus", purpose="alerts")
    eve = await sign_in("requester", name="eve")
    hers = []
    for name, mark in (("square", "t-1"), ("prometheus", "disk-full")):
        key = f"hook.{name}:" + hashlib.sha256(mark.encode()).hexdigest()[:32]
        new = {"title": "x", "external_key": key}
        made: Any = (await web.post("/api/v1/tickets", headers=eve, json=new)).json()
        assert made["external_key"] is None
        async with relay.db.write() as c:
            older = await create_ticket(
                c, relay, title="x", actor="eve", requester="eve", external_key=key
            )
        hers += [made["number"], older.number]
    (said,) = await hooks.taken(_said("The hint is the cat's name"))
    assert await hooks.taken(_said("More.")) == [said]
    firing = {"alerts": [{"fingerprint": "disk-full", "title": "disk full"}]}
    answer = await web.post(f"{API}/prometheus", headers=TOKEN, json=firing)
    assert answer.json()["tickets"] != []
    assert not {said, *answer.json()["tickets"]} & set(hers)
    again = await web.post(f"{API}/prometheus", headers=TOKEN, json=firing)
    assert again.json()["tickets"] == answer.json()["tickets"]
    for number in hers:
        assert await hooks.thread(number) == []


async def test_a_wild_program_is_slowed(hooks: Hooks) -> None:
    await hooks.add()
    for _ in range(MAX_DELIVERIES_A_MINUTE):
        await hooks.web.post(f"{API}/square", content=b"")
    answer = await hooks.bring(_said("hello"))
    assert (answer.status_code, answer.json()["code"]) == (429, "rate-limited")


async def test_the_list_and_the_end_of_a_hook(hooks: Hooks, web: httpx.AsyncClient) -> None:
    await hooks.add(secret="")
    answer = await web.get(API, headers=hooks.admin)
    assert [(one["name"], one["secret"]) for one in answer.json()["items"]] == [("square", None)]
    for wrong, code in (
        ({"name": "square"}, "hook-exists"),
        ({"name": "x.y"}, "invalid"),
        ({"name": "x", "queue": "nowhere"}, "not-found"),
    ):
        assert (await web.post(API, headers=hooks.admin, json=wrong)).json()["code"] == code
    answer = await web.post(f"{API}/square/remove", headers=hooks.admin, json={})
    assert answer.json()["items"] == []


async def test_the_end_of_an_alert_resolves_where_its_hook_says_so(
    hooks: Hooks, relay: Relay, clock: ManualClock
) -> None:
    wrong = {"name": "other", "secret": SECRET, "resolves": True}
    answer = await hooks.web.post(API, headers=hooks.admin, json=wrong)
    assert answer.json()["code"] == "invalid"
    await hooks.add(purpose="alerts", resolves=True)

    def alert(status: str) -> dict[str, Any]:
        return {"alerts": [{"fingerprint": "db1", "title": "no room", "status": status}]}

    (number,) = await hooks.taken(alert("firing"))
    assert await hooks.taken(alert("resolved")) == [number]
    assert (await hooks.ticket(number))["state"] == "resolved"
    # A monitor that flaps has one ticket, which somebody else's ending ends.
    for _ in range(3):
        assert await hooks.taken(alert("firing")) == [number]
        assert (await hooks.ticket(number))["state"] == "open"
        assert await hooks.taken(alert("resolved")) == [number]
        assert (await hooks.ticket(number))["state"] == "resolved"
    clock.advance(6 * 3600 + 1)
    (later,) = await hooks.taken(alert("firing"))
    assert later != number
    async with relay.db.write() as c:
        await resolve(c, relay, ref=later, note="a larger disk", actor="ann")
    (third,) = await hooks.taken(alert("firing"))
    assert third not in (number, later)
    async with relay.db.read() as c:
        assert len(list(await c.scalars(select(tickets.c.number)))) == 3
