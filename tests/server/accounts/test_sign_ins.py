"""Where somebody is signed in: listed, last used, ended by herself, by an admin, by disabling."""

from __future__ import annotations

import dataclasses
import os

import httpx
import pyotp
import pytest

from farhand_server.accounts.resets import make_resets
from farhand_server.accounts.steps import make_steps
from farhand_server.accounts.tokens import make_tokens
from farhand_server.app import Relay
from tests.server.accounts.people import PASSWORD, SignUp
from tests.server.relays import ManualClock

_MINE = "/api/v1/me/sign-ins"


async def _again(web: httpx.AsyncClient, name: str = "ann") -> dict[str, str]:
    answer = await web.post("/api/v1/sign-in", json={"name": name, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def test_sign_ins_are_listed_with_their_last_use_and_ended(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    first = await signed_up()
    clock.advance(60)
    second = await _again(web)
    clock.advance(60)
    listed = (await web.get(_MINE, headers=second)).json()["items"]
    assert [(one["how"], one["is_this"]) for one in listed] == [
        ("password", True),
        ("token", False),
    ]
    assert {one["address"] for one in listed} == {"192.0.2.1"}
    assert listed[0]["last_used_at"] > listed[0]["created_at"]
    # What was seen is written by and by, and known to every node then.
    await relay.service(make_tokens).note_uses()
    relay._services.pop(make_tokens)
    root = await signed_up("root", "admin")
    path = "/api/v1/accounts/ann/sign-ins"
    seen = (await web.get(path, headers=root)).json()["items"]
    assert [one["last_used_at"] for one in seen] == [one["last_used_at"] for one in listed]
    # Nobody ends or sees another's by its name.
    bob = await signed_up("bob")
    end = f"{_MINE}/{listed[0]['id']}/end"
    assert (await web.post(end, headers=bob)).json()["code"] == "not-found"
    assert (await web.get(path, headers=bob)).status_code == 403
    assert (await web.post(f"{path}/all/end", headers=bob)).status_code == 403
    assert (await web.post(end, headers=first)).status_code == 204
    assert (await web.get("/api/v1/me", headers=second)).status_code == 401
    assert (await web.get("/api/v1/me", headers=first)).status_code == 200
    assert (await web.post(f"{path}/all/end", headers=root)).status_code == 204
    assert (await web.get("/api/v1/me", headers=first)).status_code == 401
    assert (await web.get("/api/v1/accounts/none/sign-ins", headers=root)).status_code == 404


async def test_disabling_ends_everything_that_was_begun(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    root, ann = await signed_up("root", "admin"), await signed_up()
    made = (await web.post("/api/v1/me/factors/totp", headers=ann, json={"label": "p"})).json()
    code = {"code": pyotp.TOTP(made["secret"]).at(clock.now())}
    await web.post(f"/api/v1/me/factors/totp/{made['id']}/confirm", headers=ann, json=code)
    half = await web.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    reset = (await web.post("/api/v1/accounts/ann/reset", headers=root)).json()["token"]
    await web.post("/api/v1/accounts/ann/disable", headers=root)
    clock.advance(30)
    body = {"pending": half.json()["pending"], "code": pyotp.TOTP(made["secret"]).at(clock.now())}
    assert (await web.post("/api/v1/sign-in/second", json=body)).json()["code"] == "sign-in-failed"
    again = {"token": reset, "password": "another long password"}
    assert (await web.post("/api/v1/sign-in/reset", json=again)).json()["code"] == "reset-over"
    assert (await web.get("/api/v1/me", headers=ann)).status_code == 401
    clock.advance(3 * 86_400)
    async with relay.db.write() as c:
        await relay.service(make_steps).sweep(c)
        assert await relay.service(make_steps).look(c, "reset", reset) is None


async def test_who_may_ask_for_help_no_more_is_kept_out(
    relay: Relay, web: httpx.AsyncClient, signed_up: SignUp
) -> None:
    root, mia = await signed_up("root", "admin"), await signed_up("mia", "requester")
    made = {"name": "Mia", "account": "mia"}
    person = (await web.post("/api/v1/people", headers=root, json={"name": "Mia"})).json()
    path = f"/api/v1/people/{person['id']}"
    assert (await web.post(path, headers=root, json=made)).status_code == 200
    wish = {"title": "slow", "body": "x"}
    assert (await web.post("/api/v1/tickets", headers=mia, json=wish)).status_code == 201
    assert (await web.post(path, headers=root, json={"active": False})).status_code == 200
    assert (await web.post("/api/v1/tickets", headers=mia, json=wish)).status_code == 401
    again = {"name": "mia", "password": PASSWORD}
    refused = await web.post("/api/v1/sign-in", json=again)
    assert refused.json()["code"] == "sign-in-failed"
    # And comes in again when she may.
    assert (await web.post(path, headers=root, json={"active": True})).status_code == 200
    mia = await _again(web, "mia")
    assert (await web.post("/api/v1/tickets", headers=mia, json=wish)).status_code == 201


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_reset_is_no_option_to_the_command_that_takes_it(
    relay: Relay, signed_up: SignUp
) -> None:
    await signed_up("ann", "technician")
    # What this draws begins with `-` where it is written in letters.
    odd = dataclasses.replace(
        relay, random=lambda size: b"\xf8" + os.urandom(size - 1), _services={}
    )
    reset = await make_resets(odd).make("ann", actor="boss")
    assert reset.token[0].isalnum()
    await make_resets(relay).use(reset.token, "a long password of hers", address="192.0.2.9")
