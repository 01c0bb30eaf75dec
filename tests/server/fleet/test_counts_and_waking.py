"""How many a query picks, who could wake a device, and what an account is told it may do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from farhand_server.accounts.authorisation import ACTIONS
from farhand_server.gateway.node import make_gateway
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, sections
from tests.server.fleet.conftest import MakeDevice
from tests.server.relays import SignIn


def card(number: int, *addresses: Any, **changes: Any) -> dict[str, Any]:
    return {
        "record": "interface",
        "name": f"eth{number}",
        "mac": f"3c:52:82:00:00:{number:02x}",
        "virtual": False,
        "addresses": list(addresses),
    } | changes


async def ask(web: httpx.AsyncClient, headers: dict[str, str], path: str, **params: str) -> Any:
    answer = await web.get(f"/api/v1{path}", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_count_is_of_what_a_campaign_would_take(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers, admin = await sign_in("technician"), await sign_in("admin")
    made = [await make_device(f"pc-{n}", group="shop" if n % 2 else "office") for n in range(5)]
    printer = {"kind": "printer", "name": "pc-printer", "address": "192.0.2.9"}
    answer = await web.post("/api/v1/devices", headers=admin, json=printer)
    assert answer.status_code == 201, answer.text
    await made[0].connect()
    online = len(relay.service(make_gateway).presence.online())
    everyone = await ask(web, headers, "/fleet/count")
    assert everyone == {"devices": 5, "online": online}
    assert (await ask(web, headers, "/fleet/count", q="group:shop"))["devices"] == 2
    assert (await ask(web, headers, "/fleet/count", q="*", exclude="group:shop"))["devices"] == 3
    assert (await ask(web, headers, "/fleet/count", q="kind:printer"))["devices"] == 0
    wrong = await web.get("/api/v1/fleet/count", params={"q": "nothing:x"}, headers=headers)
    assert wrong.json()["code"] == "query-invalid"


async def test_a_neighbour_is_who_is_connected_in_the_same_network(
    relay: Relay,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    make_device: MakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = await sign_in("auditor")
    networks: dict[str, list[dict[str, Any]]] = {
        "sleeper": [card(1, "192.0.2.7/24", "2001:db8::7/64")],
        "beside": [card(2, "192.0.2.8/24")],
        "abroad": [card(3, "192.0.2.9/24")],
        "elsewhere": [card(4, "198.51.100.8/24", "127.0.0.1/8")],
        "away": [card(5, "192.0.2.10/24")],
        "liar": [card(6, "192.0.2.0/nine", 7, None, "0.0.0.0/0"), {"record": "interface"}],
        "box": [card(7, "192.0.2.11/24", virtual=True)],
    }
    ids = {}
    for name, items in networks.items():
        device = await make_device(name, group="abroad" if name == "abroad" else "office")
        await device.report({"network": items})
        ids[name] = device.id
    there = frozenset(one for name, one in ids.items() if name not in ("sleeper", "away"))
    presence = relay.service(make_gateway).presence
    monkeypatch.setattr(presence, "online", lambda: there)
    monkeypatch.setattr(presence, "is_online", lambda device: device in there)

    told = await ask(web, headers, f"/devices/{ids['sleeper']}/waking")
    assert told["cards"] == 1
    # Those of its own group first; a virtual card of a neighbour sends as well as a real one.
    assert [one["name"] for one in told["neighbours"]] == ["beside", "box", "abroad"]
    assert {one["network"] for one in told["neighbours"]} == {"192.0.2.0/24"}
    # Who is online sleeps not; who has no real card hears no call; who reported nothing is unknown.
    assert (await ask(web, headers, f"/devices/{ids['beside']}/waking"))["neighbours"] == []
    monkeypatch.setattr(presence, "is_online", lambda device: False)
    box = await ask(web, headers, f"/devices/{ids['box']}/waking")
    assert (box["cards"], box["neighbours"]) == (0, [])
    silent = await make_device("silent")
    nothing = await ask(web, headers, f"/devices/{silent.id}/waking")
    assert (nothing["cards"], nothing["neighbours"]) == (0, [])


async def test_however_many_are_elsewhere_the_one_beside_it_is_found(
    relay: Relay,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    make_device: MakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six hundred of its own group whose names come first, and no section but its own is read."""
    headers = await sign_in("auditor")
    sleeper, beside = await make_device("sleeper"), await make_device("zz-beside")
    await sleeper.report({"network": [card(1, "192.0.2.7/24", "198.51.100.7/24")]})
    await beside.report({"network": [card(2, "198.51.100.8/24", "192.0.2.8/24")]})
    others = [f"aa-{number:03}" for number in range(600)]
    async with relay.db.write() as c:
        mine = select(devices).where(devices.c.id == beside.id)
        row = dict((await c.execute(mine)).mappings().one())
        row["number"] = None
        its = select(sections).where(sections.c.device == beside.id)
        section = dict((await c.execute(its)).mappings().one()) | {"body": b"unread"}
        await c.execute(insert(devices), [row | {"id": one, "name": one} for one in others])
        await c.execute(insert(sections), [section | {"device": one} for one in others])
    there = frozenset({beside.id, *others})
    presence = relay.service(make_gateway).presence
    monkeypatch.setattr(presence, "online", lambda: there)
    monkeypatch.setattr(presence, "is_online", lambda device: device in there)
    told = await ask(web, headers, f"/devices/{sleeper.id}/waking")
    assert [(one["name"], one["network"]) for one in told["neighbours"]] == [
        ("zz-beside", "192.0.2.0/24")
    ]
    await beside.report({"network": [card(2, "203.0.113.8/24")]})
    assert (await ask(web, headers, f"/devices/{sleeper.id}/waking"))["neighbours"] == []


async def test_what_an_account_may_do_is_what_the_relay_lets_it(
    web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    for role in ("technician", "admin", "auditor"):
        headers = await sign_in(role)
        me = await ask(web, headers, "/me")
        assert me["may"] == sorted(name for name, roles in ACTIONS.items() if role in roles)
        assert me["barred"] == []
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")
    rights = {"session.open:files": 2, "ticket.resolve": 2}
    path = "/api/v1/sign-in-settings"
    assert (await web.post(path, headers=admin, json={"tier_rights": rights})).status_code == 200
    me = await ask(web, ann, "/me")
    assert "ticket.resolve" not in me["may"]
    assert "session.open" in me["may"]
    assert me["barred"] == ["session.open:files"]
