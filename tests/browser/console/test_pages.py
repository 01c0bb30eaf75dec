"""Every page of the console, light and dark, wide and narrow: whole, readable, reachable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console.conftest import Desk, OpenPage
from tests.support.browser import DESKTOP, PHONE, axe_faults, layout_faults

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


def _settled(page: Page) -> None:
    """Wait until the page shows its content: a heading, and nothing that still loads."""
    expect(page.locator("main h1").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.get_by_text(re.compile("^(Loading|Opening)…$"))).to_have_count(0)


def _go(page: Page, address: str) -> None:
    page.evaluate(
        "to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }",
        address,
    )


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")],
    ids=["light", "dark", "narrow"],
)
def test_every_page_is_whole(
    desk: Desk, places: dict[str, str], open_page: OpenPage, size: tuple[int, int], scheme: Any
) -> None:
    one = open_page("/queue", console=desk.admin, size=size, scheme=scheme)
    faults: list[str] = []
    for pattern, address in places.items():
        _go(one.page, address)
        _settled(one.page)
        count = one.page.locator("h1").count()
        if count != 1:
            faults.append(f"{pattern}: {count} first headings")
        if not re.search(r"\S+ . Farhand$", one.page.title()):
            faults.append(f"{pattern}: the title is {one.page.title()!r}")
        faults += [f"{pattern}: {fault}" for fault in layout_faults(one.page)]
        faults += [f"{pattern}: {fault}" for fault in axe_faults(one.page)]
        faults += [f"{pattern}: {fault}" for fault in one.faults]
        one.faults.clear()
    assert not faults, "\n".join(faults)


def test_open_work_outlives_a_reload(
    desk: Desk, places: dict[str, str], open_page: OpenPage
) -> None:
    page = open_page(places["/tickets/:ticket"]).page
    work = page.get_by_role("navigation", name="Open work")
    expect(work.get_by_role("link")).to_have_count(1)
    _go(page, places["/devices/:device"])
    expect(work.get_by_role("link")).to_have_count(2)
    page.reload()
    expect(work.get_by_role("link")).to_have_count(2)
    work.get_by_role("button").first.click()
    expect(work.get_by_role("link")).to_have_count(1)


def test_every_control_of_the_shell_is_reached_by_tab(seen: Any) -> None:
    page: Page = seen.page
    reached: list[str] = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => (document.activeElement.textContent || document.activeElement.id).trim()"
            )
        )
    words = " | ".join(reached)
    for name in ("To the page", "Queue", "Devices", "Admin", "Search or go to"):
        assert name in words, words
