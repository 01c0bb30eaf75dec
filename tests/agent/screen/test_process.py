"""The screen's process on a real screen: what is shown, what is moved, what is copied.

Xvfb, windows of a real X11 program, and a viewer with a decoder of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from Xlib import X

from farhand_agent.processes import command
from farhand_agent.screen.capture import grab
from farhand_agent.screen.wire import encode_json, read_frame, write_frame
from tests.agent.screen.viewer import CURSOR, RAW, SIZE, TIGHT, Viewer
from tests.agent.screen.windows import PATIENCE_S, Window, owner_of_clipboard

WHITE, RED = 0xFFFFFF, 0xFF0000


class Working:
    """A process, seen from where the session's process sits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.told: list[dict[str, Any]] = []
        self.black = b""
        self.full = 0
        self.viewer = Viewer(self._receive, self._send)

    async def _send(self, data: bytes) -> None:
        await write_frame(self._writer, "R", data)

    async def _receive(self) -> bytes:
        while (frame := await read_frame(self._reader)) is not None:
            kind, data = frame
            self.full += kind == "K"
            if kind in "RK":
                return data
            if kind == "B":
                self.black = data
            else:
                self.told.append(msgspec.json.decode(data))
        return b""

    async def tell(self, **fields: object) -> None:
        await write_frame(self._writer, "J", encode_json(fields))

    async def rights(self, **rights: bool) -> None:
        await self.tell(do="rights", **rights)

    async def end(self) -> dict[str, Any]:
        """End it, and return what it says last."""
        await self.tell(do="end")
        async with asyncio.timeout(PATIENCE_S):
            while await self._receive():
                continue
        return self.told[-1]


@asynccontextmanager
async def working(display: str, **begin: object) -> AsyncIterator[Working]:
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "DISPLAY": display}
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *command("farhand_agent.screen", "fd"), stdin=theirs.fileno(), env=environment
        )
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        made = Working(reader, writer)
        await made.tell(do="begin", name="reception", **begin)
        yield made
    finally:
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0


def shows(x: int, y: int, colour: int) -> Callable[[Image.Image], bool]:
    wanted = (colour >> 16, colour >> 8 & 0xFF, colour & 0xFF)
    return lambda picture: picture.getpixel((x, y)) == wanted


def same_as(display: str) -> Callable[[Image.Image], bool]:
    """Tell whether a picture is what mss sees, bit by bit."""
    # Looked at each time: a window of the test before may be on its way out.
    return lambda picture: picture.tobytes() == grab(display=display, with_cursor=True).rgb()


@pytest.mark.parametrize(
    "encodings", [(TIGHT, SIZE), (RAW,), (TIGHT, -26, -254)], ids=["tight", "raw", "jpeg"]
)
async def test_the_viewer_sees_what_is_there(screen: str, encodings: tuple[int, ...]) -> None:
    with Window(screen, (100, 50, 320, 200)) as window:
        window.draw(Image.frombytes("RGB", (320, 200), random.Random(1).randbytes(3 * 320 * 200)))
        async with working(screen) as made:
            await made.viewer.open(*encodings)
            assert made.viewer.name == "reception"
            assert made.viewer.picture.size == (800, 600)
            # With JPEG something is lost at first; when nothing else happens, all of it is there.
            await made.viewer.see(same_as(screen))
            assert bool(made.viewer.jpegs) == (-26 in encodings)
            window.fill(RED)
            await made.viewer.see(shows(200, 100, RED))
            over = await made.end()
    assert over["event"] == "over"
    assert over["pictures"] >= 2
    assert made.told[0] == {"event": "size", "width": 800, "height": 600}


async def test_only_what_changed_is_sent(screen: str) -> None:
    with Window(screen, (0, 0, 64, 64)) as window:
        async with working(screen) as made:
            await made.viewer.open(TIGHT)
            await made.viewer.see(shows(10, 10, WHITE))
            before = made.viewer.bytes
            window.fill(RED)
            while not shows(10, 10, RED)(made.viewer.picture):
                await made.viewer.request()
                await made.viewer.next()
            assert made.viewer.bytes - before < 1000, "a square of one colour is a few bytes"


