"""What the local page does: a request in, an answer out, and the person's wishes on their way.

    GET   enter?ticket=T             the way in, once
    GET   (nothing), home            the session that goes on, or the start
    GET   session/NAME               one session, by its phase
    GET   session/NAME/chat, /picture, /picture.png
    GET   news?after=N               waits a moment for what is newer than N
    POST  code, help, help/picture, language
    POST  session/NAME/answer, /withdraw, /stop, /step, /say, /picture
          (where a session is open, /stop ends every one)

Nothing is decided here: each wish becomes one line for the session's process, which knows what
still counts.  A form leads to a GET again, so that a page can always be loaded anew.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from farhand_agent.config import Home
from farhand_agent.desktop.exchange import HEAD, Answer, Request, see_other
from farhand_agent.desktop.following import Following
from farhand_agent.desktop.gate import Gate
from farhand_agent.desktop.pages import LANGUAGE_NAMES, Pages, trouble_words, view_key
from farhand_agent.desktop.shots import Box, Draft, grab_screen, small_enough
from farhand_agent.desktop.sources import OwnSources, Sources
from farhand_agent.desktop.view import SessionView
from farhand_agent.errors import AgentNotRunning
from farhand_agent.help_request import MAX_HELP_CHARS
from farhand_agent.wording import Wording, chosen_language, wording_in
from farhand_protocol.errors import FarhandError, RemoteError, UsageError
from farhand_protocol.messages import MAX_HELP_IMAGE_BYTES
from farhand_protocol.pictures import PART_BYTES

__all__ = ["READ_FIRST_S", "App"]

# So long a question stands in the browser before a yes to it counts.
READ_FIRST_S: Final = 1.0
_NEWS_S: Final = 20.0
_MAX_DELAY_S: Final = 10
_STATIC: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript",
    "page.svg": "image/svg+xml",
}
_HELP: Final = "help"
_MAX_DIGITS: Final = 5


class App:
    """The page of one home.

    Args:
        sources: what it tells of the device; a home that is this user's tells of itself.
        gate: who is let in.
        following: the sessions.
        grab: takes a picture of the screen; blocks.
        read_first_s: see `READ_FIRST_S`.
    """

    def __init__(
        self,
        sources: Sources | Home,
        gate: Gate,
        following: Following,
        *,
        grab: Callable[[], Draft] = grab_screen,
        read_first_s: float = READ_FIRST_S,
    ) -> None:
        self._sources = OwnSources(sources) if isinstance(sources, Home) else sources
        self._gate = gate
        self._following = following
        self._grab = grab
        self._read_first_s = read_first_s
        self._pages = Pages(gate.base)
        self._w = wording_in(chosen_language(os.environ))
        self._seen_at = time.monotonic()
        self._revision = 0
        self._news = asyncio.Event()
        self._drafts: dict[str, Draft] = {}
        self._trouble = ""
        self._told = ""
        self._help = ("", "")
        self._help_picture: bytes = b""

    @property
    def wording(self) -> Wording:
        """Return the language that the page speaks."""
        return self._w

    def changed(self, view: SessionView | None = None) -> None:
        """Let browsers know that something is new."""
        if view is not None and (view.shot is None or view.is_over):
            self._drafts.pop(view.name, None)
        self._revision += 1
        self._news.set()

    def unseen_s(self) -> float:
        """Return for how many seconds no browser has asked for anything."""
        return time.monotonic() - self._seen_at

    async def handle(self, request: Request) -> Answer:
        """Answer one request; never raises for what a browser can send."""
        self._seen_at = time.monotonic()
        try:
            answer = await self._route(request)
        except FarhandError as error:
            status = 403 if error.code.startswith("page-") else 400
            body = self._pages.shut(self._w, error)
            answer = Answer(status=status, body=body)
        return _headed(answer)

    async def _route(self, request: Request) -> Answer:
        self._gate.check_host(request)
        base = self._gate.base
        if not request.path.startswith(base) or request.method not in ("GET", "POST"):
            return _nothing()
        place = request.path.removeprefix(base)
        if place == "enter" and request.method == "GET":
            return self._gate.enter(request)
        self._gate.check(request)
        if request.method == "GET":
            return await self._get(place, request)
        try:
            return await self._post(place, dict(request.form()), request)
        except FarhandError as error:
            # It is said on the page that the form was on.
            self._trouble = trouble_words(error, self._w)
            return see_other(base + _page_of(place))

    # Looking.

    async def _get(self, place: str, request: Request) -> Answer:
        parts = place.split("/")
        match parts:
            case [name] if name in _STATIC:
                return Answer(kind=_STATIC[place], body=self._pages.static(place))
            case ["news"]:
                return await self._wait_for_news(request.query.get("after", ""))
            case [""]:
                if (current := self._following.current) is not None:
                    return see_other(f"{self._gate.base}session/{current.name}")
                return await self._home_page(place)
            case ["home"]:
                return await self._home_page(place)
            case ["help"]:
                text, tried = self._help
                return self._page(
                    "help", place, text=text, tried=tried, has_picture=bool(self._help_picture)
                )
            case ["help", "picture"]:
                return self._picture_page(_HELP, None, place)
            case ["help", "picture.png"]:
                return await self._preview(_HELP)
            case ["receipts", session]:
                said = await self._sources.receipt(session, self._w)
                return self._page("receipt", place, receipt=said) if said else _nothing()
            case ["session", name, *rest] if (found := self._following.view(name)) is not None:
                return await self._get_session(found, rest, place)
        return _nothing()

    async def _get_session(self, view: SessionView, rest: list[str], place: str) -> Answer:
        here = f"{self._gate.base}session/{view.name}"
        match rest:
            case []:
                receipt = None
                if view.phase == "ended" and view.session:
                    receipt = await self._sources.receipt(view.session, self._w)
                others = [one for one in self._following.going if one is not view]
                if view.phase == "asked":
                    view.asked_shown()
                return Answer(
                    body=self._pages.session(
                        view, self._w, receipt=receipt, others=others, **self._common(place)
                    )
                )
            case ["chat"] if view.phase == "open":
                key = f"chat|{view.name}"
                return self._page("chat", place, key=key, view=view)
            case ["picture"] if view.shot is not None:
                return self._picture_page(view.name, view, place)
            case ["picture.png"] if view.shot is not None:
                return await self._preview(view.name)
        return see_other(here)

    async def _home_page(self, place: str) -> Answer:
        facts = await self._sources.facts()
        receipts = await self._sources.receipts()
        w, told, going = self._w, self._told, self._following.going
        self._told = ""
        states = {"waiting": w("waiting"), "taken": w("taken"), "refused": w("refused")}
        links = facts.url if facts.url.startswith(("https://", "http://")) else ""
        return self._page(
            "home", place, key="|".join(["home", *map(view_key, going)]), device=facts,
            receipts=receipts, states=states, told=told, going=going, links=links,
        )  # fmt: skip

    def _page(self, name: str, place: str, *, key: str = "", **values: Any) -> Answer:
        common = self._common(place)
        return Answer(body=self._pages.render(name, self._w, key=key or name, **values, **common))

    def _common(self, place: str) -> dict[str, Any]:
        trouble, self._trouble = self._trouble, ""
        owed = self._following.is_stop_owed
        return {"here": place, "revision": self._revision, "trouble": trouble, "is_owed": owed}

    async def _wait_for_news(self, after: str) -> Answer:
        seen = int(after) if after.isascii() and after.isdecimal() and len(after) < 12 else -1
        try:
            async with asyncio.timeout(_NEWS_S):
                while seen == self._revision:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # nothing is new, which is an answer as well
        body = msgspec.json.encode({"revision": self._revision})
        return Answer(kind="application/json", body=body)

    # What the person wants.

    async def _post(self, place: str, form: dict[str, str], request: Request) -> Answer:
        base = self._gate.base
        parts = place.split("/")
        match parts:
            case ["language"]:
                chosen = form.get("language", "")
                if chosen in dict(LANGUAGE_NAMES):
                    self._w = wording_in(chosen)
                    self.changed()
                return see_other(base + _own_place(form.get("back", "")))
            case ["code"]:
                view = await self._following.begin()
                return see_other(f"{base}session/{view.name}")
            case ["help"]:
                return await self._help_wanted(form)
            case ["help", "picture"]:
                return await self._help_picture_wanted(form)
            case ["session", name, wish] if (found := self._following.view(name)) is not None:
                await self._wish(found, wish, form, request)
                back = f"{base}session/{name}"
                if wish == "say" or (wish == "picture" and found.shot and name in self._drafts):
                    back += "/chat" if wish == "say" else "/picture"
                return see_other(back)
        return _nothing()

    async def _wish(
        self, view: SessionView, wish: str, form: dict[str, str], request: Request
    ) -> None:
        match wish:
            case "answer":
                await self._answer(view, form, request)
            case "withdraw":
                await self._tell(view, {"withdraw": form.get("scope", "")})
            case "stop":
                if view.opened is None:
                    await self._following.stop(view)
                else:
                    await self._following.stop_all()
                refused, self._following.stop_refused = self._following.stop_refused, None
                if refused is not None:
                    raise refused
            case "step":
                line = {"step": _number(form, "step"), "answer": form.get("answer", "")}
                await self._tell(view, line | {"why": form.get("why", "")[:500]})
            case "say":
                await self._tell(view, {"say": form.get("text", "")})
            case "picture":
                await self._picture_wanted(view, form)

    async def _answer(self, view: SessionView, form: dict[str, str], request: Request) -> None:
        asked = view.asked
        if asked is None or _number(form, "ask") != asked.ask:
            raise RemoteError("page-late", "another question stands, or none")
        is_yes = form.get("decision") == "allow"
        if is_yes and not view.is_read(self._read_first_s):
            raise RemoteError("page-early", "nobody reads that fast")
        line: dict[str, Any] = {"answer": "allow" if is_yes else "deny", "ask": asked.ask}
        if asked.asks != "join":
            line["scopes"] = [text for name, text in request.form() if name == "scope"]
        await self._tell(view, line)
        view.answered(asked)

    async def _tell(self, view: SessionView, line: dict[str, Any]) -> None:
        """Hand a wish on.

        Raises:
            FarhandError: it does not count any more, or the process is gone.
        """
        try:
            counted = await self._following.tell(view, line)
        except AgentNotRunning as error:
            raise RemoteError("agent-not-running", "the session's process is gone") from error
        if not counted:
            raise RemoteError("page-late", "it does not count any more")

    # Pictures.

    def _picture_page(self, name: str, view: SessionView | None, place: str) -> Answer:
        draft = self._drafts.get(name)
        shot = view.shot if view is not None else None
        base = self._gate.base
        action = f"{base}help/picture" if view is None else f"{base}session/{name}/picture"
        boxes = len(draft.boxes) if draft else -1
        return Answer(
            body=self._pages.picture(
                self._w, draft=draft, shot=shot, action=action,
                stop=f"{base}session/{name}/stop",
                left_s=view.left_s(view.shot_until) if view is not None else 0,
                key=f"picture|{name}|{shot.shot if shot else 0}|{boxes}", **self._common(place),
            )
        )  # fmt: skip

    async def _preview(self, name: str) -> Answer:
        draft = self._drafts.get(name)
        if draft is None:
            return _nothing()
        return Answer(kind="image/png", body=await asyncio.to_thread(draft.png))

    async def _edit(
        self, name: str, form: dict[str, str], is_wanted: Callable[[], bool] = lambda: True
    ) -> bool:
        """Take or change a picture; False where that is not what the form is about.

        Raises:
            RemoteError: `page-late` where it is wanted no more by the time it is taken.
        """
        draft = self._drafts.get(name)
        match form.get("do"):
            case "take":
                await asyncio.sleep(min(_number(form, "delay"), _MAX_DELAY_S))
                taken = await asyncio.to_thread(self._grab) if is_wanted() else None
                # Whoever stopped the session meanwhile has no picture of it lying about.
                if taken is None or not is_wanted():
                    raise RemoteError("page-late", "nobody asks for a picture any more")
                self._drafts[name] = taken
            case "box" if draft is not None:
                box = {one: _number(form, one) for one in ("x", "y", "width", "height")}
                draft.blacken(Box(**box))
            case "unbox" if draft is not None and draft.boxes:
                draft.boxes.pop()
            case _:
                return False
        self.changed()
        return True

    async def _picture_wanted(self, view: SessionView, form: dict[str, str]) -> None:
        shot = view.shot
        if shot is None or _number(form, "shot") != shot.shot:
            raise RemoteError("page-late", "another picture is asked for, or none")
        if form.get("do") == "take":
            await self._tell(view, {"shot": shot.shot, "answer": "taken"})
            view.shot_until += shot.send_within_s - view.left_s(view.shot_until)
        if await self._edit(view.name, form, lambda: view.shot is shot and not view.is_over):
            return
        draft = self._drafts.pop(view.name, None)
        if form.get("do") != "send" or draft is None:
            await self._tell(view, {"shot": shot.shot, "answer": "refuse"})
            return
        data = await asyncio.to_thread(draft.png)
        for number, at in enumerate(range(0, len(data), PART_BYTES)):
            part = base64.b64encode(data[at : at + PART_BYTES]).decode()
            await self._tell(view, {"shot": shot.shot, "part": number, "data": part})
        await self._tell(view, {"shot": shot.shot, "answer": "send"})

    # Help.

    async def _help_wanted(self, form: dict[str, str]) -> Answer:
        base = self._gate.base
        text, tried = (form.get(one, "")[: MAX_HELP_CHARS + 1] for one in ("text", "tried"))
        # Browsers end a line of a form by two characters.
        self._help = text.replace("\r\n", "\n"), tried.replace("\r\n", "\n")
        if form.get("do") == "picture":
            return see_other(f"{base}help/picture")
        text, tried = self._help
        await self._sources.ask_for_help(text, tried, self._help_picture, self._w.language)
        self._help, self._help_picture = ("", ""), b""
        self._told = self._w("Your request is noted. It goes out as soon as there is a line.")
        return see_other(f"{base}home")

    async def _help_picture_wanted(self, form: dict[str, str]) -> Answer:
        base = self._gate.base
        if form.get("do") == "drop":
            self._help_picture = b""
            return see_other(f"{base}help")
        if await self._edit(_HELP, form):
            return see_other(f"{base}help/picture")
        draft = self._drafts.pop(_HELP, None)
        if form.get("do") == "send" and draft is not None:
            png = await asyncio.to_thread(draft.png)
            self._help_picture = await asyncio.to_thread(small_enough, png, MAX_HELP_IMAGE_BYTES)
        return see_other(f"{base}help")


def _number(form: dict[str, str], name: str) -> int:
    text = form.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise UsageError("box-malformed", f"{name} is no number")
    return int(text)


def _own_place(place: str) -> str:
    """Return a place of the page itself, whatever a form says."""
    known = place.split("/")[0] in ("home", "help", "session", "receipts")
    is_plain = all(one.isascii() and (one.isalnum() or one in "-/._") for one in place)
    return place if known and is_plain and ".." not in place else ""


def _page_of(place: str) -> str:
    """Return the page on which a form was."""
    parts = place.split("/")
    match parts:
        case ["session", name, "say"]:
            return f"session/{name}/chat"
        case ["session", name, "picture"]:
            return f"session/{name}/picture"
        case ["session", name, *_]:
            return f"session/{name}"
        case ["help", *_]:
            return place
    return "home"


def _nothing() -> Answer:
    return Answer(status=404, kind="text/plain", body=b"there is no such page\n")


def _headed(answer: Answer) -> Answer:
    """Return an answer with the head that every one carries."""
    return Answer(
        status=answer.status,
        kind=answer.kind,
        body=answer.body,
        headers={**HEAD, **answer.headers},
    )
