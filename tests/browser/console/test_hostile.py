"""Hostile words in every field that the page is told: inert on every page.

Everything that the page shows of devices, mails, chats and people comes through its two lines to
the backend, so each text on them is made hostile on its way: markup that would run, braces of
templates, escapes of terminals, turned and hidden letters, ten thousand characters without a space.
What is left alone is what the page decides by: ids, states, times.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute

from tests.browser.console.conftest import Desk, OpenPage, go, settled
from tests.support.browser import PHONE

MARKUP = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>b</b>"
)
TRICKS = (
    f"{MARKUP} \u202egpj.exe \u2066hidden\u2069 {{{{7*7}}}} ${{7*7}} {{@html 'x'}} "
    "\u001b]0;owned\u0007\u001b[2J \u009b31m javascript:alert(1) http://evil.example/x"
)
LONG = "x" * 10_000
_TIME = re.compile(r"\d{4}-\d\d-\d\dT")
_WORD = re.compile(r"[a-z0-9_-]{0,40}\Z")
# What addresses, keys of lists and decisions are made of.
_KEPT = {
    *("id", "number", "ticket", "device", "session", "campaign", "script", "slug", "state", "kind"),
    *("status", "role", "account", "next", "cursor", "version", "month", "language", "sha256"),
    *("risk", "severity", "code", "type", "op", "section", "public_key", "fingerprint", "queue"),
    *("from", "to", "zone", "revision", "organisation_id", "tenant"),
}


def made_hostile(value: Any, words: str, key: str = "") -> Any:
    """Return a JSON value with every free text in it made hostile."""
    if isinstance(value, dict):
        return {name: made_hostile(one, words, name) for name, one in value.items()}
    if isinstance(value, list):
        return [made_hostile(one, words, key) for one in value]
    if isinstance(value, str) and key not in _KEPT and not _TIME.match(value):
        # A short plain word may be one that the page decides by; a free text may look like it.
        return f"{value} {words}" if not _WORD.match(value) or key in _FREE else value
    return value


_FREE = {
    *(
        "title",
        "name",
        "body",
        "summary",
        "plain",
        "note",
        "reason",
        "requester",
        "owner",
        "author",
    ),
    *("host_name", "model", "vendor", "serial", "description", "words", "text", "value", "detail"),
    *("operator", "purpose", "message", "label", "address", "group", "tags", "created_by", "actor"),
}


def _through(page: Page, words: str) -> None:
    """Make what the page is told hostile, on both of its lines."""

    def answered(route: Route) -> None:
        answer = route.fetch()
        if "json" not in answer.headers.get("content-type", ""):
            route.fulfill(response=answer)
            return
        body = json.dumps(made_hostile(answer.json(), words))
        route.fulfill(response=answer, body=body)

    def told(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def hostile(message: str | bytes) -> None:
            socket.send(json.dumps(made_hostile(json.loads(message), words)))

        server.on_message(hostile)

    page.route("**/relay/**", answered)
    page.route_web_socket("**/local/watch", told)


@pytest.mark.parametrize("words", [TRICKS, LONG], ids=["tricks", "long"])
def test_hostile_words_are_inert_on_every_page(
    desk: Desk, places: dict[str, str], open_page: OpenPage, words: str
) -> None:
    one = open_page("/queue", console=desk.admin, size=PHONE if words is LONG else (1280, 800))
    page = one.page
    _through(page, words)
    page.reload()
    faults: list[str] = []
    seen = 0
    for pattern, address in places.items():
        go(page, address)
        settled(page)
        found: dict[str, Any] = page.evaluate(
            """() => ({
                made: document.querySelectorAll('img[src=x], main script, b').length,
                links: [...document.querySelectorAll('a')].filter(
                    (a) => !a.href.startsWith(location.origin)).map((a) => a.href),
                turned: /[\\u202a-\\u202e\\u2066-\\u2069\\u001b]/.test(document.body.innerText),
                wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                shown: /<img src=x|xxxxxxxxxx/.test(document.body.innerText)})"""
        )
        seen += bool(found.pop("shown"))
        wide = page.evaluate(
            """() => [...document.querySelectorAll('main *')]
                .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
                .slice(0, 4).map((e) => `${e.tagName}.${e.className}`)"""
        )
        if found != {"made": 0, "links": [], "turned": False, "wide": 0}:
            faults.append(f"{pattern}: {found} {wide}")
        if "owned" in page.title():
            faults.append(f"{pattern}: a script ran")
        faults += [f"{pattern}: {fault}" for fault in one.faults]
        one.faults.clear()
    assert not faults, "\n".join(faults)
    assert seen >= len(places) // 2, "the words arrived on few pages"
