"""Who may speak to the web console: nobody but the browser that was let in."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from tests.console.web.backend import Backend

ANY = ("/local/me", "/local/key", "/relay/tickets", "/relay/me")


async def test_nothing_is_told_without_the_cookie(outside: Backend) -> None:
    for path in ANY:
        answer = await outside.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "web-not-signed-in"), path
    assert outside.relay.asked == []


async def test_the_token_is_worth_one_cookie(outside: Backend) -> None:
    token = outside.gate.new_token()
    headers = {"origin": outside.origin}
    for wrong in ("", token[:-1], "x" * 5000):
        answer = await outside.http.post("/local/enter", json={"token": wrong}, headers=headers)
        assert answer.json()["code"] == "web-token-used"
    first = await outside.http.post("/local/enter", json={"token": token}, headers=headers)
    assert first.status_code == 204
    cookie = first.headers["set-cookie"]
    assert "; HttpOnly" in cookie
    assert "; SameSite=Strict" in cookie
    assert token not in cookie
    again = await outside.http.post("/local/enter", json={"token": token}, headers=headers)
    assert again.json()["code"] == "web-token-used"
    assert "set-cookie" not in again.headers


async def test_a_new_link_takes_the_last_one_back(outside: Backend) -> None:
    old, new = outside.gate.new_token(), outside.gate.new_token()
    headers = {"origin": outside.origin}
    answers = [
        await outside.http.post("/local/enter", json={"token": token}, headers=headers)
        for token in (old, new)
    ]
    assert [one.status_code for one in answers] == [403, 204]


async def test_a_foreign_name_that_points_here_is_refused(web: Backend) -> None:
    for host in (
        "evil.example",
        f"evil.example:{web.port}",
        f"127.0.0.1.evil.example:{web.port}",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        f"0.0.0.0:{web.port}",
        "",
    ):
        answer = await web.http.get("/local/me", headers={"host": host})
        assert answer.status_code in (400, 403), host
        if answer.status_code == 403:
            assert answer.json()["code"] == "web-host", host


async def test_this_machines_own_names_are_served(web: Backend) -> None:
    for name in ("127.0.0.1", "localhost", "[::1]"):
        host = f"{name}:{web.port}"
        headers = {"host": host, "origin": f"http://{host}"}
        assert (await web.http.get("/local/me", headers=headers)).status_code == 200, name


async def test_another_page_may_change_nothing(web: Backend) -> None:
    own = f"https://127.0.0.1:{web.port}"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", own, ""):
        answer = await web.http.post("/relay/tickets", json={}, headers={"origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "web-origin"), origin
    assert web.relay.asked == []


async def test_another_page_may_not_read_either(web: Backend) -> None:
    headers = {"origin": "http://evil.example"}
    answer = await web.http.get("/relay/tickets", headers=headers)
    assert answer.json()["code"] == "web-origin"
    assert "access-control-allow-origin" not in answer.headers


async def test_websockets_have_the_same_gate(web: Backend) -> None:
    for path in ("/local/watch", "/local/act"):
        for headers in (
            {"cookie": "farhand-web-7=guessed"},
            {"cookie": ""},
            {"origin": "http://evil.example"},
            {"origin": ""},
            {"host": "evil.example"},
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with web.socket(path, **headers):
                    pass
            assert refused.value.response.status_code in (400, 403), headers


async def test_every_answer_keeps_the_page_to_its_own_files(web: Backend) -> None:
    for path in ("/", "/queue", "/assets/none.js", "/local/me", "/relay/tickets"):
        answer = await web.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"), path
        assert "; style-src 'self';" in policy
        assert "'unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"


async def test_two_consoles_on_one_machine_do_not_share_a_cookie(web: Backend) -> None:
    other = web.cookie.replace("farhand-web-7", "farhand-web-8")
    answer = await web.http.get("/local/me", headers={"cookie": other})
    assert answer.json()["code"] == "web-not-signed-in"
