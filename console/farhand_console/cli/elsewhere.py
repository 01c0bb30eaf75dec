"""Signing in with an account elsewhere: the browser goes there, this program waits on loopback.

As RFC 8252 has it for programs on a person's machine: a port on 127.0.0.1 for this one sign-in, a
state that must come back, and a verifier (RFC 7636) that never leaves this process, so that what
comes back is of use to nobody else.  Where the browser is on another machine the last page shows
what is to be typed here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from farhand_console.cli.typed import type_secret
from farhand_console.output import say
from farhand_console.relay import Relay
from farhand_console.relay.answers import Begun, SignInAnswer
from farhand_protocol.errors import FarhandError

__all__ = ["sign_in_elsewhere"]

_WAIT_S = 600.0
_PATH = "/farhand"
_MAX_LINE = 4000
_DONE = b"You are signed in; this window can be closed.\n"


class _Loopback(HTTPServer):
    """Waits for one browser to come back with the right state; `ticket` is what it brought."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Return)
        self.timeout = 1.0
        self.state = state
        self.ticket = ""

    @property
    def address(self) -> str:
        """Return where the browser is to come back to."""
        return f"http://127.0.0.1:{self.server_port}{_PATH}"


class _Return(BaseHTTPRequestHandler):
    server: _Loopback
    timeout = 5.0  # a program that connects and says nothing holds nobody up

    def do_GET(self) -> None:
        """Take the ticket, if it is for this sign-in."""
        parts = urlsplit(self.path[:_MAX_LINE])
        asked = parse_qs(parts.query, max_num_fields=10)
        state, code = asked.get("state", [""])[0], asked.get("code", [""])[0]
        is_ours = hmac.compare_digest(state.encode(), self.server.state.encode())
        if parts.path != _PATH or not is_ours or not code:
            self.send_error(404)
            return
        self.server.ticket = code
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(_DONE)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(_DONE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's word
        """Write nothing: the request's line holds the ticket."""


def sign_in_elsewhere(relay: Relay, *, with_browser: bool) -> SignInAnswer:
    """Sign in by a browser.

    Args:
        relay: not signed in.
        with_browser: open one here and wait; without, ask for what its last page shows.

    Raises:
        FarhandError: `sign-in-timeout`, and what the relay answers.
    """
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    if not with_browser:
        say(f"open this in a browser: {_begin(relay, verifier, '', state)}")
        ticket = type_secret("what the last page shows").strip()
    else:
        with _Loopback(state) as server:
            url = _begin(relay, verifier, server.address, state)
            say(f"your browser opens {url}")
            webbrowser.open(url)
            ticket = _wait(server)
    body = {"code": ticket, "verifier": verifier}
    return relay.post("/sign-in/oidc/finish", SignInAnswer, body)


def _begin(relay: Relay, verifier: str, redirect: str, state: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    body = {"redirect": redirect, "state": state, "challenge": challenge}
    url = relay.post("/sign-in/oidc", Begun, body).url
    if not url.startswith(relay.url + "/"):
        raise FarhandError("relay-answer", "the relay sends the browser to another address")
    return url


def _wait(server: _Loopback) -> str:
    until = time.monotonic() + _WAIT_S
    while not server.ticket:
        if time.monotonic() > until:
            raise FarhandError(
                "sign-in-timeout",
                "nobody came back from the browser",
                hint="--no-browser where the browser is on another machine",
            )
        server.handle_request()
    return server.ticket
