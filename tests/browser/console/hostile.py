"""Words that try to run, hide, turn around or overflow, and the lines that carry them to the page.

made_hostile   a JSON answer with every free text in it made so; what the page decides by stays
through        all lines of the page to the backend: calls, watches and acts, in such words
refused        whatever the page asks, it is refused in such words
inert          what on the page as it stands is not inert, one line each
"""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute

from tests.support.browser import DESKTOP, PHONE, layout_faults

__all__ = ["LONG", "TRICKS", "inert", "made_hostile", "refused", "through"]

_MARKUP = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>b</b>"
)
# Embeddings, overrides, isolates, marks, separators, the soft hyphen, tags, joiners, fillers.
_TURNED = "".join(
    map(
        chr,
        [
            *(*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C),
            *(0x2028, 0x2029, 0x00AD, 0xE0001, 0xE0041, 0x200B, 0x2060, 0x3164, 0xFEFF),
        ],
    )
)
TRICKS = (
    f"{_MARKUP} \u202egpj.exe {_TURNED} {{{{7*7}}}} ${{7*7}} {{@html 'x'}} "
    "\0 \u001b]0;owned\u0007\u001b[2J\u001b]8;;http://evil.example\u0007 \u009b31m "
    "javascript:alert(1) http://evil.example/x \u05d0\u05d1 x" + "\u0301" * 300
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
# A short plain word may be one that the page decides by; in these fields it is not.
_FREE = {
    *("title", "name", "body", "summary", "plain", "note", "reason", "requester", "owner"),
    *("host_name", "model", "vendor", "serial", "description", "words", "text", "value", "detail"),
    *("operator", "purpose", "message", "label", "address", "group", "tags", "created_by", "actor"),
    "author",
}
_REPORT = r"""() => {
  const raw = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u3164]|\p{M}{6}/u;
  const said = ['title', 'aria-label', 'placeholder', 'alt', 'aria-description'];
  const faults = [];
  const look = (e, what, text, most) => {
    if (raw.test(text)) faults.push(`${what} of ${e.tagName}.${e.className} is as it came`);
    if (text.length > most) faults.push(`${what} of ${e.tagName}.${e.className}: ${text.length}`);
  };
  for (const e of document.body.querySelectorAll('*')) {
    // A terminal draws each character in a cell, where it turns nothing.
    if (e.closest('script, style, .xterm, .ap-term')) continue;
    for (const one of e.childNodes) if (one.nodeType === 3) look(e, 'the text', one.data, 12000);
    for (const name of said) look(e, name, e.getAttribute(name) ?? '', 3000);
  }
  for (const a of document.querySelectorAll('a[href]')) {
    if (new URL(a.href).origin !== location.origin) faults.push(`leads to ${a.href.slice(0, 80)}`);
  }
  const made = document.querySelectorAll('img[src=x], main script, b, iframe, object').length;
  if (made) faults.push(`${made} elements were made`);
  if (!/^[ -~\u2013]*$/.test(document.title) || /owned/.test(document.title)) {
    faults.push(`the title is ${document.title}`);
  }
  return faults.slice(0, 20);
}"""


def made_hostile(value: Any, words: str, key: str = "") -> Any:
    """Return a JSON value with every free text in it made hostile."""
    if isinstance(value, dict):
        return {name: made_hostile(one, words, name) for name, one in value.items()}
    if isinstance(value, list):
        return [made_hostile(one, words, key) for one in value]
    if isinstance(value, str) and key not in _KEPT and not _TIME.match(value):
        return f"{value} {words}" if not _WORD.match(value) or key in _FREE else value
    return value


def through(page: Page, words: str) -> None:
    """Make what the page is told hostile, on each of its lines."""

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
    page.route_web_socket("**/local/act", told)


def refused(page: Page, words: str) -> None:
    """Refuse whatever the page asks, in hostile words; who works here is known all the same."""
    problem = {"code": words, "detail": words, "message": words, "hint": words}

    def answered(route: Route) -> None:
        if route.request.url.endswith("/relay/me"):
            route.continue_()
            return
        body = json.dumps(problem)
        route.fulfill(status=409, content_type="application/problem+json", body=body)

    def watching(socket: WebSocketRoute) -> None:
        def asked(message: str | bytes) -> None:
            which = json.loads(message).get("watch")
            if which is not None:
                socket.send(json.dumps({"id": which, "problem": problem}))

        socket.on_message(asked)

    def acting(socket: WebSocketRoute) -> None:
        def asked(_message: str | bytes) -> None:
            socket.send(json.dumps({"say": words}))
            socket.send(json.dumps({"end": 1, "error": problem}))

        socket.on_message(asked)

    page.route("**/relay/**", answered)
    page.route_web_socket("**/local/watch", watching)
    page.route_web_socket("**/local/act", acting)


def inert(page: Page, where: str) -> list[str]:
    """Return what on a page is made of hostile words, leads away, lies or spoils the layout."""
    faults = [f"{where}: {fault}" for fault in page.evaluate(_REPORT)]
    for width, height in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        faults += [f"{where} at {width}: {fault}" for fault in layout_faults(page)]
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    return faults
