"""The browser comes back to a port of this machine: with the right state, and with nothing else."""

from __future__ import annotations

import http.client
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest

from farhand_console.cli import elsewhere
from farhand_console.relay.answers import Begun, SignInAnswer
from farhand_protocol.errors import FarhandError


class _Relay:
    """Notes what it was asked, and answers as a relay does."""

    url = "http://127.0.0.1:1"

    def __init__(self, begun: str = "http://127.0.0.1:1/begin/x") -> None:
        self.begun = begun
        self.asked: dict[str, Any] = {}
        self.finished: dict[str, Any] = {}

    def post(self, path: str, kind: type[Any], body: dict[str, Any]) -> Any:
        if path.endswith("/finish"):
            self.finished = body
            return SignInAnswer(pending="p")
        self.asked = body
        assert kind is Begun
        return Begun(url=self.begun)


def _ask(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_browser_that_brings_the_state_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = _Relay()
    seen: list[int] = []
    browsers: list[threading.Thread] = []

    def browse(_url: str) -> bool:
        went = urlsplit(relay.asked["redirect"])
        assert went.hostname == "127.0.0.1"
        port, state = int(went.port or 0), relay.asked["state"]

        def come_back() -> None:
            for path in (
                "/",
                f"{went.path}?state={state}",
                f"{went.path}?code=stolen&state=other",
                f"/other?code=stolen&state={state}",
                f"{went.path}?code=ticket&state={state}",
            ):
                seen.append(_ask(port, path))

        browsers.append(threading.Thread(target=come_back))
        browsers[0].start()
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    answer = elsewhere.sign_in_elsewhere(relay, with_browser=True)  # type: ignore[arg-type]
    browsers[0].join(timeout=20)
    assert answer.pending == "p"
    assert seen == [404, 404, 404, 404, 200]
    assert relay.finished["code"] == "ticket"
    assert len(relay.finished["verifier"]) >= 43
    assert relay.finished["verifier"] not in str(relay.asked), "only its hash goes ahead"


def test_without_a_browser_the_ticket_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = _Relay()
    monkeypatch.setattr(elsewhere, "type_secret", lambda words: " ticket \n")
    elsewhere.sign_in_elsewhere(relay, with_browser=False)  # type: ignore[arg-type]
    assert relay.asked["redirect"] == ""
    assert relay.finished["code"] == "ticket"


def test_a_relay_cannot_send_the_browser_elsewhere() -> None:
    relay = _Relay("http://127.0.0.1:1.evil.example/begin")
    with pytest.raises(FarhandError, match="relay-answer"):
        elsewhere.sign_in_elsewhere(relay, with_browser=False)  # type: ignore[arg-type]
