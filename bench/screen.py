"""A screen in motion: pictures a second in a viewer, beside grabbing and packing it in a loop.

    motion      a window of 1280 x 720 of noise, drawn anew all the time, on a screen of 1920 x 1080
    desktop     the same screen at rest, but for a square of 64 pixels that changes its colour

The screen's process runs as it does in a session; the viewer is the one of the tests, in this
process, and asks for the next picture when it has unpacked the last one.  The baseline grabs the
same screen with mss and packs all of it as JPEG with Pillow, and sends it nowhere.
"""

from __future__ import annotations

import asyncio
import io
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image

from bench.report import Figure
from farhand_agent.screen.capture import ScreenCapture
from tests.agent.screen.test_process import working
from tests.agent.screen.viewer import TIGHT
from tests.agent.screen.windows import Window
from tests.support.xvfb import xvfb

__all__ = ["in_motion", "moving", "pictures_of_agent", "run"]

_QUALITY = -26  # the level 6 of viewers, which is JPEG 77
_JPEG = 77


@contextmanager
def moving(window: Window, step: Callable[[int], None], *, each_s: float = 0.0) -> Iterator[None]:
    """Change a window all the time, or so often, in a thread."""
    over = threading.Event()

    def move() -> None:
        count = 0
        while not over.wait(each_s):
            step(count)
            count += 1

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def in_motion(
    display: str, box: tuple[int, int, int, int], *, each_s: float = 0.0
) -> Iterator[None]:
    """Show a window of noise at a place of the screen, drawn anew all the time, or so often."""
    _, _, width, height = box
    frames = [
        Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(3 * width * height))
        for seed in range(4)
    ]
    with Window(display, box) as window:
        with moving(window, lambda count: window.draw(frames[count % len(frames)]), each_s=each_s):
            yield


def _baseline(display: str, seconds: float) -> float:
    capture = ScreenCapture(display=display)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        frame = capture.grab()
        picture = Image.frombuffer(
            "RGB", (frame.width, frame.height), frame.pixels, "raw", "BGRX", 0, 1
        )
        picture.save(io.BytesIO(), "JPEG", quality=_JPEG)
        count += 1
    capture.close()
    return count / seconds


async def pictures_of_agent(display: str, seconds: float) -> tuple[float, float]:
    """Return pictures and bytes a second that the screen's process gives to the tests' viewer."""
    async with working(display) as made:
        await made.viewer.open(TIGHT, _QUALITY)
        await made.viewer.see(lambda _: True)
        updates, size, began = made.viewer.updates, made.viewer.bytes, time.monotonic()
        while time.monotonic() < began + seconds:
            await made.viewer.request()
            await made.viewer.update()
        took = time.monotonic() - began
        return (made.viewer.updates - updates) / took, (made.viewer.bytes - size) / took


def run(*, quick: bool) -> list[Figure]:
    """Measure it; with `quick` for a moment only."""
    seconds = 2.0 if quick else 20.0
    figures = []
    with xvfb(1920, 1080) as display:
        with in_motion(display, (100, 100, 1280, 720)):
            fps, rate = asyncio.run(pictures_of_agent(display, seconds))
            bare = _baseline(display, seconds)
        name, beside = "pictures a second of a window in motion", "grabbed and packed in a loop"
        # What is left of it beside the comparing, the packing and the unpacking of two cores.
        figures.append(Figure(name, fps, "1/s", beside, bare, at_least=0.2))
        figures.append(Figure("what it takes of the line", rate / 1024, "KiB/s"))
        with Window(display, (0, 0, 64, 64)) as window:
            with moving(window, lambda count: window.fill(count * 0x10203 & 0xFFFFFF)):
                fps, rate = asyncio.run(pictures_of_agent(display, seconds))
        # The screen is looked at 30 times a second at most.
        figures.append(Figure("pictures a second of a small change", fps, "1/s", at_least=12))
        figures.append(Figure("what that takes of the line", rate / 1024, "KiB/s"))
    return figures
