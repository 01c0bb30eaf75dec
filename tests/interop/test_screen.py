"""A screen through the real relay, agent and console, in a viewer that is none of ours."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from Xlib import X

from tests.agent.screen.viewer import TIGHT, Viewer, ViewerEnded
from tests.agent.screen.windows import Window
from tests.interop.reach import Field
from tests.support.stage import Process
from tests.support.xvfb import xvfb

_WHITE = (255, 255, 255)
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Desk:
    """A device with a screen, which must be recorded."""

    field: Field
    display: str

    def open(self) -> tuple[str, Process]:
        """Open a session that may see and use it."""
        agent = self.field.stage.agent("delta")
        scopes = "view,screen,control"
        helper = self.field.stage.start(
            agent.words("code", "--json", "--yes", "--scope", scopes),
            env={**self.field.stage.env, "DISPLAY": self.display},
        )
        code = event_of(helper, "code")["code"]
        opened = self.field.technician.json("session", "open", "--code", code, "--scope", scopes)
        assert opened["scopes"] == ["view", "screen", "control"]
        return str(opened["session"]), helper


def event_of(helper: Process, kind: str) -> dict[str, Any]:
    while (event := helper.next_json())["event"] != kind:
        continue
    return event


@pytest.fixture(scope="module")
def desk(field: Field) -> Iterator[Desk]:
    admin = field.admin
    key = admin.json("recording", "key", "new")["recipient"]
    admin.json(
        "trust", "policy", "screens", "--recording", "required", "--audit-key", key,
        "--recording-days", "30", "--cool-down-s", "0",
    )  # fmt: skip
    agent = field.stage.agent("delta")
    agent.enrol(admin.json("token", "create", "--group", "screens")["token"])
    with xvfb(320, 240) as display:
        yield Desk(field, display)


def is_white(picture: Any) -> bool:
    return bool(picture.getpixel((310, 10)) == _WHITE)


async def look(desk: Desk, port: int, session: str, window: Window) -> Viewer:
    """See the window, click on it, and be there when the session ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        viewer = Viewer(lambda: reader.read(65_536), send)
        await viewer.open(TIGHT)
        await viewer.see(is_white, patience_s=_PATIENCE_S)
        await viewer.pointer(123, 45, 1)
        press = await asyncio.to_thread(window.wait, lambda told: told.type == X.ButtonPress)
        assert (press.event_x, press.event_y) == (123, 45)
        await asyncio.to_thread(
            desk.field.technician.json, "session", "end", session, "--note", "seen"
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    await viewer.next()
        except (ViewerEnded, ConnectionError):
            return viewer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):  # the console went first
            await writer.wait_closed()


def recorded_rfb(path: Path) -> list[bytes]:
    """Return what was recorded between the marks of whole pictures; first what was before any."""
    parts = [b""]
    for line in path.read_text().splitlines()[1:]:
        _, code, data = json.loads(line)
        if code == "m":
            parts.append(b"")
        elif code == "b":
            parts[-1] += base64.b64decode(data)
    return parts


async def replayed(data: bytes) -> Viewer:
    """Return a viewer that was shown a recording from its first byte on."""
    pieces = [data]

    async def receive() -> bytes:
        return pieces.pop() if pieces else b""

    async def send(_: bytes) -> None:
        return

    viewer = Viewer(receive, send)
    await viewer.open(TIGHT)
    try:
        while not is_white(viewer.picture):
            await viewer.next()
    except ViewerEnded:
        pass  # it was never white, which the test sees
    return viewer


def test_a_screen_is_seen_used_recorded_and_ended(desk: Desk, tmp_path: Path) -> None:
    field = desk.field
    with Window(desk.display, (0, 0, 320, 240)) as window:
        session, helper = desk.open()
        shown = field.technician.start("screen", session)
        viewer = asyncio.run(look(desk, shown.next_json()["port"], session, window))
        assert viewer.picture.getbbox() is None, "the last picture is black"
        window.wait(lambda told: told.type == X.ButtonRelease)
        shown.popen.wait(_PATIENCE_S)
    ended = event_of(helper, "end")
    receipt = json.loads(
        base64.b64decode(json.loads(Path(ended["receipt"]).read_bytes())["payload"])
    )
    told = [one["message"] for one in receipt["actions"] if one["kind"] == "screen"]
    assert told == ["screen-shown-recorded", "screen-control", "screen-input", "screen-over"]
    assert receipt["scopes"] == ["view", "screen", "control"]
    assert receipt["recording"]["complete"]

    assert field.technician.json("recording", "verify", session)["valid"]
    files = field.admin.json("recording", "export", session, "--out", str(tmp_path))["files"]
    assert [one["kind"] for one in files] == ["events", "screen"]
    parts = recorded_rfb(Path(files[1]["path"]))
    assert len(parts) >= 2
    assert is_white(asyncio.run(replayed(b"".join(parts))).picture)


def test_without_the_scope_there_is_no_screen(desk: Desk) -> None:
    session = desk.field.sessions["alpha"]
    assert desk.field.technician.refused("screen", session) == "scope-missing"
