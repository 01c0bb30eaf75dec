"""Who may use the local page: the browser that was given the way in, and nobody else here.

    way in    a one-use ticket in the URL, `WAY_IN_S` long
    cookie    what the ticket is swapped for: HttpOnly, SameSite=Strict, for this page's path alone
    Host      exactly 127.0.0.1 and this port, so that no name can be bound to it
    Origin    of this page, on everything that changes something
    user      this one's own connections alone, where the system tells (peers.py)

Cookies of 127.0.0.1 go to every port there; the path, which is drawn anew at each start, keeps this
one from other programs' pages.  Not a defence against this user's own programs, which could as well
be the browser.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final

from farhand_agent.desktop.exchange import Answer, Request, see_other
from farhand_protocol.errors import RefusedError, RemoteError

__all__ = ["COOKIE", "MAX_WAYS_IN", "WAY_IN_S", "Gate"]

COOKIE: Final = "farhand_page"
WAY_IN_S: Final = 300.0
MAX_WAYS_IN: Final = 8


class Gate:
    """The door of one page.

    Args:
        port: that it listens on.
        now: a steady clock.
    """

    def __init__(self, port: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._host = f"127.0.0.1:{port}"
        self._cookie = secrets.token_urlsafe(32)
        self._tickets: dict[str, float] = {}
        self.base = f"/{secrets.token_urlsafe(12)}/"

    @property
    def origin(self) -> str:
        """Return where the page lives."""
        return f"http://{self._host}"

    def way_in(self) -> str:
        """Return an address that lets one browser in, once."""
        now = self._now()
        live = {one: until for one, until in self._tickets.items() if until > now}
        while len(live) >= MAX_WAYS_IN:
            del live[next(iter(live))]
        ticket = secrets.token_urlsafe(32)
        self._tickets = {**live, ticket: now + WAY_IN_S}
        return f"{self.origin}{self.base}enter?ticket={ticket}"

    def enter(self, request: Request) -> Answer:
        """Swap a ticket for the cookie.

        Raises:
            RefusedError: `page-ticket` when it was used, is too old, or was never one.
        """
        until = self._tickets.pop(request.query.get("ticket", ""), None)
        if until is None or until <= self._now():
            raise RefusedError("page-ticket", "this address was used already, or is too old")
        value = f"{COOKIE}={self._cookie}; Path={self.base}; HttpOnly; SameSite=Strict"
        return see_other(self.base, **{"Set-Cookie": value})

    def check_host(self, request: Request) -> None:
        """Check whose browser it is and where it believes to be.

        Raises:
            RefusedError: `page-user`.
            RemoteError: `page-host`.
        """
        if request.user not in (None, os.getuid()):
            raise RefusedError("page-user", "this is another user's page")
        if request.headers.get("host", "") != self._host:
            raise RemoteError("page-host", "this page is at 127.0.0.1 alone")

    def check(self, request: Request) -> None:
        """Check who asks, and from where.

        Raises:
            RefusedError: `page-cookie`.
            RemoteError: `page-origin`.
        """
        try:
            morsel = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None  # what cannot be read lets nobody in
        given = morsel.value if morsel is not None else ""
        if not hmac.compare_digest(given.encode(), self._cookie.encode()):
            raise RefusedError("page-cookie", "this browser was not given the way in")
        if request.method != "GET" and request.headers.get("origin") != self.origin:
            raise RemoteError("page-origin", "another page asks for this")
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise RemoteError("page-origin", "another page asks for this")
