"""A session whose device lies in whatever it may say; its relay and its console are honest.

Everything that a session's page asks of the device goes over lines of its own to the backend, so
the device is played there: files, tools, chat, terminals, looking on, and a recording.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute

__all__ = ["DRAWN", "QUERIES", "LyingDevice"]

# What a program may print to have a terminal do something.
QUERIES = (
    "\x1b]0;owned\x07\x1b]1;owned\x07\x1b]2;owned\x07\x1b[20t\x1b[21t\x1b[22;0t\x1b[23;0t"
    "\x1b]52;c;b3duZWQ=\x07\x1b]52;c;?\x07\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07"
    "\x1b]4;1;?\x07\x1b]10;?\x07\x1b]11;?\x07\x1b]12;?\x07\x1b]10;#101010\x07\x1b]11;#101010\x07"
    "\x1b]104\x07\x1b]110\x07\x1b]7;file:///owned\x07\x1b]9;owned\x07\x1b]777;notify;a;owned\x07"
    "\x1b]99;;owned\x07\x1b]133;A\x07\x1b]633;E;owned\x07\x1b]1337;File=inline=1:b3duZWQ=\x07"
    "\x1bP$qm\x1b\\\x1bP$qowned\r\x1b\\\x1bP+q6f776e6564\x1b\\\x1b_Gowned\x1b\\\x1b^owned\x1b\\"
    "\x1b[8;3;3t\x1b[3;0;0t\x1b[14t\x1b[18t\x1b[19t\x1b[>q\x05\x07"
)
# What programs cannot do without, answered in figures.
_REPORTS = "\x1b[c\x1b[>c\x1b[5n\x1b[6n\x1b[?6n\x1b[?25$p\x1b[4$p"
DRAWN = "the end of what was drawn"


class LyingDevice:
    """The far end of a session, as it looks to the page.

    Attributes:
        typed: what reached the shell, keys and answers of the terminal.
        mode: as in a session's record; "peer" looks on as well.
    """

    def __init__(self, page: Page, session: str, device: str, words: str) -> None:
        self.session = session
        self.device = device
        self.words = words
        self.mode = ""
        self.typed = b""
        page.route("**/local/sessions", self._held)
        page.route(re.compile(r"/local/sessions/[^/]+/files(\?|$)"), self._files)
        page.route(re.compile(r"/local/sessions/[^/]+/file\?"), self._file)
        page.route("**/local/sessions/*/tool", self._tool)
        page.route("**/local/sessions/*/picture", self._refuse)
        page.route("**/local/recordings/*/open", self._opened)
        page.route("**/local/recordings/*/casts/*", self._cast)
        page.route_web_socket("**/local/watch", self._watched)
        page.route_web_socket("**/local/act", self._acted)
        page.route_web_socket("**/local/sessions/*/terminal", self._terminal)
        page.route_web_socket("**/local/sessions/*/chat", self._chat)
        page.route_web_socket("**/local/sessions/*/watch", self._shown)

    def _watched(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        paths: dict[int, str] = {}

        def asked(message: str | bytes) -> None:
            wish = json.loads(message)
            if "watch" in wish:
                paths[wish["watch"]] = wish["path"]
            server.send(message)

        def told(message: str | bytes) -> None:
            answer = json.loads(message)
            path = paths.get(answer.get("id"), "")
            if path == f"/sessions/{self.session}" and "body" in answer:
                answer["body"] |= {"state": "active", "scopes": ["view", "terminal", "files"]}
                answer["body"] |= {"expires_at": _soon(), "purpose": self.words}
            elif path == f"/recordings/{self.session}":
                answer.pop("problem", None)
                answer["body"] = self._recording()
            socket.send(json.dumps(answer))

        socket.on_message(asked)
        server.on_message(told)

    def _recording(self) -> dict[str, Any]:
        return {
            "session": self.session, "device": self.device, "operator": self.words,
            "chunks": 3, "size_bytes": 4000, "started_at": _soon(), "expires_at": _soon(),
            "erased_at": None, "complete": True, "dropped_bytes": 0,
        }  # fmt: skip

    def _held(self, route: Route) -> None:
        one = {
            "session": self.session, "device": self.device, "device_name": self.words,
            "guest": False, "scopes": ["view", "terminal", "files"], "expires": _soon(),
            "ticket": self.words, "operator": self.words, "mode": self.mode,
            "words": [self.words] * 4,
        }  # fmt: skip
        route.fulfill(json={"items": [one]})

    def _acted(self, socket: WebSocketRoute) -> None:
        allows = {
            "group": self.words, "without_code": True, "consent": self.words, "minutes_max": 30,
            "files_read_only": False, "forward_to": [self.words],
            "scopes": [{"scope": "screen"}, {"scope": "control", "reason": self.words}],
        }  # fmt: skip

        def asked(message: str | bytes) -> None:
            socket.send(json.dumps({"say": self.words}))
            if json.loads(message)["act"] == "device-allows":
                socket.send(json.dumps({"answer": allows}))
                socket.send(json.dumps({"end": 0}))
            else:
                error = {"code": self.words, "message": self.words, "hint": self.words}
                socket.send(json.dumps({"end": 1, "error": error}))

        socket.on_message(asked)

    def _refuse(self, route: Route) -> None:
        route.fulfill(status=409, json={"code": self.words, "message": self.words, "hint": None})

    def _files(self, route: Route) -> None:
        if route.request.method != "GET":
            self._refuse(route)
            return
        items = [
            {
                "name": f"{place} {self.words}", "path": f"%2F{place}", "kind": kind,
                "size_bytes": 2**60, "modified_at": 2**32 - 1, "mode": "rwxrwxrwx",
            }
            for place, kind in enumerate(("folder", "file", "link", "other"))
        ]  # fmt: skip
        folder = {"path": "%2F", "name": f"/{self.words}", "parent": "%2F", "omitted": True}
        route.fulfill(json=folder | {"items": items})

    def _file(self, route: Route) -> None:
        if route.request.method == "POST":
            self._refuse(route)
        else:
            route.fulfill(body="x", headers={"content-disposition": "attachment; filename=x"})

    def _tool(self, route: Route) -> None:
        fields = ("name", "user", "command", "state", "start", "detail", "at", "source", "text")
        item: dict[str, Any] = dict.fromkeys(fields, self.words)
        item |= {"pid": self.words, "memory_bytes": "NaN", "bytes": 1e308, "files": self.words}
        route.fulfill(json={"items": [item, item | {"kind": [self.words], "name": {"a": 1}}]})

    def _terminal(self, socket: WebSocketRoute) -> None:
        def heard(message: str | bytes) -> None:
            if isinstance(message, bytes):
                self.typed += message
                return
            if "size" in json.loads(message) and not started:
                started.append(True)
                socket.send(json.dumps({"ready": True}))
                socket.send(json.dumps({"say": self.words}))
                drawn = f"{QUERIES}{_REPORTS}{self.words}\r\n\x1b[0m{DRAWN}"
                socket.send(drawn.encode())

        started: list[bool] = []
        socket.on_message(heard)

    def _chat(self, socket: WebSocketRoute) -> None:
        def heard(_message: str | bytes) -> None:
            socket.send(json.dumps({"refused": {"code": self.words, "message": self.words}}))

        for number, who in enumerate((self.words, "technician", "person")):
            told = {"id": number, "at": self.words, "who": who, "text": self.words}
            socket.send(json.dumps(told))
        socket.on_message(heard)

    def _shown(self, socket: WebSocketRoute) -> None:
        begin = {"title": self.words, "by": self.words, "columns": 10**9, "rows": -5}
        socket.send(json.dumps({"stream": 1, "begin": begin}))
        socket.send(json.dumps({"stream": 1, "text": f"{QUERIES}{self.words}\r\n{DRAWN}"}))
        socket.send(json.dumps({"lost_bytes": 2**70}))

    def _opened(self, route: Route) -> None:
        streams = [
            {
                "number": number, "kind": kind, "title": self.words, "lines": 1,
                "at_s": 0.0, "duration_s": 1.0,
            }
            for number, kind in ((1, "terminal"), (2, self.words[:40]))
        ]  # fmt: skip
        moments = [{"at_s": 0.1 * n, "words": f"{n} {self.words}"} for n in range(3)]
        told = {"session": self.session, "streams": streams, "moments": moments}
        route.fulfill(json=told | {"warnings": [self.words]})

    def _cast(self, route: Route) -> None:
        header = {"version": 3, "term": {"cols": 80, "rows": 24}, "title": self.words}
        lines: list[Any] = [
            header, [0.0, "o", f"{QUERIES}{self.words}\r\n{DRAWN}"], [0.1, "m", self.words],
            [0.1, "r", "120x30"], [0.1, "i", self.words], [0.1, "x", "0"],
        ]  # fmt: skip
        body = "".join(json.dumps(one) + "\n" for one in lines)
        route.fulfill(body=body, headers={"content-type": "application/x-asciicast"})


def _soon() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
