"""Every question, menu and list that the web console lays over a page, and the way to each.

A way is walked as a person would: the page, then what is pressed, by its role and name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Locator, Page

from tests.browser.console.conftest import go, settled

__all__ = ["LAYERS", "WAYS", "Way", "leave", "walk"]

# What lies over a page.
LAYERS: Final = "[role=dialog], [role=menu]"

Name = str | re.Pattern[str]


@dataclass(frozen=True)
class Way:
    """How one of them is opened.

    Attributes:
        page: its page's pattern in routes.ts, or `live` for a session that runs.
        steps: what is pressed or typed: (role, name), or ("key" or "type", text).
        query: of the page's address.
    """

    page: str
    steps: tuple[tuple[str, Name], ...]
    query: str = ""

    def __str__(self) -> str:
        words = (n if isinstance(n, str) else n.pattern for _, n in self.steps)
        return " > ".join([f"{self.page}{self.query}", *words])


def _ways(page: str, *steps: tuple[tuple[str, Name], ...], query: str = "") -> list[Way]:
    return [Way(page, one, query) for one in steps]


def _button(name: Name) -> tuple[str, Name]:
    return ("button", name)


_MORE: Final = _button(re.compile("^More"))


def _more(name: Name) -> tuple[tuple[str, Name], ...]:
    return (_MORE, ("menuitem", name))


WAYS: Final = (
    *_ways(
        "/queue",
        (("key", "Control+k"),),
        (("key", "Control+k"), ("type", "printer")),
        (("key", "?"),),
        (_button(re.compile("session.? runs?$")),),
        (_button("New ticket"),),
        (_button("Save a list…"),),
        (("checkbox", re.compile("^Choose FH-")), _button("Assign…")),
        query="?view=all",
    ),
    *_ways(
        "/tickets/:ticket",
        (_button("Connect"),),
        (_button("Run"),),
        (_button("Run"), _button(re.compile("check.disk.space"))),
        (_button("Escalate"),),
        (_button("Resolve"),),
        (_button("Article"),),
        (_MORE,),
        _more("Assign…"),
        _more("Details…"),
        _more("Wait…"),
        _more(re.compile("^Merge")),
    ),
    *_ways(
        "/devices",
        (_button("Add devices…"),),
        (_button("Add devices…"), _button("Make the token")),
        (("checkbox", re.compile("^Choose ")), _button("Tag 1…")),
    ),
    *_ways(
        "/devices/:device",
        (_button("Run…"),),
        (_MORE,),
        _more("Tags…"),
        _more("Move to a group…"),
        _more("Wake…"),
        _more("Merge…"),
        _more("Retire…"),
    ),
    *_ways("live", (_button("End…"),), (_button("Ask for more…"),)),
    *_ways("live", (_button(re.compile("^New folder")),), query="?tab=files"),
    *_ways("live", (_button("Switch off"),), query="?tab=tools"),
    *_ways("/campaigns", (_button("New campaign"),), (_button("New from patch template"),)),
    *_ways("/campaigns/:campaign", (_button("Abort"),), (_button("reception"),)),
    *_ways("/scripts", (_button("Run one"),)),
    *_ways("/scripts/:script", (_button("Revoke"),)),
    *_ways("/knowledge", (_button("New article"),)),
    *_ways("/knowledge/:article", (_button("Details"),)),
    *_ways(
        "/admin",
        (_button("Add an account"),),
        (_button("Add an account"), ("type", "zoe"), _button(re.compile("^Add"))),
        (_button("tess"),),
    ),
    *_ways(
        "/admin",
        (_button("Add a person or a key"),),
        (_button(re.compile("^Remove tess")),),
        query="?tab=operators",
    ),
    *_ways("/admin", (_button(re.compile("^Refresh for")),), query="?tab=trust"),
    *_ways("/admin", (_button("Add one"),), query="?tab=organisations"),
    *_ways("/admin", (_button("Tell many people"),), query="?tab=notices"),
)


def walk(page: Page, address: str, way: Way) -> Locator | None:
    """Open one; return what on the page itself opened it, where that was no key."""
    go(page, address + way.query)
    settled(page)
    opener: Locator | None = None
    for role, name in way.steps:
        if role == "key":
            page.keyboard.press(str(name))
        elif role == "type":
            page.keyboard.type(str(name))
        else:
            over = page.locator("[role=dialog]").last
            scope = over if role == "button" and over.count() else page
            exact = isinstance(name, str)
            one = scope.get_by_role(role, name=name, exact=exact).first  # type: ignore[arg-type]
            if scope is page and role == "button":
                opener = one
            one.click()
            settled(page)
    page.locator(LAYERS).last.wait_for()
    settled(page)
    return opener


def leave(page: Page) -> None:
    """Close whatever lies over the page, by Escape alone."""
    layers = page.locator(LAYERS)
    for _ in range(3):
        if (open_now := layers.count()) == 0:
            return
        page.keyboard.press("Escape")
        page.wait_for_function(
            "([layers, before]) => document.querySelectorAll(layers).length < before",
            arg=[LAYERS, open_now],
        )
    raise AssertionError(f"{layers.count()} stay open after Escape")
