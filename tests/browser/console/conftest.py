"""A desk with people, devices and `farhand web`, and signed-in pages of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser

from farhand_console.web.assets import is_built
from tests.support.browser import DESKTOP, Scheme, Watched, watched
from tests.support.stage import AgentHome, ConsoleHome, Process, Stage


@dataclass
class Desk:
    """A relay with its admin, the technician tess, one running agent, and tess's `farhand web`.

    Attributes:
        web: the running `farhand web`; `link` starts it at first use.
    """

    stage: Stage
    admin: ConsoleHome
    technician: ConsoleHome
    agent: AgentHome
    web: dict[str, Process]

    def link(self, console: ConsoleHome) -> str:
        """Start `farhand web` in a console's home (anew, where one runs) and return its link."""
        name = console.home.name
        if name in self.web:
            self.web.pop(name).end()
        process = console.start("web", "--json", "--no-browser")
        self.web[name] = process
        return str(process.next_json()["url"])

    def ticket(self, title: str, **options: str) -> str:
        """Make a ticket and return its number."""
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        made: dict[str, Any] = self.technician.json("ticket", "new", "--title", title, *words)
        return str(made["number"])


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """One desk for a module's tests."""
    if not is_built():
        if os.environ.get("FARHAND_CI") == "1":
            pytest.fail("the page is not built: make ui", pytrace=False)
        pytest.skip("the page is not built: make ui")
    with Stage() as stage:
        admin, technician = stage.settle()
        stage.start_relay()
        agent = stage.agent("reception")
        agent.enrol(admin.json("token", "create", "--group", "office")["token"])
        agent.start()
        yield Desk(stage, admin, technician, agent, {})


OpenPage = Callable[..., Watched]


@pytest.fixture
def open_page(desk: Desk, browser: Browser) -> Iterator[OpenPage]:
    """Open pages that are signed in: `open_page("/queue", console=desk.admin, size=PHONE)`."""
    with ExitStack() as stack:

        def opened(
            path: str = "/queue",
            *,
            console: ConsoleHome | None = None,
            size: tuple[int, int] = DESKTOP,
            scheme: Scheme = "light",
        ) -> Watched:
            link = desk.link(console or desk.technician)
            address, _, token = link.partition("/#")
            one = stack.enter_context(watched(browser, size=size, scheme=scheme))
            one.page.goto(f"{address}{path}#{token}")
            one.page.locator("main#main h1").first.wait_for()
            return one

        yield opened


@pytest.fixture
def seen(open_page: OpenPage) -> Watched:
    """The technician's console at its queue."""
    return open_page("/queue")
