"""A device's screen in the browser: shown as it is, and a click lands on its pixel."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from Xlib import X

from tests.agent.screen.windows import Window
from tests.browser.console.conftest import Desk, OpenPage
from tests.support.xvfb import xvfb

SCOPES = "view,screen,control"
# The screen's size, and a point on it that is no corner, no middle and no multiple of anything.
WIDTH, HEIGHT = 1024, 700
POINT = (613, 277)


def _colour(page: Page, x: int, y: int) -> list[int]:
    """Return red, green and blue of a pixel of the picture."""
    found: list[int] = page.evaluate(
        "([x, y]) => [...document.querySelector('canvas').getContext('2d')"
        ".getImageData(x, y, 1, 1).data].slice(0, 3)",
        [x, y],
    )
    return found


def test_a_click_in_the_browser_lands_on_its_pixel(desk: Desk, open_page: OpenPage) -> None:
    desk.admin.json(
        *("trust", "policy", "screens", "--unattended", "--consent", "notify"),
        *("--scope", SCOPES, "--cool-down-s", "0"),
    )
    agent = desk.stage.agent("easel")
    agent.enrol(desk.admin.json("token", "create", "--group", "screens")["token"])
    with xvfb(WIDTH, HEIGHT) as display, Window(display, (0, 0, WIDTH, HEIGHT)) as window:
        agent.start(env={**desk.stage.env, "DISPLAY": display})
        words = ("session", "open", "--device", agent.device, "--scope", SCOPES)
        session = desk.technician.json(*words)["session"]
        page = open_page(f"/sessions/{session}?tab=screen").page
        page.get_by_role("button", name="Show the screen").click()
        canvas = page.locator("canvas")
        expect(canvas).to_be_visible()
        page.wait_for_function("() => document.querySelector('canvas').width === 1024")
        white = (
            "() => document.querySelector('canvas').getContext('2d').getImageData(9,9,1,1).data[0]"
        )
        page.wait_for_function(f"{white} > 250")
        assert _colour(page, *POINT) == [255, 255, 255]

        box = canvas.bounding_box()
        assert box is not None
        scale = box["width"] / WIDTH
        at = (box["x"] + (POINT[0] + 0.5) * scale, box["y"] + (POINT[1] + 0.5) * scale)
        page.mouse.click(*at)
        press = window.wait(lambda told: told.type == X.ButtonPress)
        assert abs(press.event_x - POINT[0]) <= 1 / scale
        assert abs(press.event_y - POINT[1]) <= 1 / scale

        window.fill(0xC02040)
        page.wait_for_function(white.replace("data[0]", "data[1] < 60"))
        red, green, blue = _colour(page, *POINT)
        assert abs(red - 0xC0) < 12
        assert abs(green - 0x20) < 12
        assert abs(blue - 0x40) < 12

        page.get_by_label("Look only").check()
        window.take()
        window.seen.clear()
        page.mouse.click(*at)
        desk.technician.json("session", "end", session, "--note", "seen", "--no-diff")
        expect(page.get_by_text("ended").first).to_be_visible()
        assert not [one for one in window.take() if one.type == X.ButtonPress]
