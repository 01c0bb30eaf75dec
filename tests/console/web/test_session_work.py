"""Terminals and files of sessions: one connection for all of them, and nothing without a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from websockets.asyncio.client import ClientConnection

from farhand_console.web import files, terminals
from farhand_console.web.session_lines import SessionLines
from farhand_protocol.errors import FarhandError
from tests.console.web.backend import PATIENCE_S, Backend
from tests.console.web.device import FLOOD_BYTES, SESSION, Device, device

BASE = f"/local/sessions/{SESSION}"


@pytest.fixture
async def far(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Device]:
    """A device whose files lie in `tmp_path/files`."""
    (tmp_path / "files").mkdir()
    async with device(monkeypatch, tmp_path / "files") as one:
        yield one


@pytest.fixture
async def web(far: Device, outside: Backend) -> Backend:
    """A backend that has let one browser in, which ends before the device does."""
    await outside.enter()
    return outside


class Terminal:
    """The page's end of a terminal."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.output = b""
        self.told: list[dict[str, Any]] = []

    async def say(self, message: object) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, found: str | bytes, *, shows: bool = True) -> None:
        """Receive until the output holds the bytes, or a message with that name came."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if isinstance(found, bytes) and found in self.output:
                    return
                if any(found in message for message in self.told):
                    return
                message = await self.socket.recv()
                if isinstance(message, str):
                    self.told.append(json.loads(message))
                    continue
                self.output += message
                if shows:
                    await self.say({"shown": len(message)})


async def opened(socket: ClientConnection) -> Terminal:
    """Open a terminal on a websocket."""
    one = Terminal(socket)
    await one.say({"size": [80, 24]})
    await one.until("ready")
    return one


async def test_a_shell_is_typed_into_resized_and_ends(web: Backend, far: Device) -> None:
    async with web.socket(f"{BASE}/terminal") as socket:
        terminal = await opened(socket)
        await socket.send(b"hello\n")
        await terminal.until(b"heard hello\n")
        await terminal.say({"size": [120, 40]})
        await socket.send(b"again\n")
        await terminal.until(b"heard again\n")
        far.say("the line is down, reconnecting")
        await terminal.until("say")
        await socket.send(b"exit\n")
        await terminal.until("end")
    assert far.sizes == [(80, 24), (120, 40)]
    assert terminal.told[-1] == {"end": 3}
    assert sum(one.get("took", 0) for one in terminal.told) == len(b"hello\nagain\nexit\n")


async def test_a_flood_waits_until_it_is_drawn(web: Backend, far: Device) -> None:
    async with web.socket(f"{BASE}/terminal") as socket:
        terminal = await opened(socket)
        await socket.send(b"flood\n")
        async with asyncio.timeout(PATIENCE_S):
            while len(terminal.output) < terminals.MAX_UNSHOWN_BYTES:
                message = await socket.recv()
                terminal.output += message if isinstance(message, bytes) else b""
        # Another shell on the same connection answers all the while: only this one is held back.
        async with web.socket(f"{BASE}/terminal") as beside:
            other = await opened(beside)
            await beside.send(b"hello\n")
            await other.until(b"heard hello\n")
        assert far.written < FLOOD_BYTES
        await terminal.say({"shown": len(terminal.output)})
        await terminal.until(b"heard flood\n")
    assert len(terminal.output) >= FLOOD_BYTES
    assert far.opened == 1


async def test_more_than_the_device_takes_cannot_be_typed(web: Backend, far: Device) -> None:
    async with web.socket(f"{BASE}/terminal") as socket:
        terminal = await opened(socket)
        await socket.send(b"x" * (terminals.MAX_TYPED_BYTES + 1))
        await terminal.until("error")
    assert terminal.told[-1]["error"]["code"] == "terminal-flood"


@pytest.mark.parametrize("size", [None, [0, 24], [80], ["80", 24], [80, 10_000]])
async def test_a_terminal_has_a_size(web: Backend, far: Device, size: object) -> None:
    async with web.socket(f"{BASE}/terminal") as socket:
        terminal = Terminal(socket)
        await terminal.say({"size": size})
        await terminal.until("error")
    assert terminal.told[-1]["error"]["code"] == "act-values"
    assert far.opened == 0


async def test_what_ends_a_connection_is_said_and_the_next_one_is_new(
    web: Backend, far: Device
) -> None:
    far.is_restarted = True
    async with web.socket(f"{BASE}/terminal") as socket:
        terminal = await opened(socket)
        far.connections[0].abort()
        await terminal.until("error")
    assert terminal.told[-1]["error"]["code"] == "session-restarted"
    async with web.socket(f"{BASE}/terminal") as socket:
        terminal = await opened(socket)
        await socket.send(b"back\n")
        await terminal.until(b"heard back\n")
    assert far.opened == 2


async def test_why_there_is_no_connection_is_said(web: Backend, far: Device) -> None:
    far.refusal = FarhandError("session-ended", "the session is over: its time is over")
    async with web.socket(f"{BASE}/terminal") as socket:
        terminal = Terminal(socket)
        await terminal.say({"size": [80, 24]})
        await terminal.until("error")
    assert terminal.told[-1]["error"]["code"] == "session-ended"
    answer = await web.http.get(f"{BASE}/files")
    assert answer.json()["code"] == "session-ended"


async def test_a_connection_that_nobody_uses_is_closed(
    far: Device, outside: Backend, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        lines = SessionLines(outside.home, group, grace_s=0.01)
        async with lines.use(SESSION) as first, lines.use(SESSION) as second:
            assert first is second
            closed = first.connection.wait_closed()
        async with asyncio.timeout(PATIENCE_S):
            await closed
        async with lines.use(SESSION) as third:
            assert third is not first
        lines.close()
    assert (far.opened, far.closed) == (2, 2)


async def test_files_go_there_and_come_back(web: Backend, far: Device, tmp_path: Path) -> None:
    root = tmp_path / "files"
    (root / b"caf\xe9\xff".decode("utf-8", "surrogateescape")).write_bytes(b"old name")
    data = bytes(range(256)) * 8000
    made = await web.http.post(f"{BASE}/files", json={"do": "make", "path": "/", "name": "in"})
    assert made.status_code == 200, made.text
    name = 'a "b"\r\n\u202e<i>.html'
    stored = await web.http.post(
        f"{BASE}/file", params={"folder": "/in", "name": name}, content=data
    )
    assert stored.json() == {"name": name, "size_bytes": len(data)}
    listed = (await web.http.get(f"{BASE}/files", params={"path": "/in"})).json()
    assert [one["name"] for one in listed["items"]] == [name]
    assert (listed["parent"], listed["omitted"]) == ("/", False)

    fetched = await web.http.get(f"{BASE}/file", params={"path": listed["items"][0]["path"]})
    assert fetched.content == data
    assert fetched.headers["content-type"] == "application/octet-stream"
    assert fetched.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''a%20%22b%22___%3Ci%3E.html"
    )
    assert "sandbox" in fetched.headers["content-security-policy"]

    # A name that is no text is worked with by the path that was told.
    old = next(
        one
        for one in (await web.http.get(f"{BASE}/files", params={"path": "/"})).json()["items"]
        if one["kind"] == "file"
    )
    assert old["path"] == "/caf%E9%FF"
    renamed = await web.http.post(
        f"{BASE}/files", json={"do": "rename", "path": old["path"], "name": "new"}
    )
    assert renamed.status_code == 200, renamed.text
    assert (root / "new").read_bytes() == b"old name"
    removed = await web.http.post(f"{BASE}/files", json={"do": "remove", "path": "/in"})
    assert removed.json() == {"changed": 2}
    assert sorted(one.name for one in root.iterdir()) == ["new"]
    assert far.opened == 1


async def test_what_is_there_is_replaced_only_where_that_was_said(
    web: Backend, far: Device, tmp_path: Path
) -> None:
    (tmp_path / "files/one").write_bytes(b"first")
    place: dict[str, str] = {"folder": "/", "name": "one"}
    refused = await web.http.post(f"{BASE}/file", params=place, content=b"second")
    assert refused.json()["code"] == "file-there"
    taken = await web.http.post(
        f"{BASE}/file", params=place | {"replace": "true"}, content=b"second"
    )
    assert taken.status_code == 200, taken.text
    assert [(one.name, one.read_bytes()) for one in (tmp_path / "files").iterdir()] == [
        ("one", b"second")
    ]


async def test_what_replaces_a_file_is_read_by_whoever_read_that(
    web: Backend, far: Device, tmp_path: Path
) -> None:
    root = tmp_path / "files"
    for name, mode in (("site.conf", 0o644), ("run", 0o4755), ("key", 0o600)):
        (root / name).write_bytes(b"old")
        (root / name).chmod(mode)
        place = {"folder": "/", "name": name, "replace": "true"}
        taken = await web.http.post(f"{BASE}/file", params=place, content=b"new")
        assert taken.status_code == 200, taken.text
        assert (root / name).read_bytes() == b"new"
        assert (root / name).stat().st_mode & 0o7777 == mode & 0o777
    await web.http.post(f"{BASE}/file", params={"folder": "/", "name": "fresh"}, content=b"x")
    (root / "made").touch()  # what the device's own umask makes of a new file
    assert (root / "fresh").stat().st_mode == (root / "made").stat().st_mode


async def test_a_listing_ends_whatever_the_device_says(
    web: Backend, far: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [b""]

    async def scan(self: asyncssh.SFTPServer, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        while True:
            yield asyncssh.SFTPName(said[0], attrs=asyncssh.SFTPAttrs(permissions=0o100644))

    monkeypatch.setattr(asyncssh.SFTPServer, "scandir", scan)
    monkeypatch.setattr(files, "MAX_NAMES_BYTES", 100_000)
    for name in (b".", b"x" * 4000, b"y" * 200):
        said[0] = name
        async with asyncio.timeout(PATIENCE_S):
            listed = (await web.http.get(f"{BASE}/files")).json()
            assert listed["omitted"] is True
            gone = await web.http.post(f"{BASE}/files", json={"do": "remove", "path": "/"})
        assert gone.json()["code"] == "files-refused"


async def test_an_upload_that_is_given_up_leaves_nothing(
    web: Backend, far: Device, tmp_path: Path
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    head = (
        f"POST {BASE}/file?folder=/&name=big HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\n"
        f"Origin: {web.origin}\r\nCookie: {web.cookie}\r\nContent-Length: 1000000\r\n\r\n"
    )
    writer.write(head.encode() + b"x" * 100_000)
    await writer.drain()
    root = tmp_path / "files"
    async with asyncio.timeout(PATIENCE_S):
        while not list(root.iterdir()):
            await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        while list(root.iterdir()):
            await asyncio.sleep(0.01)
    assert await reader.read() == b""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"do": "make", "path": "/", "name": "../up"}, "file-name"),
        ({"do": "make", "path": "/", "name": ".."}, "file-name"),
        ({"do": "rename", "path": "/x", "name": "a/b"}, "file-name"),
        ({"do": "make", "path": "/", "name": ""}, "file-name"),
        ({"do": "remove", "path": "/none"}, "files-refused"),
        ({"do": "remove", "path": "/%00"}, "act-values"),
    ],
)
async def test_what_is_no_name_and_what_the_device_refuses(
    web: Backend, far: Device, body: dict[str, str], code: str
) -> None:
    answer = await web.http.post(f"{BASE}/files", json=body)
    assert answer.json()["code"] == code


async def test_a_folder_is_listed_up_to_a_bound_and_removed_up_to_one(
    web: Backend, far: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        (tmp_path / f"files/{number}").touch()
    monkeypatch.setattr(files, "MAX_LISTED", 4)
    monkeypatch.setattr(files, "MAX_REMOVED", 3)
    listed = (await web.http.get(f"{BASE}/files")).json()
    assert (len(listed["items"]), listed["omitted"]) == (4, True)
    answer = await web.http.post(f"{BASE}/files", json={"do": "remove", "path": "/"})
    assert answer.json()["code"] == "files-refused"
    assert len(list((tmp_path / "files").iterdir())) == 6  # nothing of it has gone
    for number in range(6):
        folder = tmp_path / f"files/{number % 2}d"
        folder.mkdir(exist_ok=True)
        (tmp_path / f"files/{number}").rename(folder / f"{number}")
    answer = await web.http.post(f"{BASE}/files", json={"do": "remove", "path": "/"})
    assert answer.json()["code"] == "files-refused"
    assert len(list((tmp_path / "files").iterdir())) == 1
    refused = await web.http.get(f"{BASE}/file", params={"path": "/"})
    assert refused.json()["code"] == "files-refused"


async def test_no_other_tool_is_asked_for(web: Backend, far: Device) -> None:
    for asked in ({"tool": "format-disk"}, {}, {"tool": ["kill"]}):
        answer = await web.http.post(f"{BASE}/tool", json=asked)
        assert answer.json()["code"] == "act-values", asked
    assert far.opened == 0
