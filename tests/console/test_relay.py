"""Calls to a relay that answers as badly as HTTP allows."""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from farhand_console.relay import Relay, check_url, segments
from farhand_console.relay.answers import Account, Page, PipeToken
from farhand_protocol.errors import FarhandError, RefusedError

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers every request as the test said."""

    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        self.server.answers.pop(0)(self)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A relay of the test's own making."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.answers: list[Answer] = []

    def says(self, status: int, body: bytes | object, **headers: str) -> None:
        """Answer the next request so."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)

        def answer(handler: Handler) -> None:
            handler.send_response(status)
            for name, value in ({"content-length": str(len(data))} | headers).items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(data)

        self.answers.append(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    """A hostile relay on a free port."""
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    """Our side of it."""
    made = Relay(f"http://127.0.0.1:{server.server_port}", "the-token", None)
    yield made
    made.close()


def test_bytes_and_queries_travel_as_the_api_has_them(server: Server, relay: Relay) -> None:
    token = {"url": "ws://x", "token": base64.b64encode(b"\xff" * 16).decode(), "later": 1}
    server.says(200, token)
    assert relay.get("/x", PipeToken, q="a b&c", none=None).token == b"\xff" * 16
    _, path, headers = server.seen[0]
    assert path == "/api/v1/x?q=a+b%26c"
    assert headers["authorization"] == "Bearer the-token"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b'{"items": 3}', b'{"items": [{}]}', b"[" * 100_000, b"\xff\xfe"],
)
def test_another_shape_is_an_error_with_a_code(server: Server, relay: Relay, body: bytes) -> None:
    server.says(200, body)
    with pytest.raises(FarhandError, match="relay-answer"):
        relay.get("/accounts", Page[Account])


def test_an_error_has_the_relays_code_or_none(server: Server, relay: Relay) -> None:
    server.says(403, {"code": "not-permitted", "detail": "no", "hint": "ask"})
    with pytest.raises(FarhandError) as caught:
        relay.get("/x", dict)
    assert (caught.value.code, caught.value.hint, caught.value.exit_code) == (
        "not-permitted", "ask", 3,
    )  # fmt: skip
    # What a retired device is called does not depend on who noticed it.
    for code in ("consent-refused", "device-retired"):
        server.says(409, {"code": code, "detail": "no"})
        with pytest.raises(RefusedError):
            relay.get("/x", dict)
    for body in (
        b"<html>",
        {"code": "\x1b[31m"},
        {"code": 3},
        {"code": "a" * 100},
        {"code": "ok", "detail": []},
    ):
        server.says(500, body)
        with pytest.raises(FarhandError, match="relay-answer"):
            relay.get("/x", dict)


def test_a_redirect_is_not_followed(server: Server, relay: Relay) -> None:
    server.says(302, b"", location="http://127.0.0.1:1/")
    with pytest.raises(FarhandError, match="relay-answer"):
        relay.get("/x", dict)
    assert len(server.seen) == 1


def test_a_bomb_a_flood_and_a_trickle(
    server: Server, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says(200, gzip.compress(b" " * 1_000_000), content_encoding="gzip")
    with pytest.raises(FarhandError, match="relay-answer"):
        relay.get("/x", dict)
    monkeypatch.setattr("farhand_console.relay.calls._MAX_ANSWER_BYTES", 100_000)
    server.says(200, b" " * 100_001)
    with pytest.raises(FarhandError, match="too large"):
        relay.get("/x", dict)
    late = iter([0.0, 1000.0, 1000.0])
    monkeypatch.setattr("farhand_console.relay.calls.time.monotonic", lambda: next(late))
    server.says(200, {})
    with pytest.raises(FarhandError, match="relay-timeout"):
        relay.get("/x", dict)


def test_a_lost_connection_is_tried_once_more_with_the_same_key(
    server: Server, relay: Relay
) -> None:
    def hang_up(handler: Handler) -> None:
        handler.close_connection = True
        handler.connection.close()

    server.answers.append(hang_up)
    server.says(200, {"ok": True})
    assert relay.post("/x", dict, {}) == {"ok": True}
    keys = [headers["idempotency-key"] for _, _, headers in server.seen]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    server.answers += [hang_up, hang_up]
    with pytest.raises(FarhandError, match="relay-lost"):
        relay.post("/x", dict, {})


def test_a_list_without_an_end(server: Server, relay: Relay) -> None:
    page = {"items": [{"a": 1}], "next": "again"}
    server.says(200, page)
    server.says(200, page)
    with pytest.raises(FarhandError, match="does not come to an end"):
        list(relay.pages("/x", dict))
    server.says(200, {"items": [], "next": "more"})
    with pytest.raises(FarhandError, match="does not come to an end"):
        list(relay.pages("/x", dict))
    server.says(200, {"items": [1], "next": "b"})
    server.says(200, {"items": [2], "next": None})
    assert list(relay.pages("/x", int)) == [1, 2]


def test_words_never_become_paths() -> None:
    assert segments("devices", "a/../b?c#d e", 3) == "/devices/a%2F..%2Fb%3Fc%23d%20e/3"
    for word in ("", ".", "..", "...", "x" * 401):
        with pytest.raises(FarhandError, match="not-found"):
            segments("devices", word)


def test_addresses() -> None:
    assert check_url(" https://Relay.example:8443/ ") == "https://relay.example:8443"
    assert check_url("http://[::1]:80") == "http://[::1]:80"
    for wrong in (
        "", "relay", "ftp://x", "https://", "https://x:y", "https://[::1", "https://u@x",
        "https://x/path", "https://x?q", "https://x:99999",
    ):  # fmt: skip
        with pytest.raises(FarhandError, match="url-malformed"):
            check_url(wrong)
    with pytest.raises(FarhandError, match="url-insecure"):
        check_url("http://relay.example")


def test_nobody_listens() -> None:
    relay = Relay("http://127.0.0.1:1", None, None)
    with pytest.raises(FarhandError, match="relay-unreachable"):
        relay.get("/x", dict)
    relay.close()
