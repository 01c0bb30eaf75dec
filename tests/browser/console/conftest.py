"""A desk with people, devices and `farhand web`, and signed-in pages of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from farhand_console.web.assets import is_built
from tests.support.browser import DESKTOP, Scheme, Watched, settle, watched
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


ROUTES = Path(__file__).parents[3] / "console/farhand_console/web/app/src/routes.ts"


@pytest.fixture(scope="module")
def places(desk: Desk) -> dict[str, str]:
    """A desk with one of everything; the address of each page by its pattern in routes.ts."""
    number = desk.ticket("The printer is offline", requester="ann")
    desk.technician.run("ticket", "reply", number, "Is its light on?")
    desk.technician.run("ticket", "note", number, "The tray sticks.")
    desk.admin.json("kb", "import", "--starter")
    articles = desk.admin.json("kb", "list")["items"]
    campaign = desk.admin.json(
        *("campaign", "create", "--script", "check.disk.space", "--query", "*"),
        *("--name", "Disks of November"),
    )["campaign"]
    desk.admin.json("trust", "policy", "office", "--unattended", "--consent", "notify")
    opened = desk.technician.json(
        "session", "open", "--device", desk.agent.device, "--ticket", number
    )
    session = opened["session"]
    desk.technician.run("exec", session, "--", "echo hello")
    desk.technician.json("session", "end", session, "--note", "Looked.", "--no-diff")
    values = {
        ":ticket": number,
        ":device": desk.agent.device,
        ":session": session,
        ":campaign": campaign,
        ":script": "check.disk.space",
        ":article": articles[0]["slug"],
    }
    found = re.findall(r'path: "(/[^"]*)", load:', ROUTES.read_text())
    assert len(found) >= 15
    return {pattern: re.sub(r":\w+", lambda match: values[match[0]], pattern) for pattern in found}


def settled(page: Page) -> None:
    """Wait until the page shows its content: a heading, and nothing that still loads."""
    expect(page.locator("main h1").first).to_be_visible()
    settle(page)


def go(page: Page, address: str) -> None:
    """Go to another page of the console as a link of it does."""
    page.evaluate(
        "to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }",
        address,
    )


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
