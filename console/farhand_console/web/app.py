"""The web console's application: the page, the relay's API, and what only this machine does.

/            the page (`assets.py`); every other address that is not below is the page too
/relay/...   the relay's API with this home's sign-in (`relay_proxy.py`)
/local/...   entering, the key, acts, watches, terminals, files: with this machine's keys
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import JSONBody

from farhand_console.home import Home
from farhand_console.web.acting import act_socket, key_state
from farhand_console.web.assets import page_files
from farhand_console.web.files import change_files, get_file, list_files, put_file
from farhand_console.web.gate import Gate, problem_body, require_cookie
from farhand_console.web.keeping import keep_things, kept_things
from farhand_console.web.recordings import (
    get_screen,
    get_screen_piece,
    hold_recordings,
    open_recording,
    play_recording,
)
from farhand_console.web.relay_proxy import MAX_BODY_BYTES, RelayLine, relay_proxy
from farhand_console.web.screens import screen_socket
from farhand_console.web.session_lines import hold_lines
from farhand_console.web.session_tools import (
    chat_socket,
    held_sessions,
    run_tool,
    take_picture,
    watch_session,
)
from farhand_console.web.terminals import terminal_socket
from farhand_console.web.watching import watch_socket
from farhand_protocol.errors import FarhandError, RefusedError, UsageError

__all__ = ["build_app"]

# What stands behind `/local/`; each area adds its own.
_HANDLERS: Final[list[Any]] = [
    act_socket,
    key_state,
    watch_socket,
    change_files,
    chat_socket,
    get_file,
    get_screen,
    get_screen_piece,
    held_sessions,
    keep_things,
    kept_things,
    list_files,
    open_recording,
    play_recording,
    put_file,
    run_tool,
    screen_socket,
    take_picture,
    terminal_socket,
    watch_session,
]
_BAD, _REFUSED, _FAILED = 400, 403, 502


class Token(msgspec.Struct, forbid_unknown_fields=True):
    """What stood behind `#` in the address that was opened."""

    token: str


class Here(msgspec.Struct):
    """Who works here, and for which relay."""

    account: str
    organisation: str
    relay: str


@get("/local/me")
async def here(home: NamedDependency[Home]) -> Here:
    """Say who this console belongs to; the page asks it first to learn whether it was let in."""
    settings = await asyncio.to_thread(home.settings)
    return Here(account=settings.account, organisation=settings.organisation, relay=settings.url)


def _problem(request: Request[Any, Any, Any], error: FarhandError) -> Response[bytes]:
    status = _FAILED
    if isinstance(error, UsageError):
        status = _BAD
    elif isinstance(error, RefusedError) or error.code.startswith("web-"):
        status = _REFUSED
    elif error.code == "not-found":
        status = 404
    return _answer(error, status)


def _answer(error: FarhandError, status: int) -> Response[bytes]:
    return Response(
        problem_body(error, status),
        status_code=status,
        media_type="application/problem+json",
        headers={"cache-control": "no-store"},
    )


def _http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    code = {404: "not-found", 405: "method-unknown", 413: "too-large"}.get(error.status_code)
    return _answer(FarhandError(code or "invalid", error.detail[:300]), error.status_code)


def build_app(home: Home, gate: Gate) -> Litestar:
    """Return the application; it is served behind `gate.around`.

    Raises:
        FarhandError: `not-signed-in`.
    """
    line = RelayLine(home)

    @post("/local/enter", status_code=204, open=True)
    async def enter(data: JSONBody[Token]) -> Response[None]:
        """Swap the link's token for the cookie."""
        headers = {"set-cookie": gate.enter(data.token), "cache-control": "no-store"}
        return Response(None, headers=headers, status_code=204)

    @asynccontextmanager
    async def lines(app: Litestar) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await line.close()

    app = Litestar(
        route_handlers=[enter, here, relay_proxy, *_HANDLERS, page_files],
        dependencies={"home": Provide(lambda: home, sync_to_thread=False)},
        guards=[require_cookie],
        exception_handlers={FarhandError: _problem, HTTPException: _http_problem},
        lifespan=[lines, hold_lines(home), hold_recordings()],
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    app.state.line = line
    app.state.acts = set()
    app.state.terminals = set()
    return app
