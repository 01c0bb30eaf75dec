"""Everything that SSH can ask for and a session does not give is refused, noted, and survived."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_OPEN
from asyncssh.packet import Boolean, String, UInt32

from farhand_agent.session.connection import MAX_CHANNELS, MAX_KEY_TRIES
from farhand_agent.session.host import host_key
from tests.agent.session.ssh_pair import SESSION, Pair, make_terms, open_client, ssh_pair
from tests.support.listeners import listener

Ask = Callable[[Pair], Awaitable[object]]


async def _channel_request(pair: Pair, name: bytes, *args: bytes) -> object:
    """Send any channel request; returns the server's answer."""
    channel, _ = await pair.ssh.create_session(asyncssh.SSHClientSession, "sleep 1", encoding=None)
    try:
        made = await channel._make_request(name, *args)
    finally:
        channel.abort()
    if not made:
        raise asyncssh.ChannelOpenError(0, "refused")
    return made


async def _global_request(pair: Pair, name: bytes, *args: bytes) -> object:
    kind, _ = await pair.ssh._make_global_request(name, *args)
    if kind != 81:  # SSH_MSG_REQUEST_SUCCESS
        raise asyncssh.ChannelOpenError(0, "refused")
    return kind


async def _tunnel(pair: Pair) -> object:
    return await pair.ssh.create_tun(asyncssh.SSHTunTapSession, 0)


async def _unknown_channel(pair: Pair) -> object:
    class Channel(asyncssh.SSHClientChannel[bytes]):
        async def ask(self) -> None:
            await self._open(b"made-up@example.com")

    channel = Channel(pair.ssh, asyncio.get_running_loop(), "strict", None, "strict", 1024, 1024)
    await channel.ask()
    return channel


# what is asked, with which scopes, what the receipt must say (None: asyncssh refuses it unasked)
DENIALS: list[tuple[str, Ask, tuple[str, ...], str | None]] = [
    ("exec", lambda p: p.ssh.run("id"), ("view",), "exec id"),
    ("shell", lambda p: p.ssh.create_process(), ("view", "files"), "shell"),
    ("pty", lambda p: p.ssh.create_process("id", term_type="xterm"), ("view",), "pty"),
    ("sftp", lambda p: p.ssh.start_sftp_client(), ("terminal",), "subsystem sftp"),
    (
        "view",
        lambda p: p.ssh.create_process(subsystem="farhand-view"),
        ("terminal",),
        "subsystem farhand-view",
    ),
    (
        "unknown-subsystem",
        lambda p: p.ssh.create_process(subsystem="netconf"),
        ("terminal", "files", "view"),
        "subsystem netconf",
    ),
    (
        "screen-subsystem",
        lambda p: p.ssh.create_process(subsystem="farhand-control"),
        ("terminal", "files", "view"),
        "subsystem farhand-control",
    ),
    (
        "forward-without-scope",
        lambda p: p.ssh.open_connection("127.0.0.1", 22),
        ("terminal",),
        "forward to 127.0.0.1:22",
    ),
    (
        "forward-elsewhere",
        lambda p: p.ssh.open_connection("localhost", 22),
        ("forward",),
        "forward to localhost:22",
    ),
    (
        "direct-streamlocal",
        lambda p: p.ssh.open_unix_connection("/run/docker.sock"),
        ("terminal", "forward"),
        "connect to socket /run/docker.sock",
    ),
    (
        "tcpip-forward",
        lambda p: p.ssh.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 9),
        ("terminal", "forward"),
        "listen on 127.0.0.1:0",
    ),
    (
        "streamlocal-forward",
        lambda p: p.ssh.forward_remote_path("/tmp/x", "/tmp/y"),
        ("terminal", "forward"),
        "listen on socket /tmp/x",
    ),
    ("tun", _tunnel, ("terminal", "forward"), "network tunnel"),
    (
        "x11",
        lambda p: _channel_request(
            p, b"x11-req", Boolean(False), String(b"MIT"), String(b"00"), UInt32(0)
        ),
        ("terminal",),
        "request x11-req",
    ),
    (
        "agent-forwarding",
        lambda p: _channel_request(p, b"auth-agent-req@openssh.com"),
        ("terminal",),
        "request auth-agent-req@openssh.com",
    ),
    (
        "unknown-channel-request",
        lambda p: _channel_request(p, b"made-up@example.com", String(b"x" * 2000)),
        ("terminal",),
        "request made-up@example.com",
    ),
    (
        "env-of-the-loader",
        lambda p: _channel_request(p, b"env", String(b"LD_PRELOAD"), String(b"/tmp/x.so")),
        ("terminal",),
        "env LD_PRELOAD",
    ),
    (
        "env-with-a-trick",
        lambda p: _channel_request(p, b"env", String(b"LC_A=B\nC"), String(b"x")),
        ("terminal",),
        "env LC_A=B\nC",
    ),
    (
        "unknown-global-request",
        lambda p: _global_request(p, b"made-up@example.com", String(b"x")),
        ("terminal",),
        None,
    ),
    (
        "hostkeys-prove",
        lambda p: _global_request(p, b"hostkeys-prove-00@openssh.com", String(b"x")),
        ("terminal",),
        None,
    ),
    ("unknown-channel", _unknown_channel, ("terminal",), None),
]


