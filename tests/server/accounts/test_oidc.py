"""Signing in with an account elsewhere: the way there and back, and every way to cheat on it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.oidc import OIDC_COOKIE
from farhand_server.accounts.persons import join_person
from farhand_server.app import Relay
from farhand_server.people.people import PersonTerms, add_address, create_person
from tests.server.accounts.people import SignUp
from tests.server.accounts.provider import TestProvider, rsa_key
from tests.server.relays import ManualClock

pytestmark = pytest.mark.either_store

_HERE = "http://127.0.0.1:55555/done"
_VERIFIER = "v" * 50
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).decode()[:43]


@pytest.fixture
async def provider(
    clock: ManualClock, tmp_path: Path, web: httpx.AsyncClient, signed_up: SignUp
) -> AsyncIterator[TestProvider]:
    """A provider, and a relay whose admin trusts it for example.org."""
    secret = tmp_path / "oidc-secret"
    secret.write_text("hush\n")
    secret.chmod(0o600)
    root = await signed_up("root", "admin")
    async with TestProvider(clock) as made:
        body = {
            "issuer": made.issuer,
            "client_id": "relay",
            "secret_file": "oidc-secret",
            "domains": ["Example.org"],
        }
        kept = await web.post("/api/v1/sign-in-settings/oidc", headers=root, json=body)
        assert kept.status_code == 200, kept.text
        yield made


async def _known(relay: Relay, name: str, role: Any, mail: str, *, is_verified: bool) -> None:
    async with relay.db.write() as c:
        account = await relay.service(make_directory).add(c, name=name, role=role, actor="test")
        kind: Any = "user" if role == "requester" else "staff"
        person = await create_person(
            c, relay, terms=PersonTerms(name=name, kind=kind), actor="test"
        )
        await add_address(
            c,
            relay,
            person=person.id,
            kind="mail",
            value=mail,
            actor="test",
            is_verified=is_verified,
        )
        await join_person(c, relay, account=account.id, name=name, person=person.id, actor="test")


async def _depart(web: httpx.AsyncClient, redirect: str = _HERE) -> tuple[str, str]:
    """Begin; returns where the browser is sent, and its cookie."""
    body = {"redirect": redirect, "state": "mine", "challenge": _CHALLENGE}
    begun = await web.post("/api/v1/sign-in/oidc", json=body)
    assert begun.status_code == 200, begun.text
    gone = await web.get(urlsplit(begun.json()["url"]).path)
    assert gone.status_code == 302, gone.text
    set_cookie = gone.headers["set-cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Lax" in set_cookie
    web.cookies.clear()
    return gone.headers["location"], set_cookie.partition("=")[2].partition(";")[0]


async def _arrive(web: httpx.AsyncClient, code: str, state: str, cookie: str) -> httpx.Response:
    headers = {"Cookie": f"{OIDC_COOKIE}={cookie}"}
    params = {"code": code, "state": state}
    return await web.get("/api/v1/sign-in/oidc/callback", params=params, headers=headers)


async def _finish(
    web: httpx.AsyncClient, arrived: httpx.Response, verifier: str = _VERIFIER
) -> httpx.Response:
    assert arrived.status_code == 302, arrived.text
    went = urlsplit(arrived.headers["location"])
    assert f"{went.scheme}://{went.netloc}{went.path}" == _HERE
    query = parse_qs(went.query)
    assert query["state"] == ["mine"]
    body = {"code": query["code"][0], "verifier": verifier}
    return await web.post("/api/v1/sign-in/oidc/finish", json=body)


async def _round(
    web: httpx.AsyncClient, provider: TestProvider, subject: str, mail: str, **more: Any
) -> httpx.Response:
    address, cookie = await _depart(web)
    code, state = provider.authorise(address, subject, mail, **more)
    arrived = await _arrive(web, code, state, cookie)
    return arrived if arrived.status_code != 302 else await _finish(web, arrived)


async def test_a_known_person_signs_in_and_an_unknown_one_does_not(
    relay: Relay, web: httpx.AsyncClient, provider: TestProvider, clock: ManualClock
) -> None:
    await _known(relay, "ann", "technician", "ann@example.org", is_verified=True)
    await _known(relay, "bob", "technician", "bob@example.org", is_verified=False)
    done = await _round(web, provider, "s-1", "Ann@Example.org")
    assert done.status_code == 200, done.text
    assert (done.json()["account"]["name"], done.json()["account"]["role"]) == ("ann", "technician")
    # By subject from now on, whatever her address is called; never by a domain that is not allowed.
    done = await _round(web, provider, "s-1", "ann.new@example.org")
    assert done.json()["account"]["name"] == "ann"
    for subject, mail, more in (
        ("s-1", "ann@elsewhere.example", {}),
        ("s-1", "ann@example.org", {"email_verified": False}),
        ("s-1", "ann@example.org", {"email_verified": "true"}),
        ("s-2", "bob@example.org", {}),
        ("s-3", "new@example.org", {}),
        ("s-4", "ann@example.org.evil.example", {}),
        ("s-5", "", {}),
        ("s-6", ["ann@example.org"], {}),
    ):
        refused = await _round(web, provider, subject, mail, **more)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (403, "oidc-unknown"), mail
        clock.advance(61)
    async with relay.db.write() as c:
        await relay.service(make_directory).disable(c, "ann", actor="test")
    assert (await _round(web, provider, "s-1", "ann@example.org")).status_code == 403


async def test_nobody_becomes_more_than_a_requester(
    relay: Relay, web: httpx.AsyncClient, provider: TestProvider, signed_up: SignUp
) -> None:
    root = await signed_up("root2", "admin")
    shown = (await web.get("/api/v1/sign-in-settings/oidc", headers=root)).json()
    assert "hush" not in str(shown)
    body = {**shown, "makes_requesters": True}
    await web.post("/api/v1/sign-in-settings/oidc", headers=root, json=body)
    made = await _round(web, provider, "s-1", "new@example.org", role="admin", groups=["admin"])
    assert made.json()["account"]["role"] == "requester"
    again = await _round(web, provider, "s-1", "new@example.org")
    assert again.json()["account"]["id"] == made.json()["account"]["id"]
    # An admin's account named like an address, whose person nobody has named, is not hers.
    async with relay.db.write() as c:
        await relay.service(make_directory).add(
            c, name="chief@example.org", role="admin", actor="test"
        )
    refused = await _round(web, provider, "s-2", "chief@example.org")
    assert refused.json()["code"] == "oidc-unknown"


async def test_what_the_provider_says_must_be_for_this_very_sign_in(
    relay: Relay, web: httpx.AsyncClient, provider: TestProvider, clock: ManualClock
) -> None:
    await _known(relay, "ann", "technician", "ann@example.org", is_verified=True)
    now = int(clock.now().timestamp())
    for more in (
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "other"},
        {"aud": ["other", "relay"]},  # of several, and azp does not say which
        {"aud": ["other", "relay"], "azp": "other"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": now - 120},
        {"exp": None},
        {"exp": "soon"},
        {"iat": now + 3600},
        {"sub": None},
        {"sub": 7},
        {"sub": "a\0b"},
    ):
        answer = await _round(web, provider, "s-1", "ann@example.org", **more)
        assert (answer.status_code, answer.json()["code"]) == (400, "oidc-refused"), more
        clock.advance(20)
        now = int(clock.now().timestamp())
    for alg in ("none", "HS256"):
        provider.alg = alg
        answer = await _round(web, provider, "s-1", "ann@example.org")
        assert answer.json()["code"] == "oidc-refused", alg
    provider.alg = "RS256"
    honest, provider.key = provider.key, rsa_key("one", 1)
    clock.advance(61)
    assert (await _round(web, provider, "s-1", "ann@example.org")).json()["code"] == "oidc-refused"
    # Keys are changed: the set is fetched again, but not at every stranger's word.
    provider.key = rsa_key("two")
    provider.published = [honest, provider.key]
    clock.advance(61)
    assert (await _round(web, provider, "s-1", "ann@example.org")).status_code == 200
    before = provider.asked.count("/keys")
    provider.key = rsa_key("three")
    for _ in range(3):
        await _round(web, provider, "s-1", "ann@example.org")
    assert provider.asked.count("/keys") == before


async def test_the_way_is_bound_to_browser_and_beginner(
    relay: Relay, web: httpx.AsyncClient, provider: TestProvider, clock: ManualClock
) -> None:
    await _known(relay, "ann", "technician", "ann@example.org", is_verified=True)
    address, cookie = await _depart(web)
    other, other_cookie = await _depart(web)
    code, state = provider.authorise(address, "s-1", "ann@example.org")
    # Another browser, none, another's state; each uses the state up.
    for wrong in (other_cookie, "", "x" * 500):
        assert (await _arrive(web, code, state, wrong)).json()["code"] == "oidc-over"
    assert (await _arrive(web, code, state, cookie)).json()["code"] == "oidc-over"
    assert (await _arrive(web, code, "", other_cookie)).json()["code"] == "oidc-over"
    # A code from another sign-in: its verifier and nonce are others.
    code, _ = provider.authorise(address, "s-1", "ann@example.org")
    _, state = provider.authorise(other, "s-1", "ann@example.org")
    assert (await _arrive(web, code, state, other_cookie)).json()["code"] == "oidc-refused"
    clock.advance(61)
    # The ticket is for whoever holds the verifier, once.
    address, cookie = await _depart(web)
    code, state = provider.authorise(address, "s-1", "ann@example.org")
    arrived = await _arrive(web, code, state, cookie)
    assert (await _finish(web, arrived, "w" * 50)).json()["code"] == "oidc-over"
    assert (await _finish(web, arrived)).json()["code"] == "oidc-over", "a guess uses it up"
    address, cookie = await _depart(web, "")
    code, state = provider.authorise(address, "s-1", "ann@example.org")
    shown = await _arrive(web, code, state, cookie)
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    ticket = shown.text.partition("<pre>")[2].partition("</pre>")[0]
    body = {"code": ticket, "verifier": _VERIFIER}
    assert (await web.post("/api/v1/sign-in/oidc/finish", json=body)).status_code == 200
    twice = await web.post("/api/v1/sign-in/oidc/finish", json=body)
    assert (twice.status_code, twice.json()["code"]) == (410, "oidc-over")
    clock.advance(61)
    for bad in (
        "https://evil.example/",
        "http://evil.example:1/",
        "http://localhost:5/",
        "http://127.0.0.1:5/?x=1",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:5/\\evil",
        "http://127.0.0.1:99999/",
        "javascript:alert(1)",
        "//evil.example",
        "http://[::1",
    ):
        wish = {"redirect": bad, "challenge": _CHALLENGE}
        refused = await web.post("/api/v1/sign-in/oidc", json=wish)
        assert (refused.status_code, refused.json()["code"]) == (422, "oidc-redirect"), bad


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_provider_that_is_unwell_and_settings_that_cannot_be(
    relay: Relay,
    web: httpx.AsyncClient,
    provider: TestProvider,
    signed_up: SignUp,
    tmp_path: Path,
    clock: ManualClock,
) -> None:
    root = await signed_up("root2", "admin")
    path = "/api/v1/sign-in-settings/oidc"
    good = (await web.get(path, headers=root)).json()
    assert good["domains"] == ["example.org"]
    for wrong in (
        {"issuer": "http://idp.example.org"},
        {"issuer": "https://"},
        {"issuer": "https://[x"},
        {"issuer": "https://idp.example.org/?a=1"},
        {"client_id": ""},
        {"secret_file": "../relay.key"},
        {"secret_file": "/etc/passwd"},
        {"domains": ["@example.org"]},
    ):
        answer = await web.post(path, headers=root, json={**good, **wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "oidc-settings"), wrong

    async def depart() -> str:
        clock.advance(3700)
        wish = {"redirect": _HERE, "challenge": _CHALLENGE}
        begun = await web.post("/api/v1/sign-in/oidc", json=wish)
        answer = await web.get(urlsplit(begun.json()["url"]).path)
        return str(answer.json()["code"]) if answer.is_error else "gone"

    assert await depart() == "gone"
    for lie in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": "http://[x"},
        {"jwks_uri": 7},
    ):
        provider.metadata = lie
        assert await depart() == "oidc-provider", lie
    provider.metadata = {}
    provider.flood = True
    assert await depart() == "oidc-provider"
    provider.flood = False
    (tmp_path / "oidc-secret").chmod(0o644)
    answer = await _round(web, provider, "s-1", "ann@example.org")
    assert (answer.status_code, answer.json()["code"]) == (500, "oidc-secret")
    off = await web.post(path, headers=root, json={})
    assert off.json()["issuer"] == ""
    nobody = await web.post("/api/v1/sign-in/oidc", json={"challenge": _CHALLENGE})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "oidc-off")
