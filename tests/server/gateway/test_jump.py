"""The jump port by itself: a real SSH client, and pipes that a test holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import asyncssh
import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import Actor
from farhand_server.gateway.jump import MAX_JUMP_CHANNELS, JumpPort
from farhand_server.gateway.jump_pipe import JumpPipe
from farhand_server.tasks import Tasks

TESS = Actor(tenant="t-one", account="a-tess", name="tess", role="technician")


class _Pipe:
    """A pipe that ends when it is told to; what is sent comes back in capitals."""

    session = "s-aaaaaaaaaaaaaaaa"
    reason = "done"

    def __init__(self, deliver: Callable[[bytes], None]) -> None:
        self.reading = asyncio.Event()
        self._deliver = deliver
        self._over = asyncio.Event()

    def send(self, data: bytes) -> None:
        self._deliver(data.upper())

    def end(self) -> None:
        self._over.set()

    async def run(self) -> None:
        await self._over.wait()


class Port:
    """A jump port on loopback, and what becomes of requests for devices."""

    def __init__(self, tasks: Tasks) -> None:
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.key_has_ended = False
        self.looked_for: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = JumpPort(
            host_key.export_private_key(), find_actor=self._find, make_pipe=self._make, tasks=tasks
        )
        self.number = 0

    async def _find(self, key: bytes) -> Actor | None:
        if self.key_has_ended:
            return None
        mine = self.key.export_public_key("openssh").decode()
        return TESS if asyncssh.import_public_key(mine).public_data.endswith(key) else None

    async def _make(self, _actor: Actor, name: str, deliver: Any, _writable: Any) -> JumpPipe:
        self.looked_for.append(name)
        await self.hold.wait()
        if name != "desk-7":
            raise FarhandError("not-found", "no such session")
        return cast(JumpPipe, _Pipe(deliver))

    def connect(self) -> Any:
        return asyncssh.connect(
            "127.0.0.1",
            self.number,
            known_hosts=None,
            client_keys=[self.key],
            config=None,
            agent_path=None,
            username="farhand",
        )


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    tasks = Tasks()
    made = Port(tasks)
    made.number = await made.port.start("127.0.0.1", 0)
    yield made
    await made.port.stop()
    await tasks.aclose()
    assert tasks.failures == 0


async def test_a_device_with_a_session_is_reached(port: Port) -> None:
    async with port.connect() as ssh:
        reader, writer = await ssh.open_connection("desk-7", 22)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        with pytest.raises(asyncssh.ChannelOpenError, match="no open session"):
            await ssh.open_connection("desk-8", 22)
        with pytest.raises(asyncssh.ChannelOpenError, match="port 22"):
            await ssh.open_connection("desk-7", 80)
    assert port.looked_for == ["desk-7", "desk-8"]


async def test_a_connection_outlives_no_key(port: Port) -> None:
    async with port.connect() as ssh:
        await ssh.open_connection("desk-7", 22)
        port.key_has_ended = True
        for _ in range(MAX_JUMP_CHANNELS + 1):
            with pytest.raises(asyncssh.ChannelOpenError, match="no open session"):
                await ssh.open_connection("desk-7", 22)
    assert port.looked_for == ["desk-7"]


async def test_those_that_wait_count_as_channels(port: Port) -> None:
    port.hold.clear()
    async with port.connect() as ssh:
        async with asyncio.TaskGroup() as group:
            waiting = [
                group.create_task(_open(ssh, "desk-8")) for _ in range(MAX_JUMP_CHANNELS + 3)
            ]
            while sum(task.done() for task in waiting) < 3:
                await asyncio.sleep(0)
            assert len(port.looked_for) == MAX_JUMP_CHANNELS
            port.hold.set()
        words = [task.result() for task in waiting]
        assert sum("too many" in one for one in words) == 3
        # Those that were refused have made room.
        await ssh.open_connection("desk-7", 22)


async def _open(ssh: asyncssh.SSHClientConnection, name: str) -> str:
    try:
        await ssh.open_connection(name, 22)
    except asyncssh.ChannelOpenError as error:
        return str(error)
    return "opened"
