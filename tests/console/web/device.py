"""A device within the test: an SSH server of this process, in the place of a session's far end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from farhand_console.session.record import SessionRecord
from farhand_console.session.ssh import SessionRestarted
from farhand_console.web import session_lines
from farhand_protocol.errors import FarhandError

__all__ = ["SESSION", "Device", "device"]

SESSION = "s-aaaaaaaaaaaaaaaaaaaaaaaaaa"
FLOOD_BYTES = 8 * 1024 * 1024


class _Open(asyncssh.SSHServer):
    """Lets everybody in: what is tested stands behind that."""

    def begin_auth(self, username: str) -> bool:
        return False


class Device:
    """What the test sees of it.

    Attributes:
        opened: how many SSH connections were opened; closed: and closed.
        written: bytes that `flood` got rid of.
        typed: what shells read.
        sizes: of terminals, as they were told.
        refusal: raised instead of a connection, where set.
        is_restarted: whether a lost connection means that the device's side began anew.
    """

    def __init__(self) -> None:
        self.opened = self.closed = self.written = 0
        self.typed = bytearray()
        self.sizes: list[tuple[int, int]] = []
        self.refusal: FarhandError | None = None
        self.is_restarted = False
        self.say: Callable[[str], None] = print
        self.connections: list[asyncssh.SSHClientConnection] = []

    async def shell(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Echo lines; `flood` writes without end, `exit` ends with 3."""
        self.sizes.append(process.term_size[:2])
        try:
            while True:
                try:
                    line = await process.stdin.readline()
                except asyncssh.TerminalSizeChanged as changed:
                    self.sizes.append((changed.width, changed.height))
                    continue
                self.typed += line
                if line == b"exit\n":
                    process.exit(3)
                    return
                if line == b"flood\n":
                    while self.written < FLOOD_BYTES:
                        process.stdout.write(b"y" * 32768)
                        await process.stdout.drain()
                        self.written += 32768
                process.stdout.write(b"heard " + line)
        except (asyncssh.Error, OSError):
            return  # the console has gone


@asynccontextmanager
async def device(monkeypatch: pytest.MonkeyPatch, root: Path) -> AsyncIterator[Device]:
    """Run one, and let every session of the backend end at it; its files are those of `root`."""
    one = Device()
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=_Open,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        process_factory=one.shell,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
        encoding=None,
        line_editor=False,
    )

    @asynccontextmanager
    async def connect(*_: Any, notice: Callable[[str], None], **__: Any) -> AsyncIterator[Any]:
        if one.refusal is not None:
            raise one.refusal
        one.opened += 1
        one.say = notice
        port = listener.get_port()
        async with asyncssh.connect(
            "127.0.0.1", port, known_hosts=None, username="x", config=None, agent_path=None
        ) as connection:
            one.connections.append(connection)
            try:
                yield connection
            except FarhandError as error:
                if one.is_restarted:
                    raise SessionRestarted from error
                raise
            finally:
                one.closed += 1

    record = SessionRecord(
        session=SESSION,
        device="d-x",
        device_name="reception",
        device_key=b"",
        guest=False,
        url="",
        ticket="FH-1",
        operator="tess",
        organisation="Acme",
        scopes=["view"],
        granted_at="",
        expires="",
        words=[],
        grant=b"",
    )
    monkeypatch.setattr(session_lines, "connect_ssh", connect)
    monkeypatch.setattr(session_lines, "load", lambda home, session: record)
    relay = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(session_lines, "connect_signed_in", lambda home: (None, relay))
    try:
        yield one
    finally:
        for connection in one.connections:
            connection.close()
            await connection.wait_closed()
        listener.close()
        await listener.wait_closed()
        # What served the connections ends in its own time, which is now.
        await asyncio.sleep(0)