async def test_a_click_lands_on_its_pixel_and_only_with_control(screen: str) -> None:
    with Window(screen, (300, 200, 100, 100)) as window:
        async with working(screen, control=False) as made:
            await made.viewer.open()
            await made.viewer.click(333, 244)
            await made.viewer.see(shows(350, 250, WHITE))
            assert [one.type for one in window.take() if one.type != X.Expose] == []
            await made.rights(control=True)
            await made.viewer.click(333, 244, button=3)
            press = window.wait(lambda told: told.type == X.ButtonPress)
            assert (press.detail, press.event_x, press.event_y) == (3, 33, 44)
            window.wait(lambda told: told.type == X.ButtonRelease)
            await made.viewer.pointer(333, 244, 1 << 3)
            turn = window.wait(lambda told: told.type == X.ButtonPress and told.detail == 4)
            assert turn.event_x == 33
            over = await made.end()
    assert {"event": "control"} in made.told
    assert (over["used"], over["dropped"]) == (4, 3)


@pytest.mark.parametrize("way", ["withdrawn", "asked", "ended"])
async def test_what_is_held_is_let_go(screen: str, way: str) -> None:
    with Window(screen, (0, 0, 100, 100)) as window:
        async with working(screen, control=True) as made:
            await made.viewer.open()
            await made.viewer.pointer(50, 50, 1)
            await made.viewer.key(0xFFE3, is_down=True)
            window.wait(lambda told: told.type == X.KeyPress)
            if way == "ended":
                await made.end()
            else:
                await made.rights(control=way == "asked", frozen=way == "asked")
            window.wait(lambda told: told.type == X.KeyRelease)
            window.wait(lambda told: told.type == X.ButtonRelease)


async def test_while_the_person_is_asked_nothing_moves_and_nothing_is_seen(screen: str) -> None:
    with Window(screen, (0, 0, 800, 600)) as window:
        async with working(screen, control=True, clipboard=True) as made:
            await made.viewer.open()
            await made.viewer.see(shows(400, 300, WHITE))
            window.take().clear()
            await made.rights(control=True, clipboard=True, frozen=True)
            await made.viewer.click(400, 300)
            await made.viewer.type("y\n")
            await made.viewer.cut_text("injected")
            await made.viewer.see(lambda picture: not picture.getbbox())
            reached = [one.type for one in window.take()]
            assert X.ButtonPress not in reached
            assert X.KeyPress not in reached
            assert not any(told["event"] == "clipboard" for told in made.told)
            await made.rights(control=True, clipboard=True, frozen=False)
            await made.viewer.see(shows(400, 300, WHITE))
            over = await made.end()
    assert over["dropped"] == 7


TYPED = "Grüße, naïve Ωmega — привет ☃ ~{[@]}\\ 日本 12#$\n"


async def test_typing_arrives_in_a_terminal(screen: str, tmp_path: Path) -> None:
    written = tmp_path / "written"
    ready = tmp_path / "ready"
    words = f"stty -echo; : > {ready}; IFS= read -r line; printf '%s\\n' \"$line\" > {written}"
    environment = {**os.environ, "DISPLAY": screen, "LC_ALL": "C.UTF-8"}
    try:
        terminal = subprocess.Popen(
            ["xterm", "-u8", "-geometry", "80x24+0+0", "-e", "sh", "-c", words], env=environment
        )
    except FileNotFoundError:
        if os.environ.get("FARHAND_CI"):
            raise
        pytest.skip("xterm is not installed")
    try:
        async with working(screen, control=True) as made:
            await made.viewer.open()
            await made.viewer.pointer(100, 100)
            await until(ready.exists)
            await made.viewer.type(TYPED)
            await until(lambda: terminal.poll() is not None)
            await made.end()
    finally:
        terminal.kill()
        terminal.wait()
    assert written.read_text("utf-8") == TYPED


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # a file says nothing when it comes
            await asyncio.sleep(0.02)


async def test_capitals_are_typed_whatever_shift_does(screen: str) -> None:
    with Window(screen, (0, 0, 100, 100)) as window:
        async with working(screen, control=True) as made:
            await made.viewer.open()
            await made.viewer.pointer(50, 50)
            await made.viewer.key(0xFFE1, is_down=True)  # Shift
            await made.viewer.type("a")
            await made.viewer.key(0xFFE1, is_down=False)
            await made.viewer.type("A")
            await made.viewer.key(0xFF0D, is_down=True)
            window.wait(
                lambda told: (
                    told.type == X.KeyPress
                    and window.display.keycode_to_keysym(told.detail, 0) == 0xFF0D
                )
            )
            pressed = [one for one in window.take() if one.type == X.KeyPress]
            letters = [
                (window.display.keycode_to_keysym(one.detail, 0), one.state & X.ShiftMask)
                for one in pressed
            ]
            assert [bool(state) for keysym, state in letters if keysym == 0x61] == [False, True]


