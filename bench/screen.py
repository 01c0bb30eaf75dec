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

__all__ = ["run"]

_QUALITY = -26  # the level 6 of viewers, which is JPEG 77
_JPEG = 77


@contextmanager
def _moving(window: Window, step: Callable[[int], None]) -> Iterator[None]:
    """Change a window all the time, in a thread."""
    over = threading.Event()

    def move() -> None:
        count = 0
        while not over.is_set():
            step(count)
            count += 1

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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


async def _watch(display: str, seconds: float) -> tuple[float, float]:
    """Return pictures and bytes a second."""
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
    frames = [
        Image.frombytes("RGB", (1280, 720), random.Random(seed).randbytes(3 * 1280 * 720))
        for seed in range(4)
    ]
    figures = []
    with xvfb(1920, 1080) as display:
        with Window(display, (100, 100, 1280, 720)) as window:
            with _moving(window, lambda count: window.draw(frames[count % len(frames)])):
                fps, rate = asyncio.run(_watch(display, seconds))
                bare = _baseline(display, seconds)
        name, beside = "pictures a second of a window in motion", "grabbed and packed in a loop"
        figures.append(Figure(name, fps, "1/s", beside, bare))
        figures.append(Figure("what it takes of the line", rate / 1024, "KiB/s"))
        with Window(display, (0, 0, 64, 64)) as window:
            with _moving(window, lambda count: window.fill(count * 0x10203 & 0xFFFFFF)):
                fps, rate = asyncio.run(_watch(display, seconds))
        figures.append(Figure("pictures a second of a small change", fps, "1/s"))
        figures.append(Figure("what that takes of the line", rate / 1024, "KiB/s"))
    return figures
