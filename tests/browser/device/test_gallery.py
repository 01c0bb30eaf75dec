"""Every state of the person's page in a real browser: accessible, nothing cut off, nothing run.

The sessions are played by the test; server, gate and pages are the real ones.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec.structs
import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from farhand_agent.config import Home
from farhand_agent.desktop.app import App
from farhand_agent.desktop.gate import Gate
from farhand_agent.desktop.listener import Listener
from farhand_agent.desktop.view import SessionView
from farhand_agent.session.events import Decided, Event, Failed, Refused
from farhand_agent.wording import wording_in
from tests.agent.desktop.browser import (
    ACTION,
    ASKED,
    CODE,
    EVIL,
    NAME,
    OPENED,
    SAID,
    SHOT,
    STEP,
    Told,
    draft,
)
from tests.agent.desktop.test_page import STATES
from tests.support.browser import DESKTOP, PHONE, axe_faults, layout_faults, watched

T = TypeVar("T")
PLACE = f"session/{NAME}"
DARK = ("code", "asked", "open-step", "ended", "refused")


class Gallery:
    """The page's server in a thread of its own, and sessions to which anything can happen."""

    def __init__(self, folder: Path) -> None:
        self.home = Home.at(folder / "home")
        self.loop = asyncio.new_event_loop()
        self.following = Told(self.home)
        self.thread = threading.Thread(target=self.loop.run_forever)

    def do(self, work: Callable[[], T]) -> T:
        """Do something on the page's loop."""

        async def done() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(30)

    def open(self) -> None:
        self.listener = Listener()
        self.gate = Gate(self.listener.port)
        self.app = App(self.home, self.gate, self.following, grab=draft, read_first_s=0)
        self.app._w = wording_in("en")
        self.listener.start(self.app.handle)

    def happen(self, *events: Event) -> str:
        """Let this have happened to the session, and return its address."""

        def work() -> None:
            view = self.following.views[NAME] = SessionView(NAME)
            for event in events:
                view.apply(event)
            self.app.changed(view)

        self.do(work)
        return f"{self.gate.origin}{self.gate.base}{PLACE}"


@contextmanager
def gallery_at(folder: Path) -> Iterator[Gallery]:
    gallery = Gallery(folder)
    gallery.thread.start()
    try:
        gallery.do(gallery.open)
        yield gallery
        gallery.listener.__exit__()
    finally:
        gallery.loop.call_soon_threadsafe(gallery.loop.stop)
        gallery.thread.join(30)
        gallery.loop.close()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    with gallery_at(tmp_path_factory.mktemp("gallery")) as one:
        yield one


def look(page: Page, place: str, *, sizes: Any = (DESKTOP, PHONE)) -> list[str]:
    """Return what is wrong with a page, at each size."""
    page.goto(place)
    faults = axe_faults(page)
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        faults += [f"{width}: {one}" for one in layout_faults(page)]
    return faults


def test_every_state_can_be_used_by_everybody(gallery: Gallery, browser: Chromium) -> None:
    found: dict[str, list[str]] = {}
    base = gallery.gate.origin + gallery.gate.base
    with watched(browser) as one:
        one.page.goto(gallery.gate.way_in())
        for state, events in STATES.items():
            place = gallery.happen(*events)
            found[state] = look(one.page, place)
            if state == "open-shot":
                found["picture"] = look(one.page, f"{place}/picture")
                one.page.get_by_role("button", name="Take the picture").click()
                one.page.get_by_role("button", name="Add a black box").wait_for()
                found["blackening"] = look(one.page, one.page.url)
            if state == "open":
                found["chat"] = look(one.page, f"{place}/chat")
        found["home"] = look(one.page, f"{base}home")
        found["help"] = look(one.page, f"{base}help")
    with watched(browser, scheme="dark") as one:
        one.page.goto(gallery.gate.way_in())
        for state in DARK:
            found[f"dark {state}"] = look(one.page, gallery.happen(*STATES[state]), sizes=())
    assert not {state: faults for state, faults in found.items() if faults}


def test_the_page_follows_what_happens(gallery: Gallery, browser: Chromium) -> None:
    place = gallery.happen(CODE)
    with watched(browser) as one:
        page = one.page
        page.goto(gallery.gate.way_in())
        page.goto(place)
        page.get_by_role("heading", name="Your code").wait_for()
        view = gallery.following.views[NAME]

        def tell(event: Event) -> None:
            def work() -> None:
                view.apply(event)
                gallery.app.changed(view)

            gallery.do(work)

        tell(ASKED)
        page.get_by_role("heading", name="A technician asks to help you").wait_for()
        page.locator('input[value="files"]').uncheck()
        page.get_by_role("button", name="Allow what is ticked").click()
        page.get_by_role("heading", name="Your code").wait_for()
        assert gallery.following.lines[-1]["scopes"] == ["view", "terminal"]
        tell(OPENED)
        page.get_by_role("heading", name="tess is working on this computer").wait_for()
        page.get_by_role("button", name="Stop everything").focus()
        tell(ACTION)
        page.get_by_text("uptime").wait_for()
        # What is only livelier takes nobody's place on the page away.
        assert page.evaluate("document.activeElement.className") == "stop"
        tell(Refused(reason="code-expired", message=""))
        page.get_by_text("No session: the code expired.").wait_for()


