"""Who may only read is offered nothing that changes something, on any page, in any of its tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console.conftest import Desk, OpenPage, go, settled
from tests.support.stage import ConsoleHome

pytestmark = pytest.mark.timeout(400)

# What an auditor may press: it looks, chooses what is shown, or is kept on this machine alone.
# Whatever is not here is taken for a change, so that a new button has to be thought of.
_HARMLESS = re.compile(
    "|".join(
        (
            # To look, and what this machine alone keeps.
            r"Search.*", r"Show.*", r"Look( again| only)?", r"Filter.*", r"More( steps)?",
            r"Earlier", r"Later", r"Play", r"Verify.*", r"Read anew", r"An example", r"Close .+",
            r"Dismiss", r"Back to .*", r"The month .*", r"←|→", r"Keep this filter",
            r"Forget (?!second factors).*", r"Copy.*", r"Export as .*",
            # To choose what is shown.
            r"Tier", r"Choose .*", r"What happened too", r"State", r"For whom", r"Language",
            r"Stale translations", r"Month", r"(By|Of|Plot)\b.*",
            # A vote is everybody's.
            r"It (helped|did not)",
        )
    ),
    re.DOTALL,
)  # fmt: skip
# What can be pressed or ticked now, by name; what only chooses what is shown says so by its role.
_OFFERED = """() => {
  const named = (one) => (one.getAttribute("aria-label") || one.labels?.[0]?.innerText
    || one.innerText || one.value || one.title || "?").trim();
  const seen = (one) => one.getClientRects().length && !one.closest("[hidden], [inert]");
  const chooses = "[role=tab], [aria-pressed], [aria-current], nav *, .link, [type=search]";
  // What is filled in, in a form that cannot be sent.
  const idle = (one) => one.closest("form")?.querySelector("button[type=submit]:disabled");
  const found = document.querySelectorAll(
    "main#main :is(button, [role=button], input, select, textarea), [role=menuitem]");
  return [...found].filter((one) => !one.matches(":disabled") && !one.matches(chooses)
    && one.getAttribute("aria-disabled") !== "true" && seen(one)
    && (one.matches("button") || !idle(one))
    && (one.matches("button, [role], select, [type=checkbox], [type=radio], [type=submit]")
        || !one.closest("form"))).map(named);
}"""


@pytest.fixture(scope="module")
def auditor(desk: Desk) -> ConsoleHome:
    """Somebody who reads, and has no key on the roster."""
    added = desk.admin.json("account", "add", "olga", "--role", "auditor")
    console = desk.stage.console("olga")
    console.login(added["signin_token"])
    return console


def _tabs(page: Page) -> Iterator[str]:
    """Go through the tabs of the page; without any there is the page."""
    tabs = page.locator("main#main [role=tab]")
    names = tabs.all_inner_texts()
    yield ""
    for n, name in list(enumerate(names))[1:]:
        tabs.nth(n).click()
        expect(tabs.nth(n)).to_have_attribute("aria-selected", "true")
        settled(page)
        yield name


def _offered(page: Page) -> list[str]:
    """Return what can be pressed, with what stands in the menus."""
    found = list(page.evaluate(_OFFERED))
    for menu in page.locator("main#main [aria-haspopup=menu]").all():
        menu.click()
        expect(page.get_by_role("menu")).to_be_visible()
        found += page.evaluate(_OFFERED)
        page.keyboard.press("Escape")
        expect(page.get_by_role("menu")).to_have_count(0)
    return found


def test_an_auditor_is_offered_no_change(
    desk: Desk, places: dict[str, str], auditor: ConsoleHome, open_page: OpenPage
) -> None:
    page = open_page("/queue", console=auditor).page
    expect(page.get_by_role("button", name="New ticket")).to_be_disabled()
    expect(page.get_by_role("button", name="New ticket")).to_have_attribute(
        "title", re.compile("auditor, may not")
    )
    changes = []
    for pattern, address in places.items():
        go(page, address)
        settled(page)
        for tab in _tabs(page):
            where = f"{pattern} {tab}".strip()
            changes += [
                f"{where}: {name}" for name in _offered(page) if not _HARMLESS.fullmatch(name)
            ]
    assert not changes, "\n".join(changes)

    go(page, "/admin")
    page.get_by_role("button", name="tess", exact=True).click()
    expect(page.get_by_role("button", name="Disable", exact=True)).to_be_disabled()
    expect(page.get_by_role("button", name="New sign-in token")).to_be_disabled()

    # The keys do no more than the buttons.
    go(page, places["/tickets/:ticket"])
    settled(page)
    for key in ("c", "x", "e", "v", "r"):
        page.keyboard.press(key)
    expect(page.get_by_role("dialog")).to_have_count(0)
    go(page, "/queue")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_technician_is_offered_her_work_and_no_more(
    desk: Desk, places: dict[str, str], open_page: OpenPage
) -> None:
    page = open_page(places["/tickets/:ticket"]).page
    for name in ("Connect", "Run", "Escalate", "Resolve"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_enabled()
    go(page, places["/devices/:device"])
    page.get_by_role("button", name="More", exact=True).click()
    menu = page.get_by_role("menu")
    expect(menu.get_by_role("menuitem", name="Tags…")).to_be_visible()
    expect(menu.get_by_role("menuitem", name="Retire…")).to_have_count(0)
    expect(menu.get_by_role("menuitem", name="Merge…")).to_have_count(0)
