"""Every page of the console, light and dark, wide and narrow: whole, readable, reachable."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console.conftest import Desk, OpenPage, go, settled
from tests.support.browser import DESKTOP, PHONE, axe_faults, layout_faults


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
        go(one.page, address)
        settled(one.page)
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
