"""`farhand-hash` and the bounds around SFTP: inside the roots, noted, never a heap of memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from farhand_agent.session.files_flow import KnownHashes
from farhand_agent.session.files_hash import serve_hashes
from farhand_agent.session.files_protocol import MAX_BLOCK_BYTES, MAX_UNSENT_BYTES
from farhand_agent.session.subsystems import Subsystem
from tests.agent.session.ssh_pair import Pair, make_terms, random_file, ssh_pair


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@asynccontextmanager
async def device(root: Path, *scopes: str) -> AsyncIterator[Pair]:
    terms = make_terms(root, scopes or ("files",))
    serve = partial(serve_hashes, roots=terms.roots, actions=terms.actions, hashes=terms.hashes)
    terms.subsystems = {"farhand-hash": Subsystem("files", serve)}
    async with ssh_pair(terms) as pair:
        yield pair


async def ask(pair: Pair, path: str, **fields: Any) -> dict[str, Any]:
    line = json.dumps({"path": base64.b64encode(os.fsencode(path)).decode(), **fields})
    return await say(pair, line.encode())


async def say(pair: Pair, line: bytes) -> dict[str, Any]:
    async with pair.ssh.create_process(subsystem="farhand-hash", encoding=None) as process:
        process.stdin.write(line + b"\n")
        answer: dict[str, Any] = json.loads(await process.stdout.readuntil(b"\n"))
    return answer


async def test_whole_and_in_part(root: Path) -> None:
    data = random_file(root / "a", 5_000_000)
    async with device(root) as pair:
        whole = await ask(pair, "a")
        part = await ask(pair, "a", offset=1_000_000, length=4_500_000)
        beyond = await ask(pair, "a", offset=9_000_000, length=5)
        noted = pair.host.terms.actions.actions
    assert whole["sha256"] == hashlib.sha256(data).hexdigest()
    assert whole["length"] == whole["size"] == len(data)
    assert part["sha256"] == hashlib.sha256(data[1_000_000:]).hexdigest()
    assert part["length"] == 4_000_000
    assert (beyond["sha256"], beyond["length"]) == (hashlib.sha256().hexdigest(), 0)
    assert [(one.kind, one.sha256) for one in noted] == [
        ("file-read", whole["sha256"]),
        ("file-read", None),
        ("file-read", None),
    ]


async def test_a_changed_file_is_read_again(root: Path) -> None:
    random_file(root / "a", 1000)
    async with device(root) as pair:
        first = await ask(pair, "a")
        again = await ask(pair, "a")
        data = random_file(root / "a", 1000)
        os.utime(root / "a", (1, 1))
        changed = await ask(pair, "a")
    assert first["sha256"] == again["sha256"]
    assert changed["sha256"] == hashlib.sha256(data).hexdigest() != first["sha256"]


@pytest.mark.parametrize("path", ["../secret", "out", "fifo", "a\0b"])
async def test_nothing_outside_the_roots_and_nothing_that_hangs(
    root: Path, tmp_path: Path, path: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "fifo")
    async with device(root) as pair:
        answer = await asyncio.wait_for(ask(pair, path), 20)
        assert "error" in answer
        assert "sha256" not in answer
        assert pair.actions("denied")


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"path":1}', b'{"path":"YQ==","offset":-1}', b"\xff", b"[" * 5000]
)
async def test_what_cannot_be_read_is_answered(root: Path, line: bytes) -> None:
    random_file(root / "a", 10)
    async with device(root) as pair:
        if line:
            assert (await say(pair, line))["error"]["code"] == "hash-malformed"
        assert "sha256" in await ask(pair, "a")


async def test_it_needs_the_scope_files(root: Path) -> None:
    async with device(root, "terminal") as pair:
        with pytest.raises(asyncssh.ChannelOpenError):
            await ask(pair, "a")


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


async def test_a_console_that_never_reads_gets_no_heap_of_memory(root: Path) -> None:
    random_file(root / "big", 1_000_000)
    async with device(root) as pair:
        process = await pair.ssh.create_process(subsystem="sftp", encoding=None)
        process.stdin.write(packet(1, struct.pack(">I", 3)))  # INIT
        await _reply(process)
        process.stdin.write(packet(3, struct.pack(">II3sII", 1, 3, b"big", 1, 0)))  # OPEN
        handle = (await _reply(process))[9:]
        for number in range(200):
            body = struct.pack(">II", number, len(handle)) + handle
            process.stdin.write(packet(5, body + struct.pack(">QI", 0, MAX_BLOCK_BYTES)))  # READ
        (connection,) = pair.host._connections
        (channel,) = connection._channels.values()
        # Until the device has stopped: its answers wait, and further requests are not read.
        while channel._send_buf_len <= MAX_UNSENT_BYTES:
            await asyncio.sleep(0)
        for _ in range(500):
            await asyncio.sleep(0)
        assert channel._send_buf_len <= MAX_UNSENT_BYTES + 2 * MAX_BLOCK_BYTES


async def _reply(process: asyncssh.SSHClientProcess[bytes]) -> bytes:
    length = int.from_bytes(await process.stdout.readexactly(4), "big")
    return await process.stdout.readexactly(length)


def test_known_hashes_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farhand_agent.session.files_flow.MAX_KNOWN_HASHES", 3)
    known = KnownHashes()
    found = []
    for number in range(5):
        random_file(root / str(number), 10)
        found.append(os.stat(root / str(number)))
        known.note(found[-1], f"{number}")
    assert [known.of(one) for one in found] == [None, None, "2", "3", "4"]
