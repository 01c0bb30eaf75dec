"""Who may speak to the web console: one browser of the person who started it, and no other page.

What could reach a port of 127.0.0.1 is every program of this machine, and every web page that the
person has open.  Five things keep them out, for HTTP and for websockets alike:

    user        on Linux the connection must be this user's own (`peers.py`)
    Host        a loopback name: a foreign one that points here (DNS rebinding) is refused
    Origin      our own, for whatever changes something and for every websocket
    cookie      HttpOnly and SameSite=Strict, for everything but the page's own files
    token       in the fragment of the address that was opened, so in no log and no Referer; the
                page swaps it for the cookie, once

A cookie does not know ports, so its name holds ours.  Each answer carries the headers that keep the
page to its own files.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from farhand_console.web.peers import is_own
from farhand_protocol.errors import FarhandError

__all__ = ["Gate", "problem_body", "require_cookie"]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
# Set on a scope whose browser was let in; `require_cookie` asks for it once more behind the router.
_KNOWN: Final = "farhand.known"
_ENTER: Final = "/local/enter"
_GUARDED: Final = ("local", "relay")
# Everything from here and nothing from elsewhere; scripts may neither be written into the page nor
# made of text (WebAssembly may: the player of recordings is such a file of ours), and it can be
# framed by nobody.
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
)
_FORBIDDEN: Final = 403
_POLICY_VIOLATION: Final = 1008


def problem_body(error: FarhandError, status: int) -> bytes:
    """Return an error as the relay's API writes them (RFC 9457, with our code)."""
    words = {"status": status, "code": error.code, "detail": error.message, "hint": error.hint}
    return msgspec.json.encode(words)


class Gate:
    """Stands before the application; made once per start.

    Args:
        port: of the listener, for the cookie's name.
    """

    def __init__(self, port: int) -> None:
        self._cookie = f"farhand-web-{port}"
        self._key = secrets.token_urlsafe(32)
        self._token: str | None = None

    def new_token(self) -> str:
        """Return the token of a fresh link; the one before it is worth nothing from now on."""
        self._token = secrets.token_urlsafe(32)
        return self._token

    def enter(self, token: str) -> str:
        """Swap the token for a Set-Cookie value.

        Raises:
            FarhandError: `web-token-used` when it is not the one of the last link, or was used.
        """
        known = self._token
        if known is None or not hmac.compare_digest(known.encode(), token.encode()):
            raise FarhandError(
                "web-token-used",
                "this link was used already, or is none of this console's",
                hint="press Enter where `farhand web` runs for a new link",
            )
        self._token = None
        return f"{self._cookie}={self._key}; Path=/; HttpOnly; SameSite=Strict"

    def around(self, app: App) -> App:
        """Return the application with this gate before it."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            error = self._refusal(scope)
            if error is None:
                await app(scope, receive, _with_headers(send))
            elif scope["type"] == "websocket":
                await receive()
                # Closed before it is accepted: the browser sees 403.
                await send(
                    {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.code}
                )
            else:
                await _refuse(error, _with_headers(send))

        return guarded

    def _refusal(self, scope: Scope) -> FarhandError | None:
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        host = headers.get(b"host", b"").decode("latin-1")
        if host.rpartition(":")[0] not in _LOOPBACK and host not in _LOOPBACK:
            return FarhandError("web-host", "this console answers to no such name")
        is_socket = scope["type"] == "websocket"
        changes = is_socket or scope["method"] not in ("GET", "HEAD")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if (changes or origin) and origin != f"http://{host}":
            return FarhandError("web-origin", "another page may not speak to this console")
        if not is_own(scope.get("client"), scope.get("server")):
            return FarhandError("web-user", "this console is another user's of this machine")
        scope[_KNOWN] = self._knows(headers.get(b"cookie", b"").decode("latin-1"))
        # Without a cookie there is the page itself, which shows nothing before it has one, and the
        # way in.  However often a path says `/`, the router takes it for once.
        words = [word for word in scope["path"].split("/") if word]
        is_page = not changes and (not words or words[0] not in _GUARDED)
        if scope[_KNOWN] or is_page or (not is_socket and scope["path"] == _ENTER):
            return None
        return _not_let_in()

    def _knows(self, cookies: str) -> bool:
        try:
            found = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._key.encode())


def _not_let_in() -> FarhandError:
    return FarhandError(
        "web-not-signed-in",
        "this browser has not been let in",
        hint="open the link that `farhand web` printed; Enter there makes a new one",
    )


def require_cookie(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Ask again, once it is known which handler a path leads to: only `open` ones need no cookie.

    Raises:
        FarhandError: `web-not-signed-in`.
    """
    if not (handler.opt.get("open") or connection.scope.get(_KNOWN)):
        raise _not_let_in()


def _with_headers(send: Send) -> Send:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            given = {bytes(name).lower() for name, _ in message["headers"]}
            more = [(name, value) for name, value in _HEADERS if name not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


async def _refuse(error: FarhandError, send: Send) -> None:
    body = problem_body(error, _FORBIDDEN)
    await send(
        {
            "type": "http.response.start",
            "status": _FORBIDDEN,
            "headers": [
                (b"content-type", b"application/problem+json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
