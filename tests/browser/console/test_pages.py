"""Every page of the console, light and dark, wide and narrow: whole, readable, reachable."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console.conftest import Desk, OpenPage, go, settled
from tests.browser.console.dialogs import LAYERS, WAYS, leave, walk
from tests.support.browser import DESKTOP, PHONE, ZOOMED, axe_faults, layout_faults, look

pytestmark = pytest.mark.timeout(600)
_CONTRAST = ("color-contrast",)
_FOR_FINGERS = ("target-size", "scrollable-region-focusable")


@pytest.fixture(scope="module")
def live(desk: Desk, places: dict[str, str]) -> str:
    """A session of the admin that runs; its page's address."""
    number = places["/tickets/:ticket"].rsplit("/", 1)[1]
    opened = desk.admin.json("session", "open", "--device", desk.agent.device, "--ticket", number)
    return f"/sessions/{opened['session']}"


def _whole(page: Page, within: str) -> list[str]:
    """Return what is wrong with a page or tab in any of its looks."""
    faults = [f"light: {one}" for one in layout_faults(page) + axe_faults(page, within=within)]
    look(page, scheme="dark")
    faults += [f"dark: {one}" for one in axe_faults(page, within=within, rules=_CONTRAST)]
    look(page, scheme="light", size=PHONE)
    found = layout_faults(page) + axe_faults(page, within=within, rules=_FOR_FINGERS)
    faults += [f"narrow: {one}" for one in found]
    look(page, size=ZOOMED)
    faults += [f"zoomed: {one}" for one in layout_faults(page)]
    look(page, size=DESKTOP)
    return faults


def test_every_page_and_tab_is_whole(
    desk: Desk, places: dict[str, str], live: str, open_page: OpenPage
) -> None:
    one = open_page("/queue", console=desk.admin)
    page = one.page
    faults: list[str] = []
    for pattern, address in {**places, "live": live}.items():
        go(page, address)
        settled(page)
        tabs = page.locator("main [role=tab]")
        for place in range(tabs.count() or 1):
            name = pattern
            if tabs.count():
                tabs.nth(place).click()
                settled(page)
                name = f"{pattern}, {tabs.nth(place).inner_text()}"
            if (count := page.locator("h1").count()) != 1:
                faults.append(f"{name}: {count} first headings")
            if not re.search(r"\S+ . Farhand$", page.title()):
                faults.append(f"{name}: the title is {page.title()!r}")
            faults += [
                f"{name}: {fault}"
                for fault in [*_whole(page, "main" if place else "html"), *one.faults]
            ]
            one.faults.clear()
    assert not faults, "\n".join(faults)


_FOCUS_IS_OVER = "layers => !!document.activeElement.closest(layers)"


def test_every_question_is_whole_and_gives_the_focus_back(
    desk: Desk, places: dict[str, str], live: str, open_page: OpenPage
) -> None:
    one = open_page("/queue", console=desk.admin)
    page = one.page
    faults: list[str] = []
    for way in WAYS:
        opener = walk(page, live if way.page == "live" else places[way.page], way)
        found: list[str] = []
        if not page.evaluate(_FOCUS_IS_OVER, LAYERS):
            found.append("the focus stays on the page below")
        if page.locator("[role=dialog]").count():
            page.keyboard.press("Shift+Tab")
            if not page.evaluate(_FOCUS_IS_OVER, LAYERS):
                found.append("Shift Tab leaves it")
        found += axe_faults(page, within=LAYERS) + layout_faults(page)
        look(page, scheme="dark")
        found += [f"dark: {x}" for x in axe_faults(page, within=LAYERS, rules=_CONTRAST)]
        look(page, scheme="light", size=PHONE)
        fingers = axe_faults(page, within=LAYERS, rules=_FOR_FINGERS)
        found += [f"narrow: {x}" for x in layout_faults(page) + fingers]
        look(page, size=DESKTOP)
        leave(page)
        if opener is not None:
            try:
                expect(opener).to_be_focused(timeout=10_000)
            except AssertionError:
                found.append("the focus is not given back")
        faults += [f"{way}: {fault}" for fault in [*found, *one.faults]]
        one.faults.clear()
    assert not faults, "\n".join(faults)


def test_open_work_outlives_a_reload(
    desk: Desk, places: dict[str, str], open_page: OpenPage
) -> None:
    page = open_page(places["/tickets/:ticket"]).page
    work = page.get_by_role("navigation", name="Open work")
    expect(work.get_by_role("link")).to_have_count(1)
    go(page, places["/devices/:device"])
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
