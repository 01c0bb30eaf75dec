"""A device with its page open, and a technician at her console; real processes on one screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page
from Xlib import X, display

from farhand_console.web.assets import is_built
from tests.support.browser import Watched, watched
from tests.support.stage import AgentHome, ConsoleHome, Process, Stage
from tests.support.xvfb import xvfb


@dataclass
class Place:
    """One device in front of which somebody sits, and the technician who helps.

    Attributes:
        display: the screen of the device.
        desktop: its `farhand-agent desktop`; `open_desktop` starts it, anew where one runs.
    """

    stage: Stage
    admin: ConsoleHome
    technician: ConsoleHome
    agent: AgentHome
    display: str
    desktop: Process | None = None

    def open_desktop(self) -> None:
        """Start the page; one that runs is ended, and with it the sessions begun on it."""
        if self.desktop is not None:
            self.desktop.end()
        self.desktop = self.stage.start(
            self.agent.words("desktop", "--no-browser", "--json"),
            env={**self.stage.env, "DISPLAY": self.display},
        )
        self.desktop.next_json()

    def link(self) -> str:
        """Return a way in."""
        return str(self.agent.json("desktop", "--no-browser")["url"])

    def policy(self, text: str = "") -> None:
        """Let the device's own policy say this; without words it says nothing."""
        target = self.agent.home / "policy.toml"
        if text:
            target.write_text(text)
        else:
            target.unlink(missing_ok=True)

    def ticket(self, title: str) -> str:
        """Make a ticket and return its number."""
        return str(self.technician.json("ticket", "new", "--title", title)["number"])


def paint_white(name: str) -> None:
    """Make a screen white, so that black is seen on it."""
    screen = display.Display(name)
    try:
        root = screen.screen().root
        root.change_attributes(
            background_pixel=screen.screen().white_pixel, event_mask=X.NoEventMask
        )
        root.clear_area()
        screen.sync()
    finally:
        screen.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One device for a module's tests."""
    with ExitStack() as stack:
        screen = stack.enter_context(xvfb(1024, 768))
        paint_white(screen)
        stage = stack.enter_context(Stage())
        admin, technician = stage.settle()
        stage.start_relay()
        agent = stage.agent("reception")
        agent.enrol(admin.json("token", "create", "--group", "office")["token"])
        agent.start(env={**stage.env, "DISPLAY": screen})
        one = Place(stage, admin, technician, agent, screen)
        one.open_desktop()
        yield one


@pytest.fixture
def calm(place: Place) -> Iterator[Place]:
    """The device, with nothing of this test left on it when the next one begins, or this one again.

    Whatever became of the test: what it started ends, and so does every session of the device.
    """
    known = [*place.stage.processes]
    yield place
    place.policy()
    for process in reversed(place.stage.processes):
        if process not in known and process not in (place.desktop, place.stage.relay):
            process.end()
    place.agent.run("stop")


@pytest.fixture
def seen(calm: Place, browser: Browser) -> Iterator[Watched]:
    """The start of the person's page, in a browser of its own that was let in just now."""
    with watched(browser) as one:
        one.page.goto(calm.link())
        if "/session/" in one.page.url:
            # An earlier test failed in the middle, and what it began is ending at best.
            calm.open_desktop()
            one.page.goto(calm.link())
        one.page.get_by_role("button", name="Show a code").wait_for()
        yield one


OpenConsole = Callable[[ConsoleHome, str], Page]


@pytest.fixture
def console(calm: Place, browser: Browser) -> Iterator[OpenConsole]:
    """Open pages of a person's `farhand web`: `console(place.technician, "/queue")`."""
    if not is_built():
        if os.environ.get("FARHAND_CI") == "1":
            pytest.fail("the console's page is not built: make ui", pytrace=False)
        pytest.skip("the console's page is not built: make ui")
    with ExitStack() as stack:

        def opened(home: ConsoleHome, path: str) -> Page:
            web = home.start("web", "--no-browser")
            address, _, token = str(web.next_json()["url"]).partition("/#")
            one = stack.enter_context(watched(browser))
            one.page.goto(f"{address}{path}#{token}")
            one.page.locator("main#main h1").first.wait_for()
            return one.page

        yield opened
