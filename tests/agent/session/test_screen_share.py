"""The screen over real SSH: what a viewer sees and does under which scope, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from Xlib import X

from farhand_agent.config import Home
from farhand_agent.session import screen_process
from farhand_agent.session.device_prompts import DevicePrompts
from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.screen_share import MAX_SCREENS, ScreenShares
from farhand_console.session.rfb import open_rfb, serve_viewer
from farhand_protocol.errors import FarhandError
from tests.agent.screen.viewer import TIGHT, Viewer, ViewerEnded
from tests.agent.screen.windows import PATIENCE_S, Window
from tests.agent.session.ssh_pair import Pair, make_terms, ssh_pair
from tests.support.xvfb import xvfb

WHITE = (255, 255, 255)


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    with xvfb(640, 480) as display:
        yield display


@pytest.fixture(autouse=True)
def _on_that_screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", request.getfixturevalue("screen"))


class Shared:
    """A session whose screen may be shown."""

    def __init__(self, pair: Pair, gate: PromptGate) -> None:
        self.pair = pair
        self.gate = gate

    def said(self) -> list[str]:
        """Return what the receipt will say of the screen."""
        actions = self.pair.host.terms.actions.actions
        return [str(one.message) for one in actions if one.kind == "screen"]

    def facts(self, message: str) -> dict[str, Any]:
        actions = self.pair.host.terms.actions.actions
        (found,) = [one for one in actions if one.message == message]
        return dict(found.facts or {})


@asynccontextmanager
async def shared(
    root: Path, scopes: Iterable[str], recording: Any = None, gate: PromptGate | None = None
) -> AsyncIterator[Shared]:
    terms = make_terms(root, scopes)
    terms.recording = recording
    gate = gate or PromptGate()
    shares = ScreenShares(terms, gate, name="reception")
    terms.subsystems = {**terms.subsystems, **shares.subsystems()}
    async with ssh_pair(terms) as pair:
        yield Shared(pair, gate)


@asynccontextmanager
async def viewing(made: Shared, *, view_only: bool = False) -> AsyncIterator[Viewer]:
    async with open_rfb(made.pair.ssh, view_only=view_only) as stream:
        viewer = Viewer(stream.read, stream.write)
        await viewer.open(TIGHT)
        yield viewer


def is_white(picture: Any) -> bool:
    return bool(picture.getpixel((90, 9)) == WHITE)


async def to_the_end(viewer: Viewer) -> None:
    with contextlib.suppress(ViewerEnded):
        while True:
            await viewer.next()


async def reached(window: Window, kind: int) -> Any:
    """Wait for an event of the window; the session runs in this very loop meanwhile."""
    return await asyncio.to_thread(window.wait, lambda told: told.type == kind)


async def noted(made: Shared, message: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while message not in made.said():
            await asyncio.sleep(0.01)


async def test_it_is_shown_used_and_told(tmp_path: Path, screen: str) -> None:
    with Window(screen, (0, 0, 100, 100)) as window:
        async with shared(tmp_path, ("screen", "control")) as made:
            async with viewing(made) as viewer:
                assert viewer.name == "reception"
                await viewer.see(is_white)
                await viewer.click(33, 44)
                press = await reached(window, X.ButtonPress)
                assert (press.event_x, press.event_y) == (33, 44)
            await noted(made, "screen-over")
            assert made.said() == ["screen-shown", "screen-control", "screen-input", "screen-over"]
            assert made.facts("screen-input") == {"used": 3, "dropped": 0}


@pytest.mark.parametrize("scopes", [("screen",), ("screen", "control", "clipboard")])
async def test_without_control_nothing_moves(
    tmp_path: Path, screen: str, scopes: tuple[str, ...]
) -> None:
    with Window(screen, (0, 0, 100, 100)) as window:
        async with shared(tmp_path, scopes) as made:
            async with viewing(made, view_only="control" in scopes) as viewer:
                await viewer.click(33, 44)
                await viewer.type("abc")
                await viewer.cut_text("abc")
                await viewer.see(is_white)
                seen = {one.type for one in window.take()}
                assert not seen & {X.ButtonPress, X.KeyPress}
            await noted(made, "screen-over")
            assert made.facts("screen-input") == {"used": 0, "dropped": 9}
            assert "clipboard-put" not in made.said()


async def test_screen_is_a_scope_of_its_own(tmp_path: Path) -> None:
    async with shared(tmp_path, ("view", "terminal", "files", "control", "clipboard")) as made:
        with pytest.raises(FarhandError, match="scope-missing"):
            async with viewing(made):
                raise AssertionError
        assert made.said() == []


async def test_taking_control_back_lets_go_at_once(tmp_path: Path, screen: str) -> None:
    with Window(screen, (0, 0, 100, 100)) as window:
        async with shared(tmp_path, ("screen", "control")) as made, viewing(made) as viewer:
            await viewer.pointer(50, 50, 1)
            await reached(window, X.ButtonPress)
            made.pair.scopes.withdraw("control")
            await reached(window, X.ButtonRelease)
            window.take().clear()
            await viewer.click(50, 50)
            await viewer.see(is_white)
            assert X.ButtonPress not in {one.type for one in window.take()}
            made.pair.scopes.widen("control")
            async with asyncio.timeout(PATIENCE_S):
                while X.ButtonPress not in {one.type for one in window.take()}:
                    await viewer.click(50, 50)
                    await viewer.see(is_white)


async def test_a_prompt_freezes_input_and_blanks_the_picture(tmp_path: Path, screen: str) -> None:
    with Window(screen, (0, 0, 640, 480)) as window:
        async with shared(tmp_path, ("screen", "control")) as made, viewing(made) as viewer:
            await viewer.see(is_white)
            async with made.gate.standing():
                await viewer.click(20, 20)
                await viewer.type("y\n")
                await viewer.see(lambda picture: picture.getbbox() is None)
                seen = {one.type for one in window.take()}
                assert not seen & {X.ButtonPress, X.KeyPress}
            await viewer.see(is_white)
            await viewer.click(20, 20)
            await reached(window, X.ButtonPress)


async def test_a_prompt_of_another_session_freezes_as_well(tmp_path: Path, screen: str) -> None:
    home = Home.at(tmp_path / "home")
    home.make()
    other = PromptGate(DevicePrompts(home))
    with Window(screen, (0, 0, 640, 480)) as window:
        gate = PromptGate(DevicePrompts(home))
        async with (
            shared(tmp_path, ("screen", "control"), gate=gate) as made,
            viewing(made) as viewer,
        ):
            await viewer.see(is_white)
            async with other.standing():
                await viewer.click(20, 20)
                await viewer.see(lambda picture: picture.getbbox() is None)
                assert X.ButtonPress not in {one.type for one in window.take()}
            await viewer.see(is_white)
            await viewer.click(20, 20)
            await reached(window, X.ButtonPress)


@pytest.mark.parametrize("way", ["withdraw", "stop", "shut"])
async def test_taken_back_it_is_black_and_over(tmp_path: Path, screen: str, way: str) -> None:
    with Window(screen, (0, 0, 640, 480)) as window:
        async with shared(tmp_path, ("screen", "control")) as made:
            async with open_rfb(made.pair.ssh) as stream:
                viewer = Viewer(stream.read, stream.write)
                await viewer.open(TIGHT)
                await viewer.see(is_white)
                await viewer.pointer(20, 20, 1)
                await reached(window, X.ButtonPress)
                words = "scope-withdrawn: the person at the device withdrew it: screen"
                if way == "withdraw":
                    made.pair.scopes.withdraw("screen", words)
                elif way == "stop":
                    made.pair.scopes.withdraw_all(words)
                else:
                    made.pair.scopes.shut(words)
                async with asyncio.timeout(PATIENCE_S):
                    await to_the_end(viewer)
                    assert viewer.picture.getbbox() is None, "the last picture is black"
                    with pytest.raises(FarhandError, match="scope-withdrawn"):
                        await stream.check()
                    assert await made.pair.host.quiet(PATIENCE_S)
            await reached(window, X.ButtonRelease)
            assert "screen-over" in made.said()


async def test_a_lost_line_lets_go_and_comes_back(tmp_path: Path, screen: str) -> None:
    with Window(screen, (0, 0, 100, 100)) as window:
        async with shared(tmp_path, ("screen", "control")) as made, viewing(made) as viewer:
            await viewer.pointer(50, 50, 1)
            await reached(window, X.ButtonPress)
            await made.pair.wire.cut()
            await reached(window, X.ButtonRelease)
            window.take().clear()
            made.pair.wire.attach()
            await viewer.click(33, 44)
            press = await reached(window, X.ButtonPress)
            assert (press.event_x, press.event_y) == (33, 44)


async def test_only_so_many_look_at_once(tmp_path: Path, screen: str) -> None:
    async with shared(tmp_path, ("screen",)) as made:
        async with viewing(made), viewing(made):
            assert MAX_SCREENS == 2
            with pytest.raises(FarhandError, match="screen-busy"):
                async with viewing(made):
                    raise AssertionError
        await noted(made, "screen-over")


async def test_where_there_is_no_desktop_the_technician_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":9999")
    async with shared(tmp_path, ("screen",)) as made:
        with pytest.raises(FarhandError, match="screen-unavailable"):
            async with viewing(made):
                raise AssertionError
        assert made.said() == [], "nothing was shown"


async def test_what_shows_it_dies_and_the_technician_is_told(
    tmp_path: Path, screen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[asyncio.subprocess.Process] = []
    start = screen_process._start

    async def noted_start(*whose: Any) -> asyncio.subprocess.Process:
        begun.append(await start(*whose))
        return begun[-1]

    monkeypatch.setattr(screen_process, "_start", noted_start)
    with Window(screen, (0, 0, 640, 480)):
        async with shared(tmp_path, ("screen",)) as made, open_rfb(made.pair.ssh) as stream:
            viewer = Viewer(stream.read, stream.write)
            await viewer.open(TIGHT)
            await viewer.see(is_white)
            begun[0].kill()
            async with asyncio.timeout(PATIENCE_S):
                await to_the_end(viewer)
                assert viewer.picture.getbbox() is None, "the last picture is black"
                with pytest.raises(FarhandError, match="screen-failed"):
                    await stream.check()


async def test_a_broken_viewer_gets_its_end_and_the_session_goes_on(tmp_path: Path) -> None:
    async with shared(tmp_path, ("screen", "view")) as made:
        async with open_rfb(made.pair.ssh) as stream:
            await stream.write(b"GET / HTTP/1.1\r\n\r\n")
            async with asyncio.timeout(PATIENCE_S):
                while await stream.read():
                    continue
            with pytest.raises(FarhandError, match="rfb-version"):
                await stream.check()
        process = await made.pair.ssh.create_process(subsystem="farhand-view", encoding=None)
        process.stdin.write(b'{"show":"system"}\n')
        assert msgspec.json.decode(await process.stdout.readline())["cpus"] >= 1


async def test_a_local_viewer_connects_once(tmp_path: Path, screen: str) -> None:
    said: asyncio.Queue[int] = asyncio.Queue()
    with Window(screen, (0, 0, 100, 100)):
        async with shared(tmp_path, ("screen",)) as made, asyncio.TaskGroup() as group:
            serving = group.create_task(
                serve_viewer(made.pair.ssh, port=0, view_only=False, ready=said.put_nowait)
            )
            async with asyncio.timeout(PATIENCE_S):
                port = await said.get()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)

                async def send(data: bytes) -> None:
                    writer.write(data)
                    await writer.drain()

                viewer = Viewer(lambda: reader.read(65536), send)
                await viewer.open(TIGHT)
                await viewer.see(is_white)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                await serving
            await noted(made, "screen-over")