async def test_the_clipboard_needs_its_own_right(screen: str) -> None:
    with Window(screen, (0, 0, 50, 50)) as window:
        async with working(screen, control=True) as made:
            await made.viewer.open(TIGHT)
            await made.viewer.cut_text("not wanted")
            window.window.set_selection_owner(
                window.display.intern_atom("CLIPBOARD"), X.CurrentTime
            )
            window.display.sync()
            await made.viewer.see(shows(10, 10, WHITE))
            assert owner_of_clipboard(screen) == window.window.id
            assert made.viewer.clipboard is None
            await made.rights(control=True, clipboard=True)
            await made.viewer.cut_text("déjà vu")
            await until(lambda: owner_of_clipboard(screen) != window.window.id)
            assert await asyncio.to_thread(window.paste) == "déjà vu"
            copying = asyncio.create_task(asyncio.to_thread(window.copy, "übrig"))
            while made.viewer.clipboard is None:
                await made.viewer.next()
            await copying
            assert made.viewer.clipboard == "übrig"
            await made.end()
    ways = [told["to"] for told in made.told if told["event"] == "clipboard"]
    assert ways == ["device", "viewer"]


async def test_any_alphabet_is_copied_by_the_extended_clipboard(screen: str) -> None:
    with Window(screen, (0, 0, 50, 50)) as window:
        async with working(screen, clipboard=True) as made:
            await made.viewer.open(TIGHT, -1063131698)
            await made.viewer.offer_text("привет ☃")
            await until(lambda: owner_of_clipboard(screen) not in (0, window.window.id))
            assert await asyncio.to_thread(window.paste) == "привет ☃"
            copying = asyncio.create_task(asyncio.to_thread(window.copy, "日本\nzwei"))
            while made.viewer.clipboard is None:
                await made.viewer.next()
            await copying
            assert made.viewer.clipboard == "日本\nzwei"


async def test_the_pointer_is_the_viewers_where_it_moves_it(screen: str) -> None:
    async with working(screen, control=True) as made:
        await made.viewer.open(TIGHT, CURSOR)
        await made.viewer.see(lambda _: made.viewer.cursor is not None)
        assert made.viewer.cursor is not None
        assert max(made.viewer.cursor) <= 256


async def test_whole_pictures_come_again_for_a_recording(screen: str) -> None:
    async with working(screen, full_s=0.01) as made:
        await made.viewer.open(TIGHT)
        await made.viewer.see(lambda _: made.full >= 3)


async def test_the_black_picture_is_at_hand(screen: str) -> None:
    with Window(screen, (0, 0, 800, 600)):
        async with working(screen) as made:
            await made.viewer.open(TIGHT)
            await made.viewer.see(shows(1, 1, WHITE))
            pieces = [made.black]

            async def receive() -> bytes:
                return pieces.pop() if pieces else b""

            last = Viewer(receive, made.viewer._send)
            last.encodings, last.picture = [TIGHT], made.viewer.picture
            await last.next()
            assert last.picture.getbbox() is None
            assert len(made.black) < 200


async def test_a_viewer_that_breaks_a_rule_is_told_and_left(screen: str) -> None:
    async with working(screen) as made:
        await made.viewer.open(TIGHT)
        await made.viewer._send(b"\x63")
        async with asyncio.timeout(PATIENCE_S):
            while await made._receive():
                continue
    assert [told["error"]["code"] for told in made.told if "error" in told] == ["rfb-unknown"]


BROKEN = [
    ({"DISPLAY": ":9999"}, "screen-unavailable"),
    ({"DISPLAY": ""}, "screen-unavailable"),
    ({"DISPLAY": "", "WAYLAND_DISPLAY": "wayland-0"}, "screen-wayland"),
]


@pytest.mark.parametrize(("environment", "code"), BROKEN)
async def test_where_there_is_no_screen_it_says_so(environment: dict[str, str], code: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "farhand_agent.screen", "fd",
            stdin=theirs.fileno(), env={**os.environ, **environment},
        )  # fmt: skip
    reader, writer = await asyncio.open_connection(sock=ours)
    await write_frame(writer, "J", encode_json({"do": "begin"}))
    frame = await read_frame(reader)
    assert frame is not None
    assert msgspec.json.decode(frame[1])["error"]["code"] == code
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 0
