"""A kind of ticket has a promise of its own, which goes before its contract's and its queue's."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from farhand_server.contracts.contracts import set_contract
from farhand_server.contracts.terms import Terms
from farhand_server.heeders import heed_now
from farhand_server.relay import Relay
from tests.server.desk.people import Desk
from tests.server.relays import SignIn


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_complaint_is_promised_what_complaints_are(
    ann: Desk, web: httpx.AsyncClient, sign_in: SignIn, relay: Relay
) -> None:
    boss = await sign_in("admin", name="boss")

    async def post(path: str, body: dict[str, Any], who: dict[str, str] | None = None) -> Any:
        return await web.post(f"/api/v1/{path}", headers=who or boss, json=body)

    hours = {"queue": 8, "gold": 4, "heard": 1}
    for name, count in hours.items():
        target = {"first_response_s": count * 3600}
        policy = {"calendar": "always", "policy": {"targets": {"normal": target}}}
        assert (await post(f"service-policies/{name}", policy)).is_success
    for queue in ("desk", "second"):
        assert (await post(f"queues/{queue}", {"policy": "queue"})).is_success
    async with relay.db.write() as c:
        terms = Terms(kind="tm", policy="gold")
        await set_contract(c, relay, name="gold", terms=terms, actor="boss")

    async def promised(ticket: str) -> list[int]:
        await heed_now(relay)
        return [one["target_s"] // 3600 for one in (await ann.show(ticket))["service"]]

    # Without a promise of its own a complaint has its queue's.
    await ann.new("rude", kind="complaint")
    assert await promised("1") == [8]
    wrong = await post("kind-promises/complaint", {"policy": "nothing"})
    assert wrong.json()["code"] == "not-found"
    assert (await post("kind-promises/grumble", {"policy": "heard"})).json()["code"] == "invalid"
    assert (await post("kind-promises/complaint", {"policy": "heard"}, ann.headers)).is_error
    set_to = await post("kind-promises/complaint", {"policy": "heard"})
    assert set_to.json()["items"] == [{"kind": "complaint", "policy": "heard"}]
    shown = await web.get("/api/v1/kind-promises", headers=ann.headers)
    assert shown.json() == set_to.json()
    # What was promised stays; what comes is promised that, whatever queue and contract say.
    assert await promised("1") == [8]
    await ann.new("ruder", kind="complaint")
    assert await promised("2") == [1]
    await post("tickets/2/contract", {"contract": "gold"}, ann.headers)
    assert await promised("2") == [1]
    await ann.change("2", queue="second")
    assert await promised("2") == [1]
    # It was none after all: then it is the contract's, in whatever queue, and back again.
    await ann.change("2", kind="incident")
    assert await promised("2") == [4]
    await ann.change("2", queue="desk")
    assert await promised("2") == [4]
    await ann.change("2", kind="complaint")
    assert await promised("2") == [1]
    assert (await post("kind-promises/complaint", {"policy": None})).json()["items"] == []
    await ann.new("rudest", kind="complaint")
    assert await promised("3") == [8]
