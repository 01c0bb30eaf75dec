"""asyncssh's fillers: none comes from the device, and a program's pipe is widened."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import String

from farhand_agent.session.host import CIPHERS
from farhand_agent.session.shell import PIPE_BYTES, _widen
from tests.agent.session.ssh_pair import make_terms, ssh_pair


async def test_the_device_sends_no_fillers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[bool] = []
    handlers: Any = asyncssh.SSHClientConnection._packet_handlers
    usual = handlers[MSG_IGNORE]

    def count(connection: Any, *packet: Any) -> Any:
        came.append(connection.is_client())
        return usual(connection, *packet)

    monkeypatch.setitem(handlers, MSG_IGNORE, count)
    async with ssh_pair(make_terms(tmp_path)) as pair:
        before = came.count(True)
        done = await pair.ssh.run("head -c 300000 /dev/zero", encoding=None)
        assert len(done.stdout or b"") == 300_000
        assert came.count(True) == before
        # The client of this test is asyncssh as it comes, and its fillers are taken.
        assert came.count(False) > 0
        pair.ssh.send_packet(MSG_IGNORE, String(b"anything"))
        assert (await pair.ssh.run("echo alive")).stdout == "alive\n"


def test_every_cipher_does_without() -> None:
    assert all(name.endswith(("-gcm@openssh.com", "-poly1305@openssh.com")) for name in CIPHERS)


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="this system's pipes have one size")
def test_a_pipe_is_widened_where_the_system_allows_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        _widen(reader)
        most = int(Path("/proc/sys/fs/pipe-max-size").read_text())
        assert fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ) == PIPE_BYTES or most < PIPE_BYTES
    finally:
        os.close(reader)
        os.close(writer)
    file = os.open(tmp_path / "no-pipe", os.O_CREAT | os.O_RDWR)
    try:
        _widen(file)  # a refusal changes nothing
    finally:
        os.close(file)