def test_what_was_unticked_stays_so_while_another_session_changes(
    gallery: Gallery, browser: Chromium
) -> None:
    place = gallery.happen(CODE, ASKED)
    other = "watch-fedcba9876543210"
    with watched(browser) as one:
        page = one.page
        page.goto(gallery.gate.way_in())
        page.goto(place)
        files = page.locator('input[name=scope][value="files"]')
        files.uncheck()

        def another() -> None:
            view = gallery.following.views[other] = SessionView(other)
            view.apply(msgspec.structs.replace(OPENED, operator="ole"))
            gallery.app.changed(view)

        gallery.do(another)
        try:
            page.get_by_text("ole").wait_for()
            expect(files).not_to_be_checked()
            page.get_by_role("button", name="Allow what is ticked").click()
            page.get_by_role("heading", name="Your code").wait_for()
        finally:
            gallery.do(lambda: gallery.following.views.pop(other))
        assert gallery.following.lines[-1]["scopes"] == ["view", "terminal"]


def test_a_question_that_nobody_answered_makes_room_for_the_next(
    gallery: Gallery, browser: Chromium
) -> None:
    second = msgspec.structs.replace(ASKED, ask=2, asks="scopes", scopes=["files", "screen"])
    place = gallery.happen(ASKED, OPENED, msgspec.structs.replace(second, ask=1))
    with watched(browser) as one:
        page = one.page
        page.goto(gallery.gate.way_in())
        page.goto(place)
        page.locator('input[name=scope][value="files"]').uncheck()
        view = gallery.following.views[NAME]

        def over() -> None:
            view.apply(Decided(session="s-1", granted=False, reason="consent-timeout"))
            view.apply(second)
            gallery.app.changed(view)

        gallery.do(over)
        # It is a question of its own, and was not answered in part by what was unticked before.
        page.locator('input[name=ask][value="2"]').wait_for(state="attached")
        expect(page.locator('input[name=scope][value="files"]')).to_be_checked()
        page.get_by_role("button", name="Deny").click()
        page.get_by_role("heading", name="tess is working on this computer").wait_for()
        assert gallery.following.lines[-1] == {
            "answer": "deny",
            "ask": 2,
            "scopes": ["files", "screen"],
        }


def test_hostile_words_run_nowhere(gallery: Gallery, browser: Chromium) -> None:
    asked = msgspec.structs.replace(ASKED, operator=EVIL, ticket=EVIL, reason=EVIL * 200)
    opened = msgspec.structs.replace(OPENED, operator=EVIL)
    said = msgspec.structs.replace(SAID, text=EVIL * 50, operator=EVIL)
    step = msgspec.structs.replace(STEP, text=EVIL)
    shot = msgspec.structs.replace(SHOT, operator=EVIL, reason=EVIL)
    with watched(browser) as one:
        one.page.goto(gallery.gate.way_in())
        for events in (
            [asked],
            [opened, said, step, shot],
            [Failed(code=EVIL, message=EVIL, hint=None)],
        ):
            place = gallery.happen(*events)
            for path in (place, f"{place}/chat", f"{place}/picture"):
                assert look(one.page, path, sizes=(PHONE,)) == []
                assert one.page.locator("main img").count() == 0


def test_everything_works_without_a_script(gallery: Gallery, browser: Chromium) -> None:
    place = gallery.happen(ASKED)
    with watched(browser, javascript=False) as one:
        page = one.page
        page.goto(gallery.gate.way_in())
        page.get_by_label("Language").select_option("ru")
        page.get_by_role("button", name="Change").click()
        page.get_by_role("heading", name="Специалист хочет вам помочь").wait_for()
        page.get_by_label("Язык").select_option("en")
        page.get_by_role("button", name="Изменить").click()
        # By keyboard alone: Enter in the form means no.
        page.goto(place)
        page.locator('input[value="view"]').focus()
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert gallery.following.lines[-1]["answer"] == "deny"
        place = gallery.happen(OPENED, STEP)
        page.goto(place)
        page.get_by_label("Why not?").fill("no lamp")
        with page.expect_navigation():
            page.get_by_role("button", name="I cannot").click()
        assert gallery.following.lines[-1] == {"step": 3, "answer": "cannot", "why": "no lamp"}
        page.get_by_role("button", name="Stop everything").click()
        page.get_by_role("heading", name="The session is over").wait_for()
        gallery.do(lambda: setattr(gallery.app, "_w", wording_in("en")))
