"""Hostile words in every field that the page is told: inert on every page.

Everything that the page shows of devices, mails, chats and people comes through its lines to the
backend, so each text on them is made hostile on its way (`hostile`), or the far end of a line is
played by one that lies (`lying`).  What is left alone is what the page decides by: ids, states,
times.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console.conftest import Desk, OpenPage, go, settled
from tests.browser.console.hostile import LONG, TRICKS, inert, refused, through
from tests.browser.console.lying import DRAWN, LyingDevice
from tests.support.browser import PATIENCE_MS, Watched

pytestmark = pytest.mark.timeout(400)
# What a page could do to the person's browser beside drawing; none of it may be called.
_TRAPS = """() => {
  window.trapped = [];
  const trap = (name) => (...given) => { window.trapped.push(`${name} ${given}`); };
  navigator.clipboard.writeText = trap('clipboard');
  navigator.clipboard.write = trap('clipboard');
  navigator.clipboard.readText = trap('clipboard read');
  window.open = trap('open');
  window.Notification = trap('notification');
  window.alert = window.confirm = window.prompt = trap('alert');
}"""


def _walk(one: Watched, places: dict[str, str]) -> None:
    """Go to every page; fail where something is not inert, or the words came to few of them."""
    page, seen = one.page, 0
    faults: list[str] = []
    page.reload()
    for pattern, address in places.items():
        go(page, address)
        settled(page)
        seen += "<img src=x" in (text := page.inner_text("body")) or "xxxxxxxxxx" in text
        faults += inert(page, pattern)
        faults += [f"{pattern}: {fault}" for fault in one.faults if "status of 409" not in fault]
        one.faults.clear()
    assert not faults, "\n".join(faults)
    assert seen >= len(places) // 2, "the words arrived on few pages"


@pytest.mark.parametrize("words", [TRICKS, LONG], ids=["tricks", "long"])
def test_hostile_words_are_inert_on_every_page(
    desk: Desk, places: dict[str, str], open_page: OpenPage, words: str
) -> None:
    one = open_page("/queue", console=desk.admin)
    through(one.page, words)
    _walk(one, places)
    _search(one.page)


def _search(page: Page) -> None:
    """Search, go to what is found, and come back by the browser's own history."""
    before = page.url
    page.keyboard.press("Control+k")
    page.get_by_label("Search", exact=True).last.fill("printer")
    hits = page.get_by_role("dialog").get_by_role("option")
    expect(hits.filter(has_text="printer").first).to_be_visible()
    assert not (faults := inert(page, "the search")), "\n".join(faults)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != before)
    settled(page)
    assert page.url.isascii()
    assert "%" not in page.url, "no name gets into an address"
    page.go_back()
    page.wait_for_url(before)
    settled(page)
    assert not (faults := inert(page, "back again")), "\n".join(faults)


def test_hostile_words_of_refusals_are_inert_on_every_page(
    desk: Desk, places: dict[str, str], open_page: OpenPage
) -> None:
    one = open_page("/queue", console=desk.admin)
    refused(one.page, TRICKS + LONG)
    _walk(one, places)


def _until(page: Page, holds: Callable[[], bool]) -> None:
    """Let the page go on until something holds at its far end."""
    end = monotonic() + PATIENCE_MS / 1000
    while not holds() and monotonic() < end:
        page.wait_for_timeout(20)


