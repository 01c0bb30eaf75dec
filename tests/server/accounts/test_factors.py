"""Authenticator apps and recovery codes, enrolled and asked for."""

from __future__ import annotations

from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import select

from farhand_server.accounts.sealing import make_sealing
from farhand_server.app import Relay
from farhand_server.store.schema import metadata, second_factors
from tests.server.accounts.people import PASSWORD, SignUp
from tests.server.relays import ManualClock

pytestmark = pytest.mark.either_store

_SIGN_IN = {"name": "ann", "password": PASSWORD}


def _now(secret: str, clock: ManualClock, steps: int = 0) -> str:
    return str(pyotp.TOTP(secret).at(clock.now(), counter_offset=steps))


def _bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def _enrol(
    web: httpx.AsyncClient, headers: dict[str, str], clock: ManualClock
) -> tuple[dict[str, Any], list[str]]:
    made = await web.post("/api/v1/me/factors/totp", headers=headers, json={"label": "phone"})
    assert made.status_code == 201, made.text
    totp = made.json()
    path = f"/api/v1/me/factors/totp/{totp['id']}/confirm"
    code = _now(totp["secret"], clock)
    done = await web.post(path, headers=headers, json={"code": code})
    assert done.status_code == 200, done.text
    return totp, done.json()["recovery_codes"]


async def _pending(web: httpx.AsyncClient) -> str:
    answer = await web.post("/api/v1/sign-in", json=_SIGN_IN)
    assert answer.status_code == 202, answer.text
    assert "token" not in answer.json()
    return str(answer.json()["pending"])


async def _second(web: httpx.AsyncClient, pending: str, code: str) -> httpx.Response:
    return await web.post("/api/v1/sign-in/second", json={"pending": pending, "code": code})


