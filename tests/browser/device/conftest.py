"""A device with its page open, and a technician at her console; real processes on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser
from Xlib import X, display

from tests.support.browser import Watched, watched
from tests.support.stage import AgentHome, ConsoleHome, Process, Stage
from tests.support.xvfb import xvfb


@dataclass
class Place:
    """One device in front of which somebody sits, and the technician who helps.

    Attributes:
        display: the screen of the device.
        desktop: its `farhand-agent desktop`.
        link: the first way in.
    """

    stage: Stage
    technician: ConsoleHome
    agent: AgentHome
    display: str
    desktop: Process
    link: str

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
        agent.start()
        desktop = stage.start(
            agent.words("desktop", "--no-browser", "--json"), env={**stage.env, "DISPLAY": screen}
        )
        link = str(desktop.next_json()["url"])
        yield Place(stage, technician, agent, screen, desktop, link)


@pytest.fixture
def seen(place: Place, browser: Browser) -> Iterator[Watched]:
    """The person's page, in a browser of its own that was let in just now."""
    with watched(browser) as one:
        link = place.agent.json("desktop", "--no-browser")["url"]
        one.page.goto(link)
        yield one
