"""The person's page in a real browser, with a real session behind it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from Xlib import X, display
from Xlib.ext import xtest

from tests.browser.device.conftest import Place
from tests.support.browser import Watched, axe_faults
from tests.support.stage import Process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def show_code(page: Page) -> str:
    page.get_by_role("button", name="Show a code").or_(
        page.get_by_role("button", name="Show a new code")
    ).click()
    code = page.locator("#the-code")
    code.wait_for()
    return code.inner_text()


def begin(place: Place, page: Page, *options: str) -> Process:
    """Show a code and let the technician type it; the question stands on the page then."""
    ticket = place.ticket("Printer")
    code = show_code(page)
    opening = place.technician.start(
        "session", "open", "--code", code, "--ticket", ticket, *options
    )
    page.get_by_role("heading", name="A technician asks to help you").wait_for()
    return opening


def allow(page: Page) -> None:
    # What comes faster than anybody reads does not count.
    page.wait_for_timeout(1100)
    page.get_by_role("button", name="Allow what is ticked").click()


def opened(place: Place, page: Page) -> str:
    """Let a session begin in which everything that was asked for is allowed."""
    opening = begin(place, page)
    allow(page)
    session = str(opening.next_json()["session"])
    page.get_by_role("heading", name="tess is working on this computer").wait_for()
    return session


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop everything").click()
    page.get_by_role("heading", name="The session is over").wait_for()


def test_from_the_code_to_the_receipt(place: Place, seen: Watched) -> None:
    page = seen.page
    expect(page.get_by_text("reception")).to_be_visible()
    assert axe_faults(page) == []
    opening = begin(place, page, "--reason", "paper <b>jam</b>")
    expect(page.get_by_text("tess of Example Support")).to_be_visible()
    expect(page.get_by_text("Reason: paper <b>jam</b>")).to_be_visible()
    page.locator('input[name=scope][value="files"]').uncheck()
    allow(page)
    told = opening.next_json()
    assert told["scopes"] == ["view", "terminal"]
    session = str(told["session"])
    page.get_by_role("heading", name="tess is working on this computer").wait_for()

    done = place.technician.run("exec", session, "--", "echo hello-from-tess")
    assert done.stdout == b"hello-from-tess\n"
    expect(page.get_by_text("echo hello-from-tess")).to_be_visible()
    place.technician.run("chat", session, "--send", "Is the <i>lamp</i> on?")
    expect(page.get_by_text("Is the <i>lamp</i> on?")).to_be_visible()
    page.get_by_role("link", name="Write a message").click()
    page.get_by_label("To the technician:").fill("yes")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#said").get_by_text("yes")).to_be_visible()
    page.get_by_role("link", name="Back to the session").click()

    stop(page)
    expect(page.locator("pre")).to_contain_text("echo hello-from-tess")
    assert axe_faults(page) == []
    assert place.technician.json("session", "end", session)["reason"] == "stopped"


def test_more_is_allowed_and_taken_back(place: Place, seen: Watched) -> None:
    page = seen.page
    opening = begin(place, page, "--scope", "view,terminal")
    allow(page)
    session = str(opening.next_json()["session"])
    widening = place.technician.start("session", "widen", session, "--scope", "files")
    page.get_by_role("heading", name="A technician asks for more").wait_for()
    allow(page)
    assert widening.next_json()["scopes"]
    page.get_by_role("button", name="Take back: open, copy, change and delete files").click()
    expect(page.get_by_role("button", name="Take back: open, copy")).to_have_count(0)
    expect(page.get_by_role("button", name="Take back")).to_have_count(2)
    stop(page)


def test_a_picture_leaves_with_its_black_boxes(place: Place, seen: Watched, tmp_path: Path) -> None:
    page = seen.page
    session = opened(place, page)
    picture_of_the_screen(place, page, session, tmp_path / "screen.png")
    stop(page)
    expect(page.locator("pre")).to_contain_text("a picture of the screen (1024x768)")


def picture_of_the_screen(place: Place, page: Page, session: str, target: Path) -> None:
    asking = place.technician.start("screenshot", session, "-o", str(target))
    page.get_by_role("link", name="Answer").click()
    page.get_by_role("button", name="Take the picture").click()
    image = page.get_by_role("img", name="The picture that would be sent")
    image.wait_for()
    # One box by numbers, one with the mouse.
    for name, value in (("left", 10), ("top", 20)):
        page.get_by_label(f"From the {name}").fill(str(value))
    page.get_by_label("Width").fill("30")
    page.get_by_label("Height").fill("40")
    page.get_by_role("button", name="Add a black box").click()
    expect(page.get_by_text("1 black box")).to_be_visible()
    corner = image.bounding_box()
    assert corner is not None
    page.mouse.move(corner["x"] + 100, corner["y"] + 100)
    page.mouse.down()
    page.mouse.move(corner["x"] + 150, corner["y"] + 130)
    page.mouse.up()
    expect(page.get_by_text("2 black boxes")).to_be_visible()
    page.get_by_role("button", name="Send the picture").click()
    told = asking.next_json()
    assert (told["width"], told["height"]) == (1024, 768)
    with Image.open(target) as sent:
        pixels = sent.convert("RGB")
    inside = [(10, 20), (39, 59), (105, 105), (145, 125)]
    outside = [(9, 20), (40, 59), (95, 105), (155, 125), (500, 700)]
    assert {pixels.getpixel(one) for one in inside} == {(0, 0, 0)}
    assert {pixels.getpixel(one) for one in outside} == {(255, 255, 255)}


def test_no_is_said_and_so_is_silence(place: Place, seen: Watched) -> None:
    page = seen.page
    opening = begin(place, page)
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("heading", name="No session").wait_for()
    expect(page.get_by_text("No session: you refused.")).to_be_visible()
    assert opening.popen.wait(60) == 3
    assert "consent-refused" in "".join(opening.stderr_lines)
    place.policy("consent_s = 5\n")
    opening = begin(place, page)
    page.get_by_text("No session: nobody answered in time.").wait_for()
    assert opening.popen.wait(60) == 3
    assert "consent-timeout" in "".join(opening.stderr_lines)


def test_the_bar_on_the_screen_stops_it(place: Place, seen: Watched) -> None:
    page = seen.page
    opened(place, page)
    screen = display.Display(place.display)
    try:
        shape, at = bar_place(screen)
        xtest.fake_input(screen, X.MotionNotify, x=at[0] + shape.width // 2,
                         y=at[1] + shape.height - 30)  # fmt: skip
        over = page.get_by_role("heading", name="The session is over")
        # The window is there a moment before its button is.
        for _ in range(30):
            xtest.fake_input(screen, X.ButtonPress, 1)
            xtest.fake_input(screen, X.ButtonRelease, 1)
            screen.sync()
            with contextlib.suppress(PlaywrightTimeout):
                over.wait_for(timeout=2000)
                break
    finally:
        screen.close()
    expect(page.get_by_text("The session is over: you stopped it.")).to_be_visible()


def bar_place(screen: Any) -> tuple[Any, tuple[int, int]]:
    """Return size and place of the bar's window once it is on the screen."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for one in screen.screen().root.query_tree().children:
            is_ours = "farhand-stop" in (one.get_wm_class() or ())
            if is_ours and one.get_attributes().map_state == X.IsViewable:
                at = one.translate_coords(screen.screen().root, 0, 0)
                return one.get_geometry(), (-at.x, -at.y)
        time.sleep(0.1)
    raise AssertionError("there is no bar")
