"""Security keys: registered, asked for, and every answer that is not theirs to give."""

from __future__ import annotations

from typing import Any

import httpx
import pyotp
import pytest

from tests.server.accounts.authenticator import SoftwareKey, b64
from tests.server.accounts.people import PASSWORD, SignUp
from tests.server.relays import ManualClock


async def _register(
    web: httpx.AsyncClient, headers: dict[str, str], key: SoftwareKey, *, code: str | None = None
) -> httpx.Response:
    wish = {"label": "key", "code": code}
    asked = await web.post("/api/v1/me/factors/keys", headers=headers, json=wish)
    assert asked.status_code == 200, asked.text
    body = {"step": asked.json()["step"], "credential": key.create(asked.json()["options"])}
    return await web.post("/api/v1/me/factors/keys/finish", headers=headers, json=body)


async def _asked(web: httpx.AsyncClient, name: str = "ann") -> tuple[str, dict[str, Any]]:
    """Begin to sign in; returns what is pending and the question for the key."""
    answer = await web.post("/api/v1/sign-in", json={"name": name, "password": PASSWORD})
    assert answer.status_code == 202, answer.text
    pending = answer.json()["pending"]
    question = await web.post("/api/v1/sign-in/second/key", json={"pending": pending})
    assert question.status_code == 200, question.text
    return pending, question.json()


async def _finish(
    web: httpx.AsyncClient, pending: str, question: dict[str, Any], credential: dict[str, Any]
) -> str:
    body = {"pending": pending, "step": question["step"], "credential": credential}
    answer = await web.post("/api/v1/sign-in/second", json=body)
    assert answer.status_code < 500, answer.text
    return "signed in" if answer.status_code == 200 else str(answer.json()["code"])


async def test_a_key_signs_in_and_nothing_else_does(
    web: httpx.AsyncClient, signed_up: SignUp, clock: ManualClock
) -> None:
    ann, bob = await signed_up(), await signed_up("bob")
    key, other = SoftwareKey(), SoftwareKey()
    made = await _register(web, ann, key)
    assert len(made.json()["recovery_codes"]) == 10
    assert (await _register(web, bob, other)).status_code == 200
    code = made.json()["recovery_codes"][0]
    twice = await _register(web, ann, key, code=code)
    assert (twice.status_code, twice.json()["code"]) == (409, "factor-taken")
    pending, question = await _asked(web)
    assert [one["id"] for one in question["options"]["allowCredentials"]] == [b64(key.credential)]
    right = key.get(question["options"])
    assert await _finish(web, pending, question, right) == "signed in"
    # Replayed: the same answer to the same question, and to another one.
    pending, again = await _asked(web)
    assert await _finish(web, pending, question, right) == "factor-wrong"
    assert await _finish(web, pending, again, right) == "factor-wrong"
    assert await _finish(web, pending, again, key.get(again["options"])) == "factor-wrong"
    # Bob's key, and Bob's question.
    pending, question = await _asked(web)
    assert await _finish(web, pending, question, other.get(question["options"])) == "factor-wrong"
    _, his = await _asked(web, "bob")
    assert await _finish(web, pending, his, key.get(his["options"])) == "factor-wrong"
    clock.advance(3600)
    # Another site's question; another site's name in the key's own words.
    for bad in ("origin", "party"):
        pending, question = await _asked(web)
        honest = getattr(key, bad)
        setattr(key, bad, "http://evil.example" if bad == "origin" else "evil.example")
        assert await _finish(web, pending, question, key.get(question["options"])) == "factor-wrong"
        setattr(key, bad, honest)
    # A counter that does not go up is a copy of the key.
    pending, question = await _asked(web)
    key.count -= 5
    assert await _finish(web, pending, question, key.get(question["options"])) == "factor-wrong"
    key.count += 20
    pending, question = await _asked(web)
    assert await _finish(web, pending, question, key.get(question["options"])) == "signed in"
    # Too late for the question.
    clock.advance(3600)
    pending, question = await _asked(web)
    clock.advance(301)
    late = await _finish(web, pending, question, key.get(question["options"]))
    assert late == "sign-in-failed"


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_key_is_added_only_by_who_shows_the_first_factor(
    web: httpx.AsyncClient, signed_up: SignUp
) -> None:
    ann, path = await signed_up(), "/api/v1/me/factors/keys"
    early, first = SoftwareKey(), SoftwareKey()
    begun = (await web.post(path, headers=ann, json={"label": "thief"})).json()
    app = (await web.post("/api/v1/me/factors/totp", headers=ann, json={"label": "p"})).json()
    codes = (await _register(web, ann, first)).json()["recovery_codes"]
    # What was begun before there was anything to show is over.
    body = {"step": begun["step"], "credential": early.create(begun["options"])}
    late = await web.post(f"{path}/finish", headers=ann, json=body)
    assert late.json()["code"] == "factor-wrong"
    code = {"code": pyotp.TOTP(app["secret"]).now()}
    gone = await web.post(f"/api/v1/me/factors/totp/{app['id']}/confirm", headers=ann, json=code)
    assert gone.json()["code"] == "not-found"
    for wrong in ({}, {"code": "000000"}, {"code": ""}):
        refused = await web.post(path, headers=ann, json={"label": "thief"} | wrong)
        assert (refused.status_code, refused.json()["code"]) == (403, "factor-wrong")
    assert (await _register(web, ann, SoftwareKey(), code=codes[0])).status_code == 200
    again = await web.post(path, headers=ann, json={"label": "x", "code": codes[0]})
    assert again.json()["code"] == "factor-wrong"
    listed = (await web.get("/api/v1/me/factors", headers=ann)).json()
    assert [one["label"] for one in listed["items"]] == ["key", "key"]


