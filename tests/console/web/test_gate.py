"""Who may speak to the web console: nobody but the browser that was let in."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from litestar.routes import HTTPRoute
from websockets.exceptions import InvalidStatus

from farhand_console.web import gate
from farhand_console.web.gate import Gate
from farhand_console.web.peers import is_own
from tests.console.web.backend import Backend

ANY = ("/local/me", "/local/key", "/relay/tickets", "/relay/me")


async def test_nothing_is_told_without_the_cookie(outside: Backend) -> None:
    for path in ANY:
        answer = await outside.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "web-not-signed-in"), path
    assert outside.relay.asked == []


async def test_no_spelling_of_a_path_goes_round_the_cookie(outside: Backend) -> None:
    paths = {
        re.sub(r"\{[^}]*\}", "x", route.path)
        for route in outside.app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith(("/local", "/relay"))
    } - {"/local/enter"}
    assert len(paths) > 8
    for path in sorted(paths):
        for spelled in (path, f"/{path}", f"///{path[1:]}", path.replace("/", "//"), f"{path}/"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                request = outside.http.build_request(
                    method, "/x", json={}, headers={"origin": outside.origin}
                )
                request.url = request.url.copy_with(raw_path=spelled.encode())
                answer = await outside.http.send(request)
                assert answer.status_code in (403, 404, 405), (method, spelled)
    assert outside.relay.asked == []


async def test_the_second_lock_holds_without_the_first(
    outside: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gate, "_refusal", lambda self, scope: None)
    for path in ANY:
        answer = await outside.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "web-not-signed-in"), path
    assert (await outside.http.get("/queue")).status_code in (200, 503)


def test_a_connection_of_somebody_else_is_not_ones_own(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    line = "   0: {0}:9C40 {1}:1F90 01 00000000:00000000 00:00000000 00000000 {2:5d}        0 1\n"
    here, mapped = "0100007F", "0000000000000000FFFF00000100007F"
    peer, own = ("127.0.0.1", 40000), ("127.0.0.1", 8080)
    for spelled in (here, mapped):
        table.write_text(head + line.format(spelled, spelled, os.getuid()))
        assert is_own(peer, own, tables=(table,))
        table.write_text(head + line.format(spelled, spelled, os.getuid() + 1))
        assert not is_own(peer, own, tables=(table,))
    assert not is_own(("127.0.0.2", 40000), own, tables=(table,))
    assert not is_own(("127.0.0.1", 40001), own, tables=(table,))
    assert not is_own(None, own, tables=(table,))
    assert not is_own(peer, own, tables=(tmp_path / "absent",))
    table.write_text(head + line.format("1" * 32, "1" * 32, os.getuid()))
    assert not is_own(("::1", 40000), ("::1", 8080), tables=(table,))


async def test_a_connection_of_another_user_is_refused(
    web: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "is_own", lambda peer, own: False)
    for path in ("/", "/local/me"):
        answer = await web.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "web-user"), path


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
