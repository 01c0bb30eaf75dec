"""The scope `desktop`: the machine's own VNC or RDP on loopback, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
import pytest

from farhand_agent.session import connection
from farhand_agent.session.forwarding import DESKTOP_TO
from tests.agent.session.ssh_pair import make_terms, ssh_pair
from tests.support.listeners import listener


async def vnc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a server of VNC begins, and wait for the viewer to go."""
    writer.write(b"RFB 003.008\n")
    await writer.drain()
    while await reader.read(100):
        continue


def test_it_leads_to_two_ports_of_this_machine_alone() -> None:
    assert {one.rpartition(":")[2] for one in DESKTOP_TO} == {"5900", "3389"}
    assert {one.rpartition(":")[0] for one in DESKTOP_TO} == {"localhost", "127.0.0.1", "::1"}


@pytest.mark.parametrize("scopes", [(), ("desktop",), ("forward",), ("screen", "control", "view")])
async def test_it_opens_the_remote_desktop_and_only_with_its_scope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scopes: tuple[str, ...]
) -> None:
    async with listener(vnc) as port:
        monkeypatch.setattr(connection, "DESKTOP_TO", frozenset({f"127.0.0.1:{port}"}))
        async with ssh_pair(make_terms(tmp_path, scopes)) as pair:
            if "desktop" not in scopes:
                with pytest.raises(asyncssh.ChannelOpenError):
                    await pair.ssh.open_connection("127.0.0.1", port, encoding=None)
                assert pair.actions("denied") == [f"forward to 127.0.0.1:{port}"]
                return
            reader, writer = await pair.ssh.open_connection("127.0.0.1", port, encoding=None)
            assert await reader.readexactly(12) == b"RFB 003.008\n"
            for other in (("127.0.0.1", port + 1), ("printer", 5900), ("127.0.0.2", port)):
                with pytest.raises(asyncssh.ChannelOpenError):
                    await pair.ssh.open_connection(*other, encoding=None)
            pair.scopes.withdraw("desktop")
            async with asyncio.timeout(30):
                assert await reader.read() == b"", "taken back, it is cut"
                writer.close()
            with pytest.raises(asyncssh.ChannelOpenError):
                await pair.ssh.open_connection("127.0.0.1", port, encoding=None)
            assert pair.actions("forward")[0] == f"127.0.0.1:{port}"


async def test_forward_to_the_same_port_still_needs_its_own_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listener(vnc) as port:
        monkeypatch.setattr(connection, "DESKTOP_TO", frozenset({f"127.0.0.1:{port}"}))
        terms = make_terms(tmp_path, ("forward",), forward_to=[f"127.0.0.1:{port}"])
        async with ssh_pair(terms) as pair:
            reader, writer = await pair.ssh.open_connection("127.0.0.1", port, encoding=None)
            assert await reader.readexactly(12) == b"RFB 003.008\n"
            writer.close()