@pytest.mark.parametrize(
    ("ask", "scopes", "noted"),
    [pytest.param(*row[1:], id=row[0]) for row in DENIALS],
)
async def test_it_is_refused_noted_and_the_connection_lives(
    tmp_path: Path, ask: Ask, scopes: tuple[str, ...], noted: str | None
) -> None:
    terms = make_terms(tmp_path, scopes, forward_to=["127.0.0.1:9"])
    async with ssh_pair(terms) as pair:
        refused: Any
        try:
            refused = await asyncio.wait_for(ask(pair), 20)
        except (asyncssh.Error, asyncssh.ChannelListenError):
            refused = None
        assert refused is None
        if noted is not None:
            assert noted in pair.actions("denied")
        if "terminal" in scopes:
            assert (await pair.ssh.run("echo alive")).stdout == "alive\n"
        else:
            assert not pair.ssh.is_closed()


async def test_scp_server_mode_is_only_a_command(tmp_path: Path) -> None:
    """`scp -t` is not answered by asyncssh's own scp server: it is the shell's business."""
    async with ssh_pair(make_terms(tmp_path, ("files",))) as pair:
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.run("scp -t /tmp")
        assert "exec scp -t /tmp" in pair.actions("denied")


async def test_a_key_that_is_not_the_grants_opens_nothing(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path), connect=False) as pair:
        with pytest.raises(asyncssh.PermissionDenied):
            await open_client(pair.wire, client_keys=[host_key(bytes(32))])


async def test_another_user_name_opens_nothing(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path), connect=False) as pair:
        with pytest.raises(asyncssh.PermissionDenied):
            await open_client(pair.wire, username="root")


async def test_a_password_is_not_even_offered(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path), connect=False) as pair:
        with pytest.raises(asyncssh.PermissionDenied):
            await open_client(
                pair.wire, client_keys=None, password="x", preferred_auth=["password"]
            )


async def test_trying_many_keys_ends_the_connection(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path), connect=False) as pair:
        keys = [host_key(bytes([number]) * 32) for number in range(MAX_KEY_TRIES + 3)]
        with pytest.raises(asyncssh.DisconnectError):
            await open_client(pair.wire, client_keys=[*keys, host_key(bytes(range(32, 64)))])
        assert pair.host.connections == 0


async def test_the_host_key_is_the_device_key(tmp_path: Path) -> None:
    other = host_key(bytes(32)).convert_to_public()
    async with ssh_pair(make_terms(tmp_path), connect=False) as pair:
        with pytest.raises(asyncssh.HostKeyNotVerifiable):
            await open_client(pair.wire, known_hosts=([other], [], []))


async def test_channels_are_counted_and_given_back(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        running = [await pair.ssh.create_process("cat") for _ in range(MAX_CHANNELS)]
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.create_process("cat")
        running[0].stdin.write_eof()
        await running[0].wait()
        assert (await pair.ssh.run("echo again")).stdout == "again\n"


async def test_forward_reaches_what_was_granted_and_ends_when_withdrawn(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        await writer.drain()
        await reader.read()

    async with listener(serve) as port:
        terms = make_terms(tmp_path, ("forward",), forward_to=[f"127.0.0.1:{port}"])
        async with ssh_pair(terms) as pair:
            reader, writer = await pair.ssh.open_connection("127.0.0.1", port)
            writer.write(b"you\n")
            assert await reader.readline() == b"hello you\n"
            assert pair.actions("forward") == [f"127.0.0.1:{port}"]
            pair.scopes.withdraw("forward")
            assert await asyncio.wait_for(reader.read(), 20) == b""
            with pytest.raises(asyncssh.ChannelOpenError):
                await pair.ssh.open_connection("127.0.0.1", port)


async def test_forward_to_a_closed_port_fails_alone(tmp_path: Path) -> None:
    probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    terms = make_terms(tmp_path, ("forward", "terminal"), forward_to=[f"127.0.0.1:{port}"])
    async with ssh_pair(terms) as pair:
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.open_connection("127.0.0.1", port)
        assert (await pair.ssh.run("echo ok")).stdout == "ok\n"


async def test_a_raw_channel_before_sign_in_opens_nothing(tmp_path: Path) -> None:
    """A channel opened before authentication must not be answered (cf. CVE-2023-46446)."""

    class Eager(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            self.conn = conn

        def begin_auth(self, *_: object) -> None:
            return None

        def public_key_auth_requested(self) -> None:
            self.conn.send_packet(
                MSG_CHANNEL_OPEN, String(b"session"), UInt32(0), UInt32(1 << 20), UInt32(32768)
            )
            return

    async with ssh_pair(make_terms(tmp_path), connect=False) as pair:
        with pytest.raises((asyncssh.Error, OSError)):
            await open_client(pair.wire, client_keys=None, client_factory=Eager, username=SESSION)
        assert pair.host.connections == 0
        assert pair.host.terms.actions.actions == []
