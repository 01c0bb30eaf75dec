"""One picture of the screen over real SSH: asked, taken, sent; refused, late, hostile."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from farhand_agent.config import Home
from farhand_agent.session.events import Event, ShotAsked, ShotOver
from farhand_agent.session.live_help import HelpTerms, LiveHelp
from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.restart import MachineRestart
from farhand_agent.session.screenshot import ScreenshotDesk
from farhand_console.session.screenshot import Screenshot, ask_screenshot
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.pictures import MAX_PICTURE_BYTES, PART_BYTES, read_png
from tests.agent.session.ssh_pair import SESSION, make_terms, ssh_pair


def png(width: int = 3, height: int = 2, filler: int = 0) -> bytes:
    """Return a small PNG; `filler` bytes of it are a text chunk."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x10\x20\x30" * width) * height)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            chunk(b"tEXt", b"x" * filler),
            chunk(b"IDAT", pixels),
            chunk(b"IEND", b""),
        )
    )


class Scene:
    """A session with a page, whose part the test plays."""

    def __init__(self, folder: Path, *, has_page: bool = True, **times: float) -> None:
        self.terms = make_terms(folder, ())
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.gate = PromptGate()
        self.frozen: list[bool] = []
        self.gate.heed(self.frozen.append)
        self.help = LiveHelp(
            HelpTerms(
                home=Home.at(folder / "home"),
                session=SESSION,
                operator="tess",
                scopes=self.terms.scopes,
                actions=self.terms.actions,
                roots=self.terms.roots,
                restart=MachineRestart(self.terms.actions, lambda: None),
                environment={},
                now=lambda: datetime.now(UTC),
                emit=self.told.put_nowait,
                on_wait=lambda *_: None,
                gate=self.gate,
                has_page=lambda: has_page,
            )
        )
        if times:
            self.help.screenshots = ScreenshotDesk(
                self.terms.actions, self.gate, self.told.put_nowait, session=SESSION,
                operator=lambda: "tess", has_page=lambda: has_page, **times,
            )  # fmt: skip
        self.terms.subsystems = {**self.terms.subsystems, **self.help.subsystems()}

    @property
    def desk(self) -> ScreenshotDesk:
        return self.help.screenshots

    async def next(self) -> Event:
        return await asyncio.wait_for(self.told.get(), 20)

    def send(self, shot: int, data: bytes) -> None:
        assert self.desk.hear({"shot": shot, "answer": "taken"})
        for number, at in enumerate(range(0, len(data), PART_BYTES)):
            part = base64.b64encode(data[at : at + PART_BYTES]).decode()
            assert self.desk.hear({"shot": shot, "part": number, "data": part})
        assert self.desk.hear({"shot": shot, "answer": "send"})

    async def asked(self) -> ShotAsked:
        event = await self.next()
        assert isinstance(event, ShotAsked)
        return event


async def test_what_she_sends_arrives_and_is_in_the_receipt(tmp_path: Path) -> None:
    scene, data = Scene(tmp_path), png(filler=3 * PART_BYTES)
    async with ssh_pair(scene.terms) as pair, asyncio.TaskGroup() as group:
        waiting = group.create_task(ask_screenshot(pair.ssh, reason="the message"))
        asked = await scene.asked()
        assert (asked.operator, asked.reason, asked.session) == ("tess", "the message", SESSION)
        assert scene.gate.is_open
        scene.send(asked.shot, data)
        picture = await waiting
    assert picture == Screenshot(
        data=data, sha256=hashlib.sha256(data).hexdigest(), width=3, height=2
    )
    assert await scene.next() == ShotOver(session=SESSION, shot=asked.shot, answer="sent")
    assert scene.frozen == [True, False]
    (action,) = scene.terms.actions.actions
    assert (action.kind, action.message, action.facts) == ("view", "shot-sent", {"size": "3x2"})
    assert (action.size_bytes, action.sha256) == (len(data), picture.sha256)