async def test_a_second_factor_is_asked_for_and_each_code_works_once(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    ann = await signed_up()
    totp, recovery = await _enrol(web, ann, clock)
    assert totp["uri"].startswith("otpauth://totp/Example%20Ltd:ann?")
    assert len(set(recovery)) == 10
    used = _now(totp["secret"], clock)
    first = await _second(web, await _pending(web), used)
    assert (first.status_code, first.json()["code"]) == (403, "factor-wrong"), "enrolment used it"
    clock.advance(30)
    pending = await _pending(web)
    right = _now(totp["secret"], clock)
    done = await _second(web, pending, right)
    assert done.status_code == 200
    assert done.json()["needs_factor"] is False
    again = await _second(web, pending, right)
    assert (again.status_code, again.json()["code"]) == (401, "sign-in-failed")
    replayed = await _second(web, await _pending(web), right)
    assert replayed.json()["code"] == "factor-wrong"
    # One step to either side, and no further.
    clock.advance(90)
    assert (await _second(web, await _pending(web), _now(totp["secret"], clock, -2))).is_error
    assert (await _second(web, await _pending(web), _now(totp["secret"], clock, +2))).is_error
    assert (await _second(web, await _pending(web), _now(totp["secret"], clock, +1))).is_success
    earlier = await _second(web, await _pending(web), _now(totp["secret"], clock))
    assert earlier.is_error, "a step before the last one used"
    # A recovery code, however it is written, once.
    typed = recovery[0].lower().replace("-", " ")
    assert (await _second(web, await _pending(web), typed)).status_code == 200
    assert (await _second(web, await _pending(web), typed)).json()["code"] == "factor-wrong"
    listed = (await web.get("/api/v1/me/factors", headers=ann)).json()
    assert [one["kind"] for one in listed["items"]] == ["totp"]
    assert listed["recovery_left"] == 9


async def test_guessing_ends_the_pending_sign_in_and_then_the_account_rests(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    ann = await signed_up()
    totp, _ = await _enrol(web, ann, clock)
    clock.advance(3600)
    pending = await _pending(web)
    for _ in range(5):
        assert (await _second(web, pending, "000000")).json()["code"] == "factor-wrong"
    right = _now(totp["secret"], clock)
    assert (await _second(web, pending, right)).json()["code"] == "sign-in-failed"
    pending = await _pending(web)
    for _ in range(5):
        await _second(web, pending, "000000")
    rests = await _second(web, await _pending(web), right)
    assert (rests.status_code, rests.json()["code"]) == (429, "rate-limited")
    # The right password forgave nothing on the way.
    for _ in range(7):
        await web.post("/api/v1/sign-in", json=_SIGN_IN)
    assert (await web.post("/api/v1/sign-in", json=_SIGN_IN)).status_code == 429
    clock.advance(3600)
    pending = await _pending(web)
    assert (await _second(web, pending, _now(totp["secret"], clock))).status_code == 200
    late = await _pending(web)
    clock.advance(301)
    over = await _second(web, late, _now(totp["secret"], clock))
    assert over.json()["code"] == "sign-in-failed"


async def test_a_role_that_must_have_a_factor_can_do_nothing_but_get_one(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    root = await signed_up("root", "admin")
    wish = {"factor_roles": ["technician", "admin"]}
    kept = await web.post("/api/v1/sign-in-settings", headers=root, json=wish)
    assert kept.json()["factor_roles"] == ["technician", "admin"]
    await signed_up("ann")
    bare = await web.post("/api/v1/sign-in", json=_SIGN_IN)
    assert bare.json()["needs_factor"] is True
    refused = await web.get("/api/v1/tickets", headers=_bearer(bare))
    assert (refused.status_code, refused.json()["code"]) == (403, "not-permitted")
    totp, _ = await _enrol(web, _bearer(bare), clock)
    clock.advance(30)
    done = await _second(web, await _pending(web), _now(totp["secret"], clock))
    assert (await web.get("/api/v1/tickets", headers=_bearer(done))).status_code == 200


async def test_changing_factors_needs_one_and_an_admin_may_take_all(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    root, ann = await signed_up("root", "admin"), await signed_up()
    none = await web.post("/api/v1/me/factors/recovery", headers=ann, json={})
    assert none.json()["code"] == "factor-none"
    totp, recovery = await _enrol(web, ann, clock)
    remove = f"/api/v1/me/factors/{totp['id']}/remove"
    for body in ({}, {"code": "000000"}, {"code": "\ud800".encode("utf-16", "replace").hex()}):
        answer = await web.post(remove, headers=ann, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "factor-wrong")
    body = {"code": recovery[0]}
    fresh = await web.post("/api/v1/me/factors/recovery", headers=ann, json=body)
    new = fresh.json()["recovery_codes"]
    assert not set(new) & set(recovery)
    assert (await web.post(remove, headers=ann, json={"code": recovery[1]})).is_error
    assert (await web.post(remove, headers=ann, json={"code": new[0]})).status_code == 204
    assert (await web.post("/api/v1/sign-in", json=_SIGN_IN)).status_code == 200
    clock.advance(30)
    await _enrol(web, ann, clock)
    path = "/api/v1/accounts/ann/factors/reset"
    assert (await web.post(path, headers=ann)).status_code == 403
    assert (await web.post(path, headers=root)).status_code == 204
    assert (await web.post("/api/v1/sign-in", json=_SIGN_IN)).status_code == 200


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_an_app_is_added_only_by_who_shows_the_first_one(
    web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    ann, path = await signed_up(), "/api/v1/me/factors/totp"
    totp, recovery = await _enrol(web, ann, clock)
    # Somebody who has the token of her sign-in, and nothing else.
    for wrong in ({}, {"code": ""}, {"code": "000000"}, {"code": _now(totp["secret"], clock)}):
        refused = await web.post(path, headers=ann, json={"label": "thief"} | wrong)
        assert (refused.status_code, refused.json()["code"]) == (403, "factor-wrong")
    for code in (_now(totp["secret"], clock, steps=1), recovery[0]):
        made = await web.post(path, headers=ann, json={"label": "other", "code": code})
        assert made.status_code == 201, made.text
    for _ in range(12):
        tried = await web.post(path, headers=ann, json={"label": "thief", "code": "000000"})
    assert tried.json()["code"] == "rate-limited"
    listed = (await web.get("/api/v1/me/factors", headers=ann)).json()
    assert [one["label"] for one in listed["items"]] == ["phone"]


async def test_an_unproved_app_counts_for_nothing(
    web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp
) -> None:
    ann, bob = await signed_up(), await signed_up("bob")
    made = await web.post("/api/v1/me/factors/totp", headers=ann, json={"label": "phone"})
    path = f"/api/v1/me/factors/totp/{made.json()['id']}/confirm"
    wrong = await web.post(path, headers=ann, json={"code": "000000"})
    assert wrong.json()["code"] == "factor-wrong"
    code = {"code": _now(made.json()["secret"], clock)}
    assert (await web.post(path, headers=bob, json=code)).json()["code"] == "not-found"
    assert (await web.post("/api/v1/sign-in", json=_SIGN_IN)).status_code == 200
    for label in ("", "x" * 61, "a\x1b[2J"):
        odd = await web.post("/api/v1/me/factors/totp", headers=ann, json={"label": label})
        assert odd.json()["code"] == "invalid"


async def test_no_secret_is_in_database_audit_or_log(
    relay: Relay,
    web: httpx.AsyncClient,
    clock: ManualClock,
    signed_up: SignUp,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    ann = await signed_up()
    totp, recovery = await _enrol(web, ann, clock)
    clock.advance(30)
    pending = await _pending(web)
    done = await _second(web, pending, _now(totp["secret"], clock))
    secrets = [totp["secret"], pending, done.json()["token"], PASSWORD, *recovery]
    secrets += [code.replace("-", "") for code in recovery]
    async with relay.db.read() as c:
        kept = "".join(
            [repr((await c.execute(select(table))).all()) for table in metadata.sorted_tables]
        )
        row = (await c.execute(select(second_factors))).one()
    for secret in secrets:
        assert secret not in kept
        assert secret not in caplog.text
    sealing = relay.service(make_sealing)
    assert sealing.open(row.secret, row.id)
    with pytest.raises(Exception, match="sealed-unreadable"):
        sealing.open(row.secret, "another place")
