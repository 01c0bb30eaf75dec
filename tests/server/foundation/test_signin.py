"""Signing in, accounts, and their tokens."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import msgspec
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from farhand_protocol.audit import AuditHead
from farhand_protocol.tokens import parse_signin_token
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.passwords import Passwords, make_passwords
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.tokens import make_tokens
from farhand_server.app import Relay
from farhand_server.audit import check_head
from farhand_server.errors import RateLimited
from farhand_server.store.schema import accounts, api_tokens
from tests.server.relays import TENANT, ManualClock, SignIn

pytestmark = pytest.mark.either_store

_PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap_passwords(relay: Relay) -> None:
    """Hash with small parameters: what is tested here is not argon2."""
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    relay._services[make_passwords] = cheap


async def _person(relay: Relay, name: str = "ann", role: Any = "technician") -> str:
    async with relay.db.write() as c:
        account = await relay.service(make_directory).add(c, name=name, role=role, actor="test")
        return await relay.service(make_tokens).issue_signin(c, account.id)


async def _actions(relay: Relay) -> list[str]:
    async with relay.db.read() as c:
        return [record.action for record in await relay.audit.records(c, limit=500)]


def _bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def test_a_token_signs_in_once(relay: Relay, web: httpx.AsyncClient) -> None:
    token = await _person(relay)
    answer = await web.post("/api/v1/sign-in", json={"token": token})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["account"]["name"] == "ann"
    assert body["organisation"] == {"tenant": TENANT, "name": "Example Ltd"}
    assert base64.b64decode(body["relay_key"]) == relay.signer.public_key
    head = msgspec.convert(body["audit_head"], AuditHead)
    assert head.seq > 0
    assert check_head(head, relay.signer.public_key)
    me = (await web.get("/api/v1/me", headers=_bearer(answer))).json()
    assert (me["account"]["role"], me["scopes"]) == ("technician", ["*"])
    again = await web.post("/api/v1/sign-in", json={"token": token})
    assert (again.status_code, again.json()["code"]) == (401, "sign-in-failed")


async def test_secrets_are_kept_hashed_only(relay: Relay, web: httpx.AsyncClient) -> None:
    token = await _person(relay)
    answer = await web.post("/api/v1/sign-in", json={"token": token})
    async with relay.db.read() as c:
        rows = (await c.execute(select(api_tokens))).all()
    text = repr(rows)
    assert len(rows) == 2
    assert parse_signin_token(token).secret.hex() not in text
    assert answer.json()["token"] not in text


async def test_a_sign_in_token_is_no_api_token(relay: Relay, web: httpx.AsyncClient) -> None:
    token = await _person(relay)
    answer = await web.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_tokens_expire(relay: Relay, web: httpx.AsyncClient, clock: ManualClock) -> None:
    first, second = await _person(relay), await _person(relay, "bob")
    answer = await web.post("/api/v1/sign-in", json={"token": first})
    clock.advance(12 * 3600 - 1)
    assert (await web.get("/api/v1/me", headers=_bearer(answer))).status_code == 200
    clock.advance(2)
    assert (await web.get("/api/v1/me", headers=_bearer(answer))).status_code == 401
    clock.advance(72 * 3600)
    late = await web.post("/api/v1/sign-in", json={"token": second})
    assert late.json()["code"] == "sign-in-failed"


async def test_a_newer_sign_in_token_ends_the_older(relay: Relay, web: httpx.AsyncClient) -> None:
    old = await _person(relay)
    async with relay.db.write() as c:
        account = await relay.service(make_directory).find(c, "ann")
        assert account is not None
        new = await relay.service(make_tokens).issue_signin(c, account.id)
    assert (await web.post("/api/v1/sign-in", json={"token": old})).status_code == 401
    assert (await web.post("/api/v1/sign-in", json={"token": new})).status_code == 200


async def test_passwords(relay: Relay, web: httpx.AsyncClient) -> None:
    first = await web.post("/api/v1/sign-in", json={"token": await _person(relay)})
    headers = _bearer(first)
    short = await web.post("/api/v1/me/password", headers=headers, json={"password": "short"})
    assert short.json()["code"] == "password-length"
    done = await web.post("/api/v1/me/password", headers=headers, json={"password": _PASSWORD})
    assert done.status_code == 204
    second = await web.post("/api/v1/sign-in", json={"name": "ann", "password": _PASSWORD})
    assert second.status_code == 200
    # A change needs the current one, and ends the other sign-ins.
    wrong = {"password": "another long one", "current": "not it"}
    answer = await web.post("/api/v1/me/password", headers=headers, json=wrong)
    assert (answer.status_code, answer.json()["code"]) == (403, "password-wrong")
    right = {"password": "another long one", "current": _PASSWORD}
    assert (await web.post("/api/v1/me/password", headers=headers, json=right)).status_code == 204
    assert (await web.get("/api/v1/me", headers=headers)).status_code == 200
    assert (await web.get("/api/v1/me", headers=_bearer(second))).status_code == 401
    async with relay.db.read() as c:
        stored = await c.scalar(select(accounts.c.password_hash))
    assert str(stored).startswith("$argon2id$")


async def test_all_failures_look_alike(relay: Relay, web: httpx.AsyncClient) -> None:
    await _person(relay, "nopassword")
    first = await web.post("/api/v1/sign-in", json={"token": await _person(relay)})
    await web.post("/api/v1/me/password", headers=_bearer(first), json={"password": _PASSWORD})
    await _person(relay, "gone")
    async with relay.db.write() as c:
        await relay.service(make_directory).disable(c, "gone", actor="test")
    answers = [
        await web.post("/api/v1/sign-in", json=body)
        for body in (
            {"name": "ann", "password": "wrong password"},
            {"name": "nobody", "password": _PASSWORD},
            {"name": "nopassword", "password": "nobody's password"},
            {"name": "gone", "password": _PASSWORD},
            {"name": "ann", "password": _PASSWORD + " " * 300},
            {"name": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "password": "x"},
            {"name": "a\0b", "password": "x"},
            {"token": "fhl1:AAAA"},
            {"token": ""},
        )
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


async def test_the_same_work_is_done_for_an_unknown_name(
    relay: Relay, web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    real = PasswordHasher.verify

    def verify(self: PasswordHasher, stored: str, password: str) -> bool:
        verified.append(stored)
        return real(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    first = await web.post("/api/v1/sign-in", json={"token": await _person(relay)})
    await web.post("/api/v1/me/password", headers=_bearer(first), json={"password": _PASSWORD})
    for name in ("ann", "nobody"):
        await web.post("/api/v1/sign-in", json={"name": name, "password": "wrong password"})
    assert len(verified) == 2


async def test_a_name_is_locked_after_ten_tries_and_audited_once(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock
) -> None:
    first = await web.post("/api/v1/sign-in", json={"token": await _person(relay)})
    await web.post("/api/v1/me/password", headers=_bearer(first), json={"password": _PASSWORD})
    wrong = {"name": "ann", "password": "wrong password"}
    right = {"name": "ann", "password": _PASSWORD}
    for _ in range(9):
        assert (await web.post("/api/v1/sign-in", json=wrong)).status_code == 401
        clock.advance(5)
    assert (await web.post("/api/v1/sign-in", json=right)).status_code == 200  # forgiven
    for _ in range(10):
        assert (await web.post("/api/v1/sign-in", json=wrong)).status_code == 401
        clock.advance(5)
    for _ in range(3):
        locked = await web.post("/api/v1/sign-in", json=right)
        assert (locked.status_code, locked.json()["code"]) == (429, "rate-limited")
    assert 800 < int(locked.headers["retry-after"]) <= 900
    assert (await _actions(relay)).count("signin.locked") == 1
    clock.advance(900)
    assert (await web.post("/api/v1/sign-in", json=right)).status_code == 200


async def test_an_address_is_limited_whatever_it_tries(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock
) -> None:
    for number in range(30):
        body = {"name": f"n{number}", "password": "x"}
        if number % 2:
            body = {"token": "fhl1:x"}
        assert (await web.post("/api/v1/sign-in", json=body)).status_code == 401
    token = await _person(relay)
    limited = await web.post("/api/v1/sign-in", json={"token": token})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "60")
    # Nobody's header moves the limit: no proxy is configured.
    forged = {"X-Forwarded-For": "198.51.100.7"}
    assert (
        await web.post("/api/v1/sign-in", json={"token": token}, headers=forged)
    ).status_code == 429
    clock.advance(61)
    assert (await web.post("/api/v1/sign-in", json={"token": token})).status_code == 200


def test_rate_limits_forget_the_longest_unused(clock: ManualClock) -> None:
    limit = RateLimit(clock, limit=1, window_s=60, message="no")
    for number in range(10_001):
        limit.take(str(number))
    assert limit.take("0")  # forgotten
    with pytest.raises(RateLimited):
        limit.take("10000")


async def test_sign_out_ends_this_sign_in_only(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    one, two = await sign_in("technician"), await sign_in("technician")
    assert (await web.post("/api/v1/sign-out", headers=one)).status_code == 204
    assert (await web.get("/api/v1/me", headers=one)).status_code == 401
    assert (await web.get("/api/v1/me", headers=two)).status_code == 200


async def test_accounts_are_added_listed_and_disabled(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin = await sign_in("admin")
    added = await web.post(
        "/api/v1/accounts", headers=admin, json={"name": "ann", "role": "technician"}
    )
    assert added.status_code == 201
    signed_in = await web.post("/api/v1/sign-in", json={"token": added.json()["signin_token"]})
    ann = _bearer(signed_in)
    twice = await web.post("/api/v1/accounts", headers=admin, json={"name": "ann", "role": "admin"})
    assert (twice.status_code, twice.json()["code"]) == (409, "account-exists")
    listed = (await web.get("/api/v1/accounts?limit=1", headers=admin)).json()
    assert [one["name"] for one in listed["items"]] == ["admin"]
    rest = await web.get("/api/v1/accounts", headers=admin, params={"cursor": listed["next"]})
    assert [one["name"] for one in rest.json()["items"]] == ["ann"]
    assert rest.json()["next"] is None
    lost = await web.post("/api/v1/accounts/ann/signin", headers=admin)
    found = await web.post("/api/v1/sign-in", json={"token": lost.json()["signin_token"]})
    assert found.status_code == 200
    gone = await web.post("/api/v1/accounts/ann/disable", headers=admin)
    assert gone.json()["disabled_at"] is not None
    assert (await web.get("/api/v1/me", headers=ann)).status_code == 401
    assert (await web.post("/api/v1/accounts/ann/disable", headers=admin)).status_code == 200
    ended = await web.post("/api/v1/accounts/ann/signin", headers=admin)
    assert (ended.status_code, ended.json()["code"]) == (409, "account-disabled")
    nobody = await web.post("/api/v1/accounts/nobody/disable", headers=admin)
    assert nobody.status_code == 404
    last = await web.post("/api/v1/accounts/admin/disable", headers=admin)
    assert (last.status_code, last.json()["code"]) == (409, "last-admin")
    assert (await _actions(relay)).count("account.disable") == 1


@pytest.mark.parametrize(
    "name", ["", "A", "a b", "-a", "a-", "a\n", "ü", "a" * 65, "a\x1b[2Ja", "relay", "mail"]
)
async def test_odd_account_names_are_refused(
    web: httpx.AsyncClient, sign_in: SignIn, name: str
) -> None:
    admin = await sign_in("admin")
    answer = await web.post(
        "/api/v1/accounts", headers=admin, json={"name": name, "role": "technician"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "account-name")


async def test_nobody_makes_the_first_admin_over_http(relay: Relay, web: httpx.AsyncClient) -> None:
    body = {"name": "mallory", "role": "admin"}
    assert (await web.post("/api/v1/accounts", json=body)).status_code == 401
    async with relay.db.read() as c:
        assert await c.scalar(select(func.count()).select_from(accounts)) == 0
