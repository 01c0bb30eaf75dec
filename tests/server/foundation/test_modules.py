"""What of the desk is switched off: it answers so, does nothing, and comes back as it was."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.app import Relay
from farhand_server.heeders import heed_now
from farhand_server.outbox.items import list_items
from farhand_server.people.modules import MODULES, PROFILES, Modules, Switched, make_modules
from tests.server.relays import SignIn

ON_SQLITE = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)


def test_profiles_name_modules_and_none_is_needed() -> None:
    assert Switched().off == PROFILES["whole"].off == ()
    for profile in PROFILES.values():
        assert set(profile.off) <= set(MODULES), profile.name
        assert list(profile.off) == sorted(profile.off)


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("/api/v1/chats", "chat"),
        ("/api/v1/chats/FH-1/messages", "chat"),
        ("/chat", "chat"),
        ("/api/v1/tickets/FH-1/vendor", "vendors"),
        ("/api/v1/tickets/FH-1/survey/skip", "surveys"),
        ("/api/v1/contracts", "contracts"),
        ("/api/v1/contracts/gold/ledger", "contracts"),
        ("/api/v1/knowledge/moderation", "questions"),
        ("/kb", "knowledge"),
        # Beside them, and needed by what is never off.
        ("/api/v1/contracts/cover", None),
        ("/api/v1/tickets/FH-1", None),
        ("/api/v1/tickets", None),
        ("/chatter", None),
        ("/api/v1/csat/token", None),
        ("/kbx", None),
        ("/healthz", None),
    ],
)
def test_what_a_module_answers_on(path: str, module: str | None) -> None:
    modules = Modules(None)  # type: ignore[arg-type]
    modules.switched = Switched(off=tuple(MODULES))
    if module is None:
        modules.check(path)
        return
    for name in MODULES:
        modules.switched = Switched(off=(name,))
        covers = name == module or (module == "questions" and name == "knowledge")
        if covers:
            with pytest.raises(FarhandError, match="switched off") as refused:
                modules.check(path)
            assert refused.value.code == "module-off"
        else:
            modules.check(path)


@ON_SQLITE
async def test_what_is_off_answers_so_and_keeps_what_it_has(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")

    async def post(path: str, body: dict[str, Any], who: dict[str, str] = admin) -> httpx.Response:
        return await web.post(f"/api/v1/{path}", headers=who, json=body)

    async def get(path: str) -> httpx.Response:
        return await web.get(f"/api/v1/{path}", headers=ann)

    note = {"do": "note", "field": "", "value": "Welcome."}
    rule = {"name": "hello", "event": "ticket.created", "actions": [note], "conditions": []}
    assert (await post("rules", rule)).status_code == 201
    heard = {"name": "chat", "url": "https://example.org/x", "events": ["ticket.created"]}
    assert (await post("webhooks", heard)).status_code == 201
    assert [one["name"] for one in (await get("profiles")).json()["items"]] == list(PROFILES)
    assert (await get("profile")).json()["profile"] == "whole"
    assert (await post("profile", {"profile": "small"}, ann)).json()["code"] == "not-permitted"
    for wrong in ({"profile": "huge"}, {"off": ["tickets"]}, {"on": ["chat"], "off": ["chat"]}):
        assert (await post("profile", wrong)).json()["code"] == "invalid"
    small = (await post("profile", {"profile": "small", "on": ["contracts"]})).json()
    assert "automation" in small["off"]
    assert "contracts" not in small["off"]
    refused = await get("rules")
    assert (refused.status_code, refused.json()["code"]) == (409, "module-off")
    assert "farhand profile set --on automation" in refused.json()["hint"]
    assert (await web.get("/api/v1/knowledge/questions")).json()["code"] == "module-off"
    assert (await get("contracts")).status_code == 200
    # A ticket goes its way, and nothing that is off does anything.
    assert (await post("tickets", {"title": "slow"}, ann)).status_code == 201
    await heed_now(relay)
    shown = (await get("tickets/1")).json()
    assert shown["messages"] == []
    async with relay.db.read() as c:
        assert await list_items(c, relay.tenant, kind="webhook") == []
    # On again it is as it was.
    again = (await post("profile", {"on": ["automation", "webhooks"]})).json()
    assert (again["profile"], "bugs" in again["off"]) == ("small", True)
    assert [one["name"] for one in (await get("rules")).json()["items"]] == ["hello"]
    assert (await post("tickets", {"title": "slower"}, ann)).status_code == 201
    await heed_now(relay)
    assert [one["body"] for one in (await get("tickets/2")).json()["messages"]] == ["Welcome."]


@ON_SQLITE
async def test_another_node_hears_of_it(relay: Relay) -> None:
    there = Modules(relay)
    listening = asyncio.create_task(there.run())
    try:
        async with asyncio.timeout(20):
            while f"modules.{relay.tenant}" not in relay.bus._subjects:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            chosen = await relay.service(make_modules).switch(
                profile=None, on=[], off=["chat"], actor="ada"
            )
            while there.off != chosen.off:
                await asyncio.sleep(0)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    fresh = Modules(relay)
    await fresh.load()
    assert fresh.off == ("chat",)
