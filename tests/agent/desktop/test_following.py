"""Page and session processes over real sockets: found, followed, answered, lost; one to a home."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.desktop.exchange import MAX_BODY_BYTES, Answer, Request
from farhand_agent.desktop.following import Following
from farhand_agent.desktop.listener import Listener
from farhand_agent.desktop.process import Desktop, way_in_there
from farhand_agent.desktop.view import SessionView
from farhand_agent.local_server import LocalServer
from farhand_agent.session import watched as watched_module
from farhand_agent.session.events import ActionSeen
from farhand_agent.session.watched import DESKTOP, MAX_KEPT_EVENTS, Watched
from farhand_protocol.errors import FarhandError
from tests.agent.desktop.browser import ACTION, ASKED, CODE, OPENED, PORT, SAID

PATIENCE_S = 30


class Page:
    """A page without HTTP: what it follows, and a way to wait for it."""

    def __init__(self, home: Home, group: asyncio.TaskGroup) -> None:
        self.following = Following(home, group, self._changed)
        self._news = asyncio.Event()

    def _changed(self, _: SessionView) -> None:
        self._news.set()

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def page_of(home: Home) -> AsyncIterator[Page]:
    home.make()
    async with asyncio.TaskGroup() as group:
        page = Page(home, group)
        async with LocalServer(home, {"watch": page.following.watch}, session=DESKTOP):
            yield page
        await page.following.close()


async def test_a_session_process_is_followed_from_its_first_word(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    async with page_of(home) as page:
        session = Watched(home)
        heard: list[dict[str, object]] = []

        def hear(fields: Any) -> bool:
            heard.append(dict(fields))
            return bool(fields.get("ask") == 1)

        session.hear = hear
        await session.open()
        assert session.is_announced
        (view,) = page.following.views.values()
        session.emit(CODE)
        session.emit(ASKED)
        await page.until(lambda: view.asked)
        assert session.is_watched
        assert (view.code, view.asked, view.phase) == (CODE, ASKED, "asked")
        assert await page.following.tell(view, {"answer": "allow", "ask": 1})
        assert not await page.following.tell(view, {"answer": "deny", "ask": 2})
        assert heard == [{"answer": "allow", "ask": 1}, {"answer": "deny", "ask": 2}]
        session.emit(OPENED)
        await page.until(lambda: view.opened)
        assert page.following.current is view
        await session.close()
        await page.until(lambda: view.is_over)
        assert page.following.current is None
        with pytest.raises(FarhandError, match="agent-not-running"):
            await page.following.tell(view, {"stop": True})


async def test_stop_ends_every_session_also_where_the_service_has_none(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    async with page_of(home) as page:
        heard: list[tuple[int, object]] = []
        sessions = [Watched(home), Watched(home)]
        for number, session in enumerate(sessions):

            def hear(fields: Any, number: int = number) -> bool:
                heard.append((number, fields.get("stop")))
                return True

            session.hear = hear
            await session.open()
            session.emit(OPENED)
        await page.until(lambda: len(page.following.open) == 2)
        await page.following.stop_all()
        assert sorted(heard) == [(0, True), (1, True)]
        assert all(one.is_stopped for one in page.following.views.values())
        for session in sessions:
            await session.close()


async def test_without_a_page_nothing_is_listened_on(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.make()
    session = Watched(home)
    await session.open()
    assert not session.is_announced
    assert not session.is_watched
    session.emit(CODE)
    await session.close()


async def test_what_is_dropped_first_is_what_was_done(tmp_path: Path) -> None:
    session = Watched(Home.at(tmp_path))
    session.emit(OPENED)
    for _ in range(MAX_KEPT_EVENTS):
        session.emit(ACTION)
    session.emit(SAID)
    kept = [event for _, event in session._events]
    assert len(kept) == MAX_KEPT_EVENTS
    assert (kept[0], kept[-1]) == (OPENED, SAID)
    assert isinstance(kept[1], ActionSeen)
    answer = await session.handlers["events"]({"after": 0})
    assert answer["events"][0][0] == 1
    assert len(answer["events"]) < MAX_KEPT_EVENTS
    with pytest.raises(FarhandError, match="request-malformed"):
        await session.handlers["events"]({"after": "0"})
    with pytest.raises(FarhandError, match="request-malformed"):
        await session.handlers["tell"]({"line": "stop"})


@pytest.mark.parametrize("name", [None, "", "watch-", "../x", "watch-0123456789abcdeg", 7])
async def test_a_name_that_is_none_is_not_followed(tmp_path: Path, name: object) -> None:
    home = Home.at(tmp_path / "home")
    async with page_of(home) as page:
        with pytest.raises(FarhandError, match="request-malformed"):
            await page.following.watch({"name": name})
        assert page.following.views == {}


async def test_a_page_that_dies_leaves_the_last_words_unfetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_module, "_LAST_S", 0.05)
    home = Home.at(tmp_path / "home")
    async with page_of(home) as page:
        session = Watched(home)
        await session.open()
        session.emit(CODE)
        (view,) = page.following.views.values()
        await page.until(lambda: view.code)
        await page.following.close()
    session.emit(OPENED)
    async with asyncio.timeout(PATIENCE_S):
        await session.close()


async def test_one_page_to_a_home(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    assert way_in_there(home) is None
    ready: asyncio.Queue[str] = asyncio.Queue()
    page = Desktop(home, has_bar=False)
    running = asyncio.ensure_future(page.run(ready.put_nowait))
    try:
        first = await asyncio.wait_for(ready.get(), PATIENCE_S)
        second = await asyncio.to_thread(way_in_there, home)
        assert second is not None
        assert second != first
        with pytest.raises(FarhandError, match="desktop-running"):
            await Desktop(home, has_bar=False).run(ready.put_nowait)
        entered = await asyncio.to_thread(fetch, second)
        assert entered[0] == 303
        assert (await asyncio.to_thread(fetch, second))[0] == 403
        assert (await asyncio.to_thread(fetch, first))[0] == 303
    finally:
        page.stop()
        await asyncio.wait_for(running, PATIENCE_S)
    with suppress(OSError):
        assert fetch(first)[0] == 0, "nobody listens any more"


def fetch(url: str) -> tuple[int, bytes]:
    host, _, path = url.removeprefix("http://").partition("/")
    link = http.client.HTTPConnection(host, timeout=PATIENCE_S)
    try:
        link.request("GET", f"/{path}")
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


async def test_requests_are_bounded_before_they_are_read() -> None:
    seen: list[Request] = []

    async def handle(request: Request) -> Answer:
        seen.append(request)
        return Answer(kind="text/plain", body=b"good", headers={"X-A": "b"})

    with Listener() as listener:
        listener.start(handle)
        port = listener.port
        assert port != PORT

        def post(length: str, body: bytes = b"", **headers: str) -> int:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            try:
                link.putrequest("POST", "/x?y=z")
                link.putheader("Content-Length", length)
                for name, value in headers.items():
                    link.putheader(name.replace("_", "-"), value)
                link.endheaders(body)
                return link.getresponse().status
            finally:
                link.close()

        assert await asyncio.to_thread(post, "2", b"ab") == 200
        for length, status in ((str(MAX_BODY_BYTES + 1), 413), ("9" * 30, 413), ("-1", 411)):
            assert await asyncio.to_thread(post, length) == status
        assert await asyncio.to_thread(post, "0", b"", Transfer_Encoding="chunked") == 411
    (request,) = seen
    assert (request.method, request.path, request.query) == ("POST", "/x", {"y": "z"})
    assert (request.body, request.headers["host"]) == (b"ab", f"127.0.0.1:{port}")