async def test_a_registration_for_another_place_is_refused(
    web: httpx.AsyncClient, signed_up: SignUp
) -> None:
    ann, bob = await signed_up(), await signed_up("bob")
    for key in (SoftwareKey(origin="http://evil.example"), SoftwareKey(party="evil.example")):
        refused = await _register(web, ann, key)
        assert (refused.status_code, refused.json()["code"]) == (403, "factor-wrong")
    key = SoftwareKey()
    asked = await web.post("/api/v1/me/factors/keys", headers=ann, json={"label": "key"})
    body = {"step": asked.json()["step"], "credential": key.create(asked.json()["options"])}
    stolen = await web.post("/api/v1/me/factors/keys/finish", headers=bob, json=body)
    assert stolen.json()["code"] == "factor-wrong"
    forged = key.create({"challenge": b64(bytes(32))})
    asked = await web.post("/api/v1/me/factors/keys", headers=ann, json={"label": "key"})
    body = {"step": asked.json()["step"], "credential": forged}
    answer = await web.post("/api/v1/me/factors/keys/finish", headers=ann, json=body)
    assert answer.json()["code"] == "factor-wrong"
    listed = (await web.get("/api/v1/me/factors", headers=ann)).json()
    assert listed["items"] == []
    assert (
        await web.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    ).is_success


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_odd_answers_are_wrong_not_broken(
    web: httpx.AsyncClient, signed_up: SignUp, clock: ManualClock
) -> None:
    ann, key = await signed_up(), SoftwareKey()
    bob = await signed_up("bob")
    await _register(web, ann, key)
    right = key.get({"challenge": b64(bytes(32))})
    odd: list[dict[str, Any]] = [
        {},
        {"id": 7},
        {"id": [], "rawId": {}, "response": []},
        right | {"response": {}},
        right | {"type": "other"},
        right | {"rawId": b64(b"other")},
        right | {"id": "\x00"},
        right | {"id": "é" * 2000},
        right | {"response": right["response"] | {"authenticatorData": "AAAA"}},
        right | {"response": right["response"] | {"clientDataJSON": b64(b"{" * 3000)}},
        right | {"response": right["response"] | {"signature": "%%%"}},
    ]
    for credential in odd:
        clock.advance(1000)
        pending, question = await _asked(web)
        assert await _finish(web, pending, question, credential) == "factor-wrong", credential
        asked = await web.post("/api/v1/me/factors/keys", headers=bob, json={"label": "key"})
        body = {"step": asked.json()["step"], "credential": credential}
        answer = await web.post("/api/v1/me/factors/keys/finish", headers=bob, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "factor-wrong"), credential
    pending, question = await _asked(web)
    long = {"pending": pending, "step": question["step"], "credential": {"id": "x" * 20_000}}
    assert (await web.post("/api/v1/sign-in/second", json=long)).json()["code"] == "invalid"
