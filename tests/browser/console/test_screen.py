"""A device's screen in the browser: a click lands on its pixel, and what was shown is played."""

from __future__ import annotations

import re
import struct

import pytest
from playwright.sync_api import Page, expect
from Xlib import X

from tests.agent.screen.windows import Window
from tests.browser.console.conftest import Desk, OpenPage, go
from tests.support.browser import Watched, axe_faults, layout_faults
from tests.support.xvfb import xvfb

SCOPES = "view,screen,control"
# The screen's size, and a point on it that is no corner, no middle and no multiple of anything.
WIDTH, HEIGHT = 1024, 700
POINT = (613, 277)
WHITE, RED = (255, 255, 255), (0xC0, 0x20, 0x40)


# Red, green and blue of a pixel are as wanted, as far as JPEG keeps them.
_IS = """([x, y, wanted]) => {
  const canvas = document.querySelector("canvas");
  if (!canvas || canvas.width !== 1024) return false;
  const got = canvas.getContext("2d").getImageData(x, y, 1, 1).data;
  return wanted.every((one, n) => Math.abs(one - got[n]) < 12);
}"""


def _see(page: Page, colour: tuple[int, int, int]) -> None:
    """Wait until the point has a colour."""
    page.wait_for_function(_IS, arg=[*POINT, colour])


@pytest.fixture(scope="module")
def key(desk: Desk) -> str:
    """Whose recordings are sealed to; a home has one."""
    return str(desk.admin.json("recording", "key", "new")["recipient"])


@pytest.mark.timeout(400)
def test_a_click_in_the_browser_lands_on_its_pixel(
    desk: Desk, key: str, open_page: OpenPage
) -> None:
    desk.admin.json(
        *("trust", "policy", "screens", "--unattended", "--consent", "notify"),
        *("--scope", SCOPES, "--cool-down-s", "0", "--recording", "on", "--audit-key", key),
    )
    known = desk.admin.json("device", "list")["items"]
    agent = desk.stage.agent(f"easel-{len(known)}")
    agent.enrol(desk.admin.json("token", "create", "--group", "screens")["token"])
    with xvfb(WIDTH, HEIGHT) as display, Window(display, (0, 0, WIDTH, HEIGHT)) as window:
        agent.start(env={**desk.stage.env, "DISPLAY": display})
        words = ("session", "open", "--device", agent.device, "--scope", SCOPES)
        session = desk.admin.json(*words)["session"]
        one = open_page(f"/sessions/{session}?tab=screen", console=desk.admin)
        page = one.page
        page.get_by_role("button", name="Show the screen").click()
        canvas = page.locator("canvas")
        expect(canvas).to_be_visible()
        _see(page, WHITE)

        box = canvas.bounding_box()
        assert box is not None
        scale = box["width"] / WIDTH
        at = (box["x"] + (POINT[0] + 0.5) * scale, box["y"] + (POINT[1] + 0.5) * scale)
        page.mouse.click(*at)
        press = window.wait(lambda told: told.type == X.ButtonPress)
        assert abs(press.event_x - POINT[0]) <= 1 / scale
        assert abs(press.event_y - POINT[1]) <= 1 / scale

        window.fill(0xC02040)
        _see(page, RED)

        page.get_by_label("Look only").check()
        window.take()
        window.seen.clear()
        page.mouse.click(*at)
        desk.admin.json("session", "end", session, "--note", "seen", "--no-diff")
        expect(page.get_by_text("ended").first).to_be_visible()
        assert not [one for one in window.take() if one.type == X.ButtonPress]
    _plays_again(one, session)


def _moment(page: Page, place: str) -> None:
    """Go to a moment of the recording: to its `min` or its `max`."""
    slider = page.get_by_label("Moment")
    slider.fill(slider.get_attribute(place) or "")


def _plays_again(one: Watched, session: str) -> None:
    page = one.page
    go(page, f"/recordings/{session}")
    page.get_by_role("button", name="Play", exact=True).click()
    canvas = page.locator("canvas")
    expect(canvas).to_be_visible()
    # It begins by itself, and rests at its end.
    play_on = page.get_by_role("button", name="Play on")
    expect(play_on).to_be_visible()
    for _ in range(2):
        _moment(page, "min")
        _see(page, WHITE)
        _moment(page, "max")
        _see(page, RED)
    # Eight times as fast from the beginning, it comes to its end by itself.
    _moment(page, "min")
    _see(page, WHITE)
    page.get_by_label("Speed").select_option(label="8×")
    play_on.click()
    _see(page, RED)
    expect(play_on).to_be_visible()
    # What was done leads to its moment of the screen.
    page.get_by_role("list", name="What was done").get_by_role("button").filter(
        has_text="shown, and recorded"
    ).click()
    slider = page.get_by_label("Moment")
    expect(slider).not_to_have_value(slider.get_attribute("max") or "")
    assert not axe_faults(page)
    assert not layout_faults(page)

    # What the viewer cannot draw ends in words, and the page goes on.
    one.expect("Failed while connected: Error decoding rect")
    update = struct.pack(">BxHHHHHiB", 0, 1, 0, 0, 9, 9, 7, 0xF0)
    piece = struct.pack(">II", 0, len(update)) + update
    page.route(re.compile("/pieces/"), lambda route: route.fulfill(body=piece))
    page.reload()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_text("recording-screen")).to_be_visible()
    expect(canvas).to_have_count(0)
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("names this end")).to_be_visible()
