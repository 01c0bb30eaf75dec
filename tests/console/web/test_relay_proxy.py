"""The relay's API through the web console: this home's sign-in, and nothing shown as a page."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest

from farhand_console.home import Home
from farhand_console.web import relay_proxy
from farhand_protocol.errors import FarhandError
from tests.console.web.backend import Answer, Backend, json_answer
from tests.support.stage import free_port


async def test_a_call_arrives_with_this_homes_sign_in(web: Backend) -> None:
    web.relay.answers = lambda method, address: json_answer({"items": [], "next": None})
    answer = await web.http.get("/relay/tickets?q=a%20b&limit=5")
    assert answer.json() == {"items": [], "next": None}
    method, address, headers, _ = web.relay.asked[0]
    assert (method, address) == ("GET", "/api/v1/tickets?q=a%20b&limit=5")
    assert headers["authorization"] == "Bearer secret-api-token"
    assert "cookie" not in headers
    assert "secret-api-token" not in answer.text


async def test_a_change_keeps_its_revision_and_its_key(web: Backend) -> None:
    given = {"if-match": '"4"', "idempotency-key": "k" * 32, "authorization": "Bearer mine"}
    body = {"body": "It prints again."}
    await web.http.post("/relay/tickets/FH-1/messages", json=body, headers=given)
    method, address, headers, content = web.relay.asked[0]
    assert (method, address) == ("POST", "/api/v1/tickets/FH-1/messages")
    assert headers["if-match"] == '"4"'
    assert headers["idempotency-key"] == "k" * 32
    assert headers["authorization"] == "Bearer secret-api-token"
    assert json.loads(content) == body


async def test_a_refusal_keeps_its_status_and_words(web: Backend) -> None:
    told = {"code": "revision-old", "detail": "somebody was quicker", "hint": None}
    web.relay.answers = lambda method, address: json_answer(told, 412)
    answer = await web.http.post("/relay/tickets/FH-1/assign", json={})
    assert (answer.status_code, answer.json()) == (412, told)


async def test_nothing_but_the_api_is_reached(web: Backend) -> None:
    for path in (
        "/relay/../../metrics",
        "/relay/..%2f..%2fmetrics/../x",
        "/relay/tickets/../../../metrics",
        "/relay//tickets",
        "/relay/./tickets",
        "/relay/",
        "/relay/sign-in",
        "/relay/sign-in/link",
        "/relay/sign-out",
        # The relay undoes the percent signs.
        "/relay/%73ign-in",
        "/relay/sign%2Din/link",
        "/relay/tickets/%2e%2e/%2e%2e/%2e%2e/metrics",
        "/relay/tickets/..%2f..%2f..%2fmetrics",
        "/relay/tickets%5c..%5cx",
    ):
        # httpx would tidy the path; a hostile page's browser may not.
        request = web.http.build_request("POST", "/relay/x", json={})
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await web.http.send(request)
        assert answer.status_code < 500, path
    for _, address, _, _ in web.relay.asked:
        address = unquote(address)
        assert address.startswith("/api/v1/")
        assert "/../" not in address
        assert "sign-" not in address


def _answer(headers: dict[str, str], content: bytes, method: str, address: str) -> Answer:
    return 200, headers, content


async def test_what_is_not_json_is_a_file_to_keep(web: Backend) -> None:
    content = b"<script>alert(1)</script>"
    for kind in ("text/html", "image/svg+xml", "text/xml", "application/xhtml+xml"):
        given = {"content-type": kind}
        web.relay.answers = partial(_answer, given, content)
        answer = await web.http.get("/relay/tickets/FH-1/export?format=html")
        assert answer.content == content
        assert answer.headers["content-disposition"] == "attachment", kind
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_files_name_comes_through_and_nothing_else_does(web: Backend) -> None:
    given = {
        "content-type": "application/mbox",
        "content-disposition": 'attachment; filename="FH-1.mbox"',
        "set-cookie": "a=b",
        "access-control-allow-origin": "*",
    }
    web.relay.answers = lambda method, address: (200, given, b"From x")
    answer = await web.http.get("/relay/tickets/FH-1/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="FH-1.mbox"'
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


async def test_an_inline_answer_becomes_a_file(web: Backend) -> None:
    given = {"content-type": "text/html", "content-disposition": "inline; filename=x.html"}
    web.relay.answers = lambda method, address: (200, given, b"<h1>x</h1>")
    answer = await web.http.get("/relay/tickets/FH-1/export")
    assert answer.headers["content-disposition"] == "attachment"


async def test_an_endless_answer_is_given_up(web: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_proxy, "MAX_ANSWER_BYTES", 1000)
    web.relay.answers = lambda method, address: json_answer({"items": ["x" * 2000]})
    answer = await web.http.get("/relay/tickets")
    assert (answer.status_code, answer.json()["code"]) == (502, "relay-answer")


async def test_no_relay_is_a_problem_with_a_code(web: Backend, tmp_path: Path) -> None:
    home = Home(tmp_path / "elsewhere")
    home.save(msgspec.structs.replace(web.home.settings(), url=f"http://127.0.0.1:{free_port()}"))
    line = relay_proxy.RelayLine(home)
    with pytest.raises(FarhandError) as refused:
        await line.call("GET", "/tickets")
    await line.close()
    assert refused.value.code == "relay-unreachable"
