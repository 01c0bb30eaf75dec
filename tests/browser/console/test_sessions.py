"""Devices and sessions in a real browser: connect, type, send and fetch files, end, play."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console.conftest import Desk, OpenPage
from tests.support.browser import PHONE, Watched, axe_faults, layout_faults

MARK = "heard-\u202e<b>-by-all"


@pytest.fixture(scope="module")
def fleet(desk: Desk) -> Desk:
    """The desk, with a policy under which its device needs nobody in front of it."""
    key = desk.admin.json("recording", "key", "new")["recipient"]
    desk.admin.json(
        "trust", "policy", "office", "--unattended", "--consent", "notify",
        "--recording", "on", "--audit-key", key,
    )  # fmt: skip
    return desk


def signed(page: Page) -> None:
    """Agree to the one thing that is asked."""
    page.get_by_role("dialog", name="Sign with your key?").get_by_role(
        "button", name="Sign", exact=True
    ).click()


def typed(page: Page, line: str) -> None:
    """Type a line into the terminal that has the keyboard."""
    page.keyboard.type(line)
    page.keyboard.press("Enter")


def screen(page: Page) -> str:
    """Return what the terminal shows."""
    return page.locator(".xterm-rows").first.inner_text()


def whole(one: Watched) -> None:
    """Fail where the page as it stands cannot be read by everybody."""
    assert not axe_faults(one.page)
    assert not layout_faults(one.page)


@pytest.mark.timeout(420)
def test_from_a_device_into_a_session_and_out_with_a_recording(
    fleet: Desk, open_page: OpenPage, tmp_path: Path
) -> None:
    one = open_page("/devices", console=fleet.admin)
    page = one.page
    page.get_by_role("link", name="reception").click()
    expect(page.get_by_role("heading", name="reception")).to_be_visible()
    whole(one)
    page.get_by_role("button", name="Connect…").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Connect", exact=True).click()
    signed(page)
    page.wait_for_url(re.compile("/sessions/s-"), timeout=120_000)
    address = page.url
    page.locator("[data-phase=open]").wait_for()

    # What is typed arrives, in a terminal of the size that is seen; what is printed only draws.
    typed(page, "printf '\\e]52;c;aGVsbG8=\\a\\e]8;;http://example.org\\a\\e[38;2;9;200;9mx\\e[m'")
    typed(page, "stty size; echo 4$((1))2")
    # A login shell reads whatever the account's own startup files do, which may wait for a minute.
    expect(page.locator(".xterm-rows").first).to_contain_text("412", timeout=150_000)
    before = re.search(r"^(\d+) (\d+)$", screen(page), re.MULTILINE)
    page.set_viewport_size({"width": 1100, "height": 700})
    typed(page, "clear; stty size; echo 5$((1))2")
    expect(page.locator(".xterm-rows").first).to_contain_text("512")
    after = re.search(r"^(\d+) (\d+)$", screen(page), re.MULTILINE)
    assert before is not None
    assert after is not None
    assert int(after[2]) < int(before[2])
    # A flood is drawn as fast as the page can, and what follows it is there at the end.
    typed(page, "clear; yes | head -c 1000000; clear; echo 6$((1))2")
    expect(page.locator(".xterm-rows").first).to_contain_text("612")
    page.keyboard.press("Control+Shift+F6")
    expect(page.get_by_role("button", name="Back into it")).to_be_focused()
    whole(one)

    # Files there and back, under a name that would turn a line around.
    page.get_by_role("tab", name="Files").click()
    sent = tmp_path / f"{MARK}.bin"
    sent.write_bytes(hashlib.sha256(b"seed").digest() * 50_000)
    home = page.get_by_role("group", name="Files of the device")
    expect(page.get_by_role("button", name="Send files…")).to_be_enabled()
    page.get_by_label("Files to send").set_input_files(str(sent))
    expect(home.get_by_text("done")).to_be_visible()
    page.get_by_label("Filter this folder").fill("heard-")
    row = home.get_by_role("row").filter(has_text="by-all")
    expect(row).to_contain_text("‹202e›")
    with page.expect_download() as fetched:
        row.get_by_role("link").click()
    assert Path(fetched.value.path()).read_bytes() == sent.read_bytes()
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
    page.get_by_role("tab", name="Tools").click()
    expect(page.get_by_role("table", name="processes")).to_contain_text("python")
    whole(one)

    # Another look at the same session takes the same connection, and shows it on a phone.
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    whole(one)
    page.set_viewport_size({"width": 1280, "height": 800})

    page.get_by_role("button", name="End…").click()
    page.get_by_label("Note for the ticket and the receipt").fill("all is well")
    page.get_by_role("dialog").get_by_role("button", name="End it").click()
    expect(page.get_by_text("This session is over")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("all is well")).to_be_visible()

    # Three clicks: Sessions, the recording, Play.
    page.get_by_role("link", name="Sessions", exact=True).click()
    page.get_by_role("tab", name="Recordings").click()
    expect(page.get_by_role("table", name="Recordings")).to_contain_text("whole")
    page.get_by_role("table", name="Recordings").get_by_role("link").first.click()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".ap-player")).to_be_visible(timeout=60_000)
    page.get_by_role("list", name="What was done").get_by_role("button").last.click()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("names this end")).to_be_visible(timeout=60_000)
    whole(one)
    assert address.rsplit("/", 1)[1] in page.url