@pytest.mark.parametrize("words", [TRICKS, LONG], ids=["tricks", "long"])
def test_a_device_that_lies_in_a_session_and_in_its_recording_is_inert(
    desk: Desk, places: dict[str, str], open_page: OpenPage, tmp_path: Path, words: str
) -> None:
    one = open_page("/queue", console=desk.technician)
    page = one.page
    one.expect("Failed to load resource: the server responded with a status of 409")
    session = places["/sessions/:session"].rsplit("/", 1)[1]
    far = LyingDevice(page, session, desk.agent.device, words)
    page.reload()
    settled(page)
    page.evaluate(_TRAPS)
    faults: list[str] = []

    def look(where: str, *, rests: bool = True) -> None:
        if rests:
            settled(page)
        faults.extend(inert(page, where))
        faults.extend(f"{where}: {trapped}" for trapped in page.evaluate("window.trapped"))
        # What failed is told before the page until it is read.
        page.evaluate("document.querySelectorAll('.toasts button').forEach((one) => one.click())")

    # Terminal and conversation: the shell hears figures, and nothing of what it printed.
    go(page, places["/sessions/:session"])
    rows = page.locator(".xterm-rows")
    expect(rows.first).to_contain_text(DRAWN)
    said = page.get_by_role("list", name="What was said")
    expect(said.get_by_role("listitem")).to_have_count(3)
    page.get_by_label("Say something to the person").fill("hello")
    page.get_by_label("Say something to the person").press("Enter")
    look("the terminal and the conversation")
    _until(page, lambda: far.typed.count(b"\x1b") >= 7)
    assert b"owned" not in far.typed
    assert b"rgb" not in far.typed
    assert set(far.typed) <= set(b"\x1b[?>;$0123456789cnRy"), far.typed
    assert far.typed.count(b"\x1b") == 7, far.typed
    far.typed = b""
    page.get_by_role("button", name="Back into it").click()
    paste = "a\x1b[201~\x03b\x9b\x7f\0\u202e\tc\nd"
    page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.setData('text/plain', text);
          const event = new ClipboardEvent('paste', {clipboardData: data, bubbles: true,
            cancelable: true});
          document.querySelector('.xterm-helper-textarea').dispatchEvent(event);
        }""",
        paste,
    )
    page.keyboard.type("!")
    _until(page, lambda: far.typed.endswith(b"!"))
    assert far.typed.decode() == "a[201~b\u202e\tc\rd!"
    page.keyboard.press("Control+Shift+F6")
    expect(page.get_by_role("button", name="Back into it")).to_be_focused()

    page.get_by_role("tab", name="Files").click()
    expect(page.get_by_role("table", name="What is in this folder")).to_be_visible()
    sent = tmp_path / "sent\u202e<b>.txt"
    sent.write_text("x")
    page.get_by_label("Files to send").set_input_files(str(sent))
    expect(page.get_by_role("list", name="Sent files")).to_contain_text("failed")
    look("files")
    page.get_by_role("button", name="Rename").first.click()
    expect(page.get_by_role("dialog", name="Rename")).to_be_visible()
    if words is TRICKS:
        expect(page.get_by_role("dialog", name="Rename")).to_contain_text("\u2039202e\u203agpj.exe")
    look("a new name")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove").last.click()
    look("removing")
    page.keyboard.press("Escape")

    page.get_by_role("tab", name="Tools").click()
    for name in ("Processes", "Services", "Log", "Disk usage"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("table").last).to_be_visible()
        look(name)
    page.get_by_role("button", name="Processes", exact=True).click()
    page.get_by_role("button", name="End process").first.click()
    look("ending a process")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Picture").click()
    page.get_by_role("button", name="Ask for a picture").click()
    expect(page.get_by_role("alert").last).to_be_visible()
    look("a picture that is refused")

    # What is to be signed is shown as it is, and whole.
    page.get_by_role("button", name="Ask for more…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("checkbox", disabled=False).last.check()
    look("asking for more")
    dialog.get_by_label("Why").fill(words[:200].replace("\0", "").replace("\n", " "))
    dialog.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("dialog", name="Sign with your key?")).to_be_visible()
    look("what is signed", rests=False)  # the act behind it waits for the answer
    page.get_by_role("button", name="Do not sign").click()

    far.mode = "observer"
    go(page, "/queue")
    go(page, places["/sessions/:session"])
    page.get_by_role("tab", name="Look on").click()
    expect(page.locator(".xterm-rows").first).to_contain_text(DRAWN)
    look("looking on")

    go(page, places["/recordings/:session"])
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".ap-player")).to_be_visible()
    expect(page.get_by_role("list", name="What was done").get_by_role("button")).to_have_count(3)
    page.get_by_role("list", name="What was done").get_by_role("button").last.click()
    expect(page.locator(".ap-term")).to_contain_text(DRAWN)
    look("a recording")
    assert not faults, "\n".join(faults)
