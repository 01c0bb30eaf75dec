"""The shell around every page: where one can go, the search, the keys, what runs, the link."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Route, expect

from tests.browser.console.conftest import Desk, OpenPage, go, settled
from tests.support.browser import Watched, watched


def test_everything_is_reached_by_keys_and_links(desk: Desk, seen: Watched) -> None:
    number = desk.ticket("The scanner hums", requester="ann")
    page = seen.page
    for key, name in (("d", "Devices"), ("c", "Campaigns"), ("q", "Queue")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.locator("main h1").first).to_have_text(name)
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("scanner")
    expect(page.get_by_role("dialog").get_by_text("The scanner hums")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"/tickets/{number}$"))
    page.go_back()
    expect(page.locator("main h1").first).to_have_text("Queue")


def test_the_search_says_what_it_could_not_search(desk: Desk, open_page: OpenPage) -> None:
    desk.admin.json(
        *("campaign", "create", "--script", "check.disk.space", "--query", "*"),
        *("--name", "Hard disks of spring"),
    )
    one = open_page("/queue", console=desk.admin)
    one.expect("Failed to load resource: the server responded with a status of 502")
    page = one.page
    page.route("**/relay/ticket-search*", lambda route: _refused(route, "the relay is far away"))
    page.keyboard.press("Control+k")
    page.keyboard.type("disk")
    box = page.get_by_role("dialog", name="Search")
    expect(box.get_by_text("Hard disks of spring")).to_be_visible()
    expect(box.get_by_text("check.disk.space")).to_be_visible()
    expect(box.get_by_role("status")).to_have_text("Tickets: not searched, the relay is far away")


def test_what_nobody_answered_is_sent_again_as_the_same(desk: Desk, open_page: OpenPage) -> None:
    number = desk.ticket("The fan rattles", requester="ann")
    one = open_page(f"/tickets/{number}")
    one.expect("Failed to load resource: the server responded with a status of 502")
    page = one.page
    keys: list[str] = []

    def sent(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            _refused(route, "the relay did not answer in time")
        else:
            route.continue_()

    page.route("**/relay/tickets/*/messages", sent)
    box = page.get_by_role("form", name="Write")
    box.get_by_role("textbox").fill("Dust is in it.")
    box.get_by_role("textbox").press("Control+Enter")
    expect(page.get_by_text("the relay did not answer in time")).to_be_visible()
    box.get_by_role("textbox").press("Control+Enter")
    expect(box.get_by_role("textbox")).to_have_value("")
    expect(page.get_by_text("Dust is in it.")).to_have_count(1)
    assert len(keys) == 2
    assert keys[0] == keys[1]


def _refused(route: Route, words: str) -> None:
    """Answer as the backend does where there is no relay."""
    route.fulfill(
        status=502,
        content_type="application/problem+json",
        body=json.dumps({"code": "relay-timeout", "detail": words}),
    )


def test_a_link_lets_one_browser_in_once(desk: Desk, open_page: OpenPage) -> None:
    first = open_page("/queue").page
    link = f"{first.url.partition('/queue')[0]}/"
    first.reload()
    expect(first.locator("main h1").first).to_have_text("Queue")
    browser = first.context.browser
    assert browser is not None
    with watched(browser) as other:
        other.expect("Failed to load resource: the server responded with a status of 403")
        other.page.goto(f"{link}#token=guessed")
        expect(other.page.get_by_role("alert")).to_contain_text("web-token-used")
        other.page.goto(f"{link}queue")
        expect(other.page.get_by_role("alert")).to_contain_text("web-not-signed-in")


def test_open_work_and_drafts_are_there_after_a_restart(desk: Desk, open_page: OpenPage) -> None:
    number = desk.ticket("The keyboard sticks", requester="ann")
    first = open_page(f"/tickets/{number}").page
    reply = first.get_by_label("Reply to the requester")
    with first.expect_response(
        lambda told: (
            told.url.endswith("/local/kept") and "Which k" in (told.request.post_data or "")
        )
    ):
        reply.fill("Which keys")
    first.get_by_label("Colours").select_option("dark")
    # What was not written yet when the page goes is not lost either.
    reply.fill("Which keys, and")
    first.reload()
    expect(reply).to_have_value("Which keys, and")
    address = first.url
    with first.expect_response(
        lambda told: told.url.endswith("/local/kept") and told.request.method == "POST"
    ):
        reply.fill("Which keys, and since when?")
    first.goto("about:blank")
    # Another port, another browser.
    second = open_page("/queue").page
    assert second.url.partition("/queue")[0] not in address
    expect(second.locator("html")).to_have_attribute("data-theme", "dark")
    second.get_by_role("link", name=re.compile("The keyboard sticks")).first.click()
    expect(second.get_by_label("Reply to the requester")).to_have_value(
        "Which keys, and since when?"
    )
    second.get_by_label("Colours").select_option("system")


def test_what_cannot_be_reached_is_said_with_its_age(desk: Desk, open_page: OpenPage) -> None:
    one = open_page("/queue")
    one.expect("WebSocket connection to", "Failed to load resource")
    desk.web["console-tess"].end()
    expect(one.page.get_by_text("farhand web does not answer")).to_be_visible()


def test_a_request_is_worked_on_by_the_keyboard_alone(desk: Desk, seen: Watched) -> None:
    for n in (1, 2):
        desk.ticket(f"Key {n} is stuck", requester="ann")
    page, keyboard = seen.page, seen.page.keyboard
    keyboard.press("Control+k")
    keyboard.type("unassigned")
    expect(page.get_by_role("option", name="Unassigned")).to_be_visible()
    keyboard.press("Enter")
    table = page.get_by_role("table", name="Tickets")
    expect(table.get_by_role("link", name=re.compile("Key 2 is stuck"))).to_be_visible()
    # Along the list, choose one, take it by the button's name.
    keyboard.press("j")
    expect(table.get_by_role("link", name=re.compile("Key 2 is stuck"))).to_be_focused()
    keyboard.press("j")
    first = table.get_by_role("link", name=re.compile("Key 1 is stuck"))
    expect(first).to_be_focused()
    keyboard.press("x")
    expect(page.get_by_text("1 chosen")).to_be_visible()
    keyboard.press("Control+k")
    keyboard.type("take")
    expect(page.get_by_role("option", name="Take", exact=True)).to_be_visible()
    keyboard.press("Enter")
    expect(first).to_have_count(0)
    # Open the other, answer it, and close it with words.
    keyboard.press("j")
    expect(table.get_by_role("link", name=re.compile("Key 2 is stuck"))).to_be_focused()
    keyboard.press("Enter")
    expect(page.locator("main h1").first).to_contain_text("Key 2 is stuck")
    keyboard.press("r")
    reply = page.get_by_label("Reply to the requester")
    expect(reply).to_be_focused()
    keyboard.type("Which key is it?")
    keyboard.press("Control+Enter")
    expect(page.get_by_text("Which key is it?")).to_be_visible()
    expect(reply).to_have_value("")
    keyboard.press("Tab")
    keyboard.press("Control+k")
    keyboard.type("resolve")
    expect(page.get_by_role("option", name=re.compile("^Resolve"))).to_be_visible()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog", name=re.compile("Resolve"))).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_nothing_on_a_page_is_for_the_mouse_alone(
    places: dict[str, str], open_page: OpenPage, desk: Desk
) -> None:
    page = open_page("/queue", console=desk.admin).page
    for pattern, address in places.items():
        go(page, address)
        settled(page)
        left = page.evaluate(
            """() => [...document.querySelectorAll('body *')]
                .filter((one) => one.tabIndex > 0
                    || (one.onclick || getComputedStyle(one).cursor === 'pointer')
                    && one.checkVisibility()
                    && !one.closest('a[href], button, label, summary, select, input')
                    && !one.closest('[role=tab], [role=option], [tabindex="0"]'))
                .map((one) => one.outerHTML.slice(0, 200))"""
        )
        assert left == [], pattern
