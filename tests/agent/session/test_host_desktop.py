"""The scope `desktop`: the machine's own VNC or RDP on loopback, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
import pytest

from farhand_agent.config import Home
from farhand_agent.session import connection
from farhand_agent.session.device_prompts import DevicePrompts
from farhand_agent.session.forwarding import DESKTOP_TO
from farhand_agent.session.prompts import PromptGate
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


@pytest.mark.parametrize("scope", ["desktop", "forward"])
async def test_it_stalls_while_the_person_is_asked_here_or_in_another_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    home = Home.at(tmp_path / "home")
    home.make()
    own, other = PromptGate(DevicePrompts(home)), PromptGate(DevicePrompts(home))
    clicks: asyncio.Queue[bytes] = asyncio.Queue()

    async def clicked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            clicks.put_nowait(data)
            writer.write(b"seen " + data)
            await writer.drain()

    async with listener(clicked) as port:
        place = ("127.0.0.1", port)
        monkeypatch.setattr(connection, "DESKTOP_TO", frozenset({f"127.0.0.1:{port}"}))
        terms = make_terms(tmp_path, (scope,), forward_to=[f"127.0.0.1:{port}"])
        terms.prompts = own
        async with asyncio.timeout(30), ssh_pair(terms) as pair:
            reader, writer = await pair.ssh.open_connection(*place, encoding=None)
            writer.write(b"one")
            assert await reader.readexactly(8) == b"seen one"
            for gate, data in ((own, b"two"), (other, b"six")):
                async with gate.standing():
                    writer.write(data)
                    late_reader, late = await pair.ssh.open_connection(*place, encoding=None)
                    late.write(b"late")
                    with pytest.raises(asyncssh.ChannelOpenError):
                        # Answered after all that was sent before it has arrived.
                        await pair.ssh.open_connection("printer", 1, encoding=None)
                    assert clicks.qsize() == 1, "nothing but what came before the question"
                assert await reader.readexactly(8) == b"seen " + data
                assert await late_reader.readexactly(9) == b"seen late"
                late.close()
                await late.wait_closed()
                while clicks.qsize() > 1:
                    clicks.get_nowait()
            writer.close()
            await writer.wait_closed()
