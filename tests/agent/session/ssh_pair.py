"""An SSH client and the session's SSH host over two resumable pipes in one process.

The wire between them is a pair of queues that a test can cut, as a network would.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.files import Roots
from farhand_agent.session.host import SessionHost, host_key
from farhand_agent.session.pipes import PipeDriver, PipeTunnel, StreamLost
from farhand_agent.session.scopes import LiveScopes
from farhand_agent.session.subsystems import Subsystem
from farhand_agent.session.terms import SessionTerms
from farhand_agent.session.view import serve_view
from farhand_protocol.identity import make_id, public_key_line
from farhand_protocol.keys import SeedSigner

# Drawn anew in each test process: programs of a session are found, and killed, by its id.
SESSION = make_id("s", os.urandom(16))
DEVICE_SEED = bytes(range(32))
CONSOLE_SEED = bytes(range(32, 64))


class QueueStream:
    """One end of the wire; `cut` makes both ends fail, as a lost connection does."""

    def __init__(self, outgoing: asyncio.Queue[bytes], incoming: asyncio.Queue[bytes]) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self.lost = asyncio.Event()

    async def send(self, message: bytes) -> None:
        if self.lost.is_set():
            raise StreamLost
        async with asyncio.TaskGroup() as group:
            putting = group.create_task(self._outgoing.put(message))
            losing = group.create_task(self.lost.wait())
            await asyncio.wait({putting, losing}, return_when=asyncio.FIRST_COMPLETED)
            losing.cancel()
            if putting.done():
                return
            putting.cancel()
        raise StreamLost

    async def receive(self) -> bytes:
        async with asyncio.TaskGroup() as group:
            getting = group.create_task(self._incoming.get())
            losing = group.create_task(self.lost.wait())
            await asyncio.wait({getting, losing}, return_when=asyncio.FIRST_COMPLETED)
            losing.cancel()
            if getting.done():
                return getting.result()
            getting.cancel()
        raise StreamLost


class Wire:
    """Both pipe ends, attached and cut at will."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.device = PipeDriver(0)
        self.console = PipeDriver(0)
        self._group = group
        self._streams: list[QueueStream] = []

    def attach(self) -> None:
        there: asyncio.Queue[bytes] = asyncio.Queue(16)
        back: asyncio.Queue[bytes] = asyncio.Queue(16)
        self._streams = [QueueStream(there, back), QueueStream(back, there)]
        self._group.create_task(self.console.serve(self._streams[0]))
        self._group.create_task(self.device.serve(self._streams[1]))

    def drop(self) -> None:
        for stream in self._streams:
            stream.lost.set()

    async def cut(self) -> None:
        self.drop()
        while self.device.attached.is_set() or self.console.attached.is_set():
            await asyncio.sleep(0)


class Pair:
    """What a test works with."""

    def __init__(self, host: SessionHost, wire: Wire, group: asyncio.TaskGroup) -> None:
        self.host = host
        self.wire = wire
        self.scopes = host.terms.scopes
        self.group = group
        self.ssh: asyncssh.SSHClientConnection

    def actions(self, kind: str) -> list[str]:
        return [one.detail for one in self.host.terms.actions.actions if one.kind == kind]


def make_terms(
    root: Path,
    scopes: Iterable[str] = ("view", "terminal", "files"),
    *,
    forward_to: Iterable[str] = (),
    read_only: bool = False,
    roots: bool = True,
    subsystems: Mapping[str, Subsystem] | None = None,
) -> SessionTerms:
    actions = ActionLog(lambda: datetime.now(UTC))
    return SessionTerms(
        session=SESSION,
        console_key=SeedSigner(CONSOLE_SEED).public_key,
        scopes=LiveScopes(scopes),
        actions=actions,
        roots=Roots.of([str(root)] if roots else [], str(root), read_only=read_only),
        forward_to=set(forward_to),
        subsystems={
            "farhand-view": Subsystem("view", partial(serve_view, actions=actions)),
            **(subsystems or {}),
        },
        environment={"FARHAND_SESSION": SESSION},
    )


@contextlib.asynccontextmanager
async def ssh_pair(terms: SessionTerms, **client: Any) -> AsyncIterator[Pair]:
    """Run host and client; the client is signed in unless `connect=False`."""
    connect = client.pop("connect", True)
    host = SessionHost(host_key(DEVICE_SEED), terms)
    async with asyncio.TaskGroup() as group:
        wire = Wire(group)
        serving = group.create_task(host.serve(wire.device))
        pair = Pair(host, wire, group)
        wire.attach()
        if connect:
            pair.ssh = await open_client(wire, **client)
        try:
            yield pair
        finally:
            if connect:
                pair.ssh.abort()
            wire.console.end()
            wire.device.end()
            await serving
            wire.drop()  # a writer whose reader has gone would wait for ever


async def open_client(wire: Wire, **options: Any) -> asyncssh.SSHClientConnection:
    device_line = public_key_line(SeedSigner(DEVICE_SEED).public_key)
    defaults: dict[str, Any] = {
        "known_hosts": ([asyncssh.import_public_key(device_line)], [], []),
        "client_keys": [host_key(CONSOLE_SEED)],
        "username": SESSION,
        "config": None,
        "agent_path": None,
        "compression_algs": None,
        "connect_timeout": 20,
    }
    return await asyncssh.connect(
        "device", 22, tunnel=PipeTunnel(wire.console), **{**defaults, **options}
    )


def random_file(path: Path, size: int) -> bytes:
    data = os.urandom(size)
    path.write_bytes(data)
    return data
