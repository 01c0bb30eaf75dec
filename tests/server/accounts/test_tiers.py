"""Tiers: what a technician of tier 1 may not do is refused at one place, and binds at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from farhand_protocol.errors import FarhandError, RefusedError
from farhand_server.accounts.authorisation import ACTIONS, Actor, authorise
from farhand_server.accounts.tiers import PARTS
from farhand_server.api import orders
from farhand_server.app import Relay
from farhand_server.fleet.orders import SignedOrder
from farhand_server.sessions.service import make_sessions
from tests.server.relays import SignIn

_ANN = Actor(
    tenant="t",
    account="a",
    name="ann",
    role="technician",
    barred=frozenset({"session.open:files", "ticket.resolve"}),
)


@pytest.mark.parametrize(
    ("action", "parts", "may"),
    [
        ("session.open", [], True),
        ("session.open", ["view", "terminal"], True),
        ("session.open", ["view", "files"], False),
        ("ticket.resolve", [], False),
        ("ticket.assign", ["files"], True),
    ],
)
def test_what_is_barred_is_refused(action: str, parts: list[str], may: bool) -> None:
    if may:
        assert authorise(_ANN, action, parts=parts) == "all"
        return
    with pytest.raises(RefusedError, match="higher tier"):
        authorise(_ANN, action, parts=parts)


def test_parts_are_of_actions_that_technicians_have() -> None:
    for action in PARTS:
        assert "technician" in ACTIONS[action]


async def test_a_setting_binds_technicians_of_a_lower_tier_at_once(
    relay: Relay,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")

    async def checked(*_: object, **__: object) -> list[Any]:
        order: Any = SimpleNamespace(risk="R2")
        return [SignedOrder(order=order, sealed=None, blob=b"", not_before=None, expires=None)]  # type: ignore[arg-type]

    def grant(*_: object) -> Any:
        return SimpleNamespace(scopes=["view", "files"])

    def stop(*_: object, **__: object) -> Any:
        raise FarhandError("conflict", "this far and no further")

    monkeypatch.setattr(orders, "check_orders", checked)
    monkeypatch.setattr(orders, "create_orders", stop)
    sessions = relay.service(make_sessions)
    monkeypatch.setattr(sessions, "_checked_grant", grant)
    monkeypatch.setattr(sessions, "_require_device", stop)
    made = await web.post("/api/v1/tickets", headers=admin, json={"title": "no sound"})
    number = made.json()["number"]

    async def codes() -> list[str]:
        order = await web.post("/api/v1/orders", headers=ann, json={"items": [{"envelope": ""}]})
        body = {"session": "s-aaaaaaaaaaaaaaaa", "device": "d-aaaaaaaaaaaaaaaa", "envelope": ""}
        session = await web.post("/api/v1/sessions", headers=ann, json=body)
        closed = await web.post(
            f"/api/v1/tickets/{number}/resolve", headers=ann, json={"body": "done"}
        )
        return [str(one.json().get("code", "done")) for one in (order, session, closed)]

    refused = "not-permitted"
    rights = {"order.create:R2": 2, "session.open:files": 2, "ticket.resolve": 2}
    path = "/api/v1/sign-in-settings"
    kept = await web.post(path, headers=admin, json={"tier_rights": rights})
    assert kept.json()["tier_rights"] == rights
    assert await codes() == [refused] * 3
    tier = "/api/v1/accounts/ann/tier"
    assert (await web.post(tier, headers=ann, json={"tier": 3})).status_code == 403
    assert (await web.post(tier, headers=admin, json={"tier": 4})).status_code == 422
    assert (await web.post(tier, headers=admin, json={"tier": 2})).json()["tier"] == 2
    assert refused not in await codes()
    # Escalating is always hers, and so are signing out and seeing what is wrong.
    for wrong in ({"me.write": 2}, {"nothing": 2}, {"session.open:all": 2}, {"order.create": 4}):
        answer = await web.post(path, headers=admin, json={"tier_rights": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "tier-rights"), wrong
    assert (await web.post(path, headers=ann, json={})).status_code == 403
