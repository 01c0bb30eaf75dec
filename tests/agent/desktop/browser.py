"""A browser without a script, and a session without a process, for the page's tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from farhand_agent.config import Home
from farhand_agent.desktop.app import App
from farhand_agent.desktop.exchange import Answer, Request
from farhand_agent.desktop.following import Following
from farhand_agent.desktop.gate import COOKIE, Gate
from farhand_agent.desktop.shots import Draft
from farhand_agent.desktop.view import SessionView
from farhand_agent.session.events import (
    ActionSeen,
    Asked,
    CodeShown,
    Event,
    Opened,
    Said,
    ShotAsked,
    StepShown,
)
from farhand_agent.wording import wording_in
from farhand_protocol.errors import FarhandError

PORT = 40404
ORIGIN = f"http://127.0.0.1:{PORT}"
NAME = "watch-0123456789abcdef"
EVIL = "<script>alert(1)</script>\x1b]0;x\x07\u202e\"'><img src=x onerror=1>{{ 7*7 }}{name}"

CODE = CodeShown(
    code="4071-K7M 3QX", expires_at="2026-11-22T10:01:00Z", expires_in_s=600, url="https://h.test"
)
ASKED = Asked(
    ask=1, session="s-1", operator="tess", organisation="Example Support", ticket="FH-1",
    reason="the printer", scopes=["view", "terminal", "files"], minutes=30,
    words=["ant", "bee", "cat", "dog"], guest=False, host_name="alpha", recorded=True,
    files=["/home"], files_read_only=True, forward=[], shortened=["forward"], answer_within_s=60,
    cooling=["terminal"], cool_down_s=5, file_bytes_max=1000,
)  # fmt: skip
OPENED = Opened(
    session="s-1", operator="tess", scopes=["view", "terminal"], expires_at="2026-11-22T10:31:00Z"
)
SAID = Said(
    session="s-1", id=1, at="2026-11-22T10:02:00Z", who="technician", operator="tess", text="hello"
)
STEP = StepShown(session="s-1", step=3, number=1, of=2, text="switch it on")
SHOT = ShotAsked(
    session="s-1", shot=7, operator="tess", reason="", answer_within_s=60, send_within_s=300
)
ACTION = ActionSeen(at="2026-11-22T10:03:00Z", kind="exec", detail="uptime")


class Told(Following):
    """Sessions that the test plays; what was told to them is kept."""

    def __init__(self, home: Home) -> None:
        self.views: dict[str, SessionView] = {}
        self.lines: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.counts = True
        self.refuses: FarhandError | None = None
        self.told: Callable[[], None] = lambda: None

    async def begin(self) -> SessionView:
        if self.refuses is not None:
            raise self.refuses
        view = self.views[NAME] = SessionView(NAME)
        return view

    async def tell(self, view: SessionView, line: dict[str, Any]) -> bool:
        if self.refuses is not None:
            raise self.refuses
        self.lines.append(line)
        self.told()
        return self.counts

    async def stop(self, view: SessionView) -> None:
        view.is_stopped = True
        self.stopped.append(view.name)
        view.lost()

    async def stop_all(self) -> None:
        for view in self.going:
            await self.stop(view)


class Form(HTMLParser):
    """The forms of a page: where each goes, its fields and its buttons, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append((tag, found))
        if tag == "form":
            self.forms.append({"action": found["action"], "fields": [], "buttons": []})
        elif tag in ("input", "button") and self.forms and found.get("name"):
            pair = (found["name"], found.get("value") or "")
            kind = found.get("type")
            if tag == "button":
                self.forms[-1]["buttons"].append(pair)
            elif kind not in ("checkbox", "radio") or "checked" in found:
                self.forms[-1]["fields"].append(pair)


class Browser:
    """Talks with the page as a browser with scripts off does."""

    def __init__(self, folder: Path, *, grab: Any = None, read_first_s: float = 0.0) -> None:
        self.home = Home.at(folder / "home")
        self.gate = Gate(PORT)
        self.following = Told(self.home)
        options = {"grab": grab} if grab else {}
        self.app = App(self.home, self.gate, self.following, read_first_s=read_first_s, **options)
        self.app._w = wording_in("en")
        self.cookie = ""
        self.answer = Answer()
        self.place = ""

    @property
    def html(self) -> str:
        return self.answer.body.decode()

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.html))

    def view(self, *events: Event, name: str = NAME) -> SessionView:
        """Return a session to which this happened, on the page."""
        view = self.following.views[name] = SessionView(name)
        for event in events:
            view.apply(event)
        self.app.changed(view)
        return view

    async def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        sent = {"host": f"127.0.0.1:{PORT}", "cookie": self.cookie}
        if method == "POST":
            sent |= {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method=method, target=target, headers=sent | given, body=body)
        return await self.app.handle(request)

    async def enter(self) -> None:
        """Go in by the way in."""
        answer = await self.send("GET", self.gate.way_in().removeprefix(ORIGIN))
        assert answer.status == 303, answer.body
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert self.cookie.startswith(f"{COOKIE}=")
        await self.get("")

    async def get(self, place: str) -> Answer:
        """Load a page below the base, and go where it leads."""
        target = place if place.startswith("/") else self.gate.base + place
        for _ in range(5):
            self.answer = await self.send("GET", target)
            if self.answer.status != 303:
                break
            target = self.answer.headers["Location"]
        self.place = target.removeprefix(self.gate.base)
        return self.answer

    async def post(self, place: str, fields: list[tuple[str, str]] | None = None) -> Answer:
        """Send a form and go where it leads."""
        target = place if place.startswith("/") else self.gate.base + place
        answer = await self.send("POST", target, urlencode(fields or []).encode())
        if answer.status == 303:
            return await self.get(answer.headers["Location"])
        self.answer = answer
        return answer

    async def press(self, name: str, value: str, **changes: str | None) -> Answer:
        """Press the button of that name and value, with the form's fields as they stand."""
        for form in Form(self.html).forms:
            if (name, value) in form["buttons"]:
                fields = [
                    (one, changes.get(one, was) or "")
                    for one, was in form["fields"]
                    if changes.get(one, was) is not None
                ]
                fields += [
                    (one, str(new))
                    for one, new in changes.items()
                    if new is not None and one not in dict(form["fields"])
                ]
                return await self.post(form["action"], [*fields, (name, value)])
        raise AssertionError(f"no button {name}={value} on {self.place}: {self.text}")


def draft() -> Draft:
    """Return a small white picture."""
    return Draft(rgb=b"\xff" * (3 * 40 * 30), width=40, height=30)