async def test_refused_late_and_nobody_are_different(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with ssh_pair(scene.terms) as pair, asyncio.TaskGroup() as group:
        waiting = group.create_task(refused(pair.ssh))
        asked = await scene.asked()
        assert not scene.desk.hear({"shot": asked.shot + 1, "answer": "send"})
        assert not scene.desk.hear({"shot": asked.shot, "answer": "send"})  # nothing is there
        assert scene.desk.hear({"shot": asked.shot, "answer": "refuse"})
        assert not scene.desk.hear({"shot": asked.shot, "answer": "refuse"})
        assert await waiting == "screenshot-refused"
    for look_s, send_s in ((0.05, 9.0), (9.0, 0.05)):
        late = Scene(tmp_path, look_s=look_s, send_s=send_s)
        async with ssh_pair(late.terms) as pair, asyncio.TaskGroup() as group:
            waiting = group.create_task(refused(pair.ssh))
            asked = await late.asked()
            if look_s > 1:
                late.desk.hear({"shot": asked.shot, "answer": "taken"})
            assert await waiting == "screenshot-timeout"
        assert [one.message for one in late.terms.actions.actions] == ["shot-refused"]
    alone = Scene(tmp_path, has_page=False)
    async with ssh_pair(alone.terms) as pair:
        assert await refused(pair.ssh) == "screenshot-nobody"
    assert alone.told.empty()


async def refused(ssh: object) -> str:
    with pytest.raises(RefusedError) as caught:
        await ask_screenshot(ssh)  # type: ignore[arg-type]
    return caught.value.code


async def test_a_console_that_leaves_takes_the_question_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with ssh_pair(scene.terms) as pair:
        process = await pair.ssh.create_process(subsystem="farhand-screenshot", encoding=None)
        process.stdin.write(b'{"screenshot": true}\n')
        asked = await scene.asked()
        busy = await pair.ssh.create_process(subsystem="farhand-screenshot", encoding=None)
        busy.stdin.write(b'{"screenshot": true}\n')
        answer = msgspec.json.decode(await asyncio.wait_for(busy.stdout.readline(), 20))
        assert answer["error"]["code"] == "screenshot-busy"
        process.stdin.write_eof()
        over = await scene.next()
        assert over == ShotOver(session=SESSION, shot=asked.shot, answer="withdrawn")
        assert not scene.gate.is_open
        assert not scene.desk.hear({"shot": asked.shot, "answer": "taken"})


@pytest.mark.parametrize(
    "line",
    [
        {"part": 1, "data": "AAAA"},
        {"part": 0, "data": "%%%"},
        {"part": 0, "data": ""},
        {"part": 0, "data": base64.b64encode(bytes(PART_BYTES + 1)).decode()},
        {"part": "0", "data": "AAAA"},
        {"answer": ["send"]},
    ],
)
async def test_parts_that_are_none_do_not_count(tmp_path: Path, line: dict[str, object]) -> None:
    scene = Scene(tmp_path)
    async with ssh_pair(scene.terms) as pair, asyncio.TaskGroup() as group:
        waiting = group.create_task(refused(pair.ssh))
        asked = await scene.asked()
        assert not scene.desk.hear({"shot": asked.shot, **line})
        scene.desk.hear({"shot": asked.shot, "answer": "refuse"})
        await waiting


async def test_only_a_picture_leaves(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with ssh_pair(scene.terms) as pair, asyncio.TaskGroup() as group:
        waiting = group.create_task(failed(pair.ssh))
        asked = await scene.asked()
        scene.send(asked.shot, b"#!/bin/sh\n")
        assert await waiting == "screenshot-malformed"


async def failed(ssh: object) -> str:
    with pytest.raises(FarhandError) as caught:
        await ask_screenshot(ssh)  # type: ignore[arg-type]
    return caught.value.code


@pytest.mark.parametrize(
    "data",
    [
        b"",
        png()[:-1],
        b"\xff\xd8\xff" + png()[3:],
        png(0, 2),
        png(16_385, 2),
        png()[:28] + b"\x01" + png()[29:],
        png(filler=MAX_PICTURE_BYTES),
    ],
    ids=["nothing", "cut", "no-png", "no-width", "too-wide", "checksum", "too-large"],
)
def test_what_is_no_picture_is_told_from_one(data: bytes) -> None:
    with pytest.raises(FarhandError, match="screenshot-malformed"):
        read_png(data)


async def test_a_prompt_over_another_keeps_the_gate_open() -> None:
    gate, told = PromptGate(), list[bool]()
    forget = gate.heed(told.append)
    async with gate.standing():
        async with gate.standing():
            assert gate.is_open
        assert gate.is_open
    assert (gate.is_open, told) == (False, [True, False])
    forget()
    async with gate.standing():
        assert told == [True, False]
