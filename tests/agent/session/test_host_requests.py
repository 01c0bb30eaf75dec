"""Every SSH request there is, under every scope: answered as the table says, and nothing else.

The names are those of RFC 4254 (sections 4 to 7), of OpenSSH's PROTOCOL file, and made-up ones;
each is sent as it should be, with nothing behind its name, and with too much.  After each the
connection must still answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh
import pytest
from asyncssh.packet import Boolean, Byte, String, UInt32

from farhand_agent.session.subsystems import Lines, Subsystem
from farhand_protocol.trust import SCOPES
from tests.agent.session.ssh_pair import Pair, make_terms, ssh_pair
from tests.support.listeners import listener

SUCCESS = 81  # SSH_MSG_REQUEST_SUCCESS
ANY = frozenset({*SCOPES, "nothing"})
NEVER: frozenset[str] = frozenset()
JUNK = b"\xff\xfe" * 40


class Row(NamedTuple):
    """A request, its payload, and under which of the scopes it is answered with yes."""

    name: str
    payload: bytes
    opens: frozenset[str]

    def __str__(self) -> str:
        return self.name


def row(name: str, *payload: bytes, opens: Iterable[str] = NEVER) -> Row:
    return Row(name, b"".join(payload), frozenset(opens))


PTY = (String(b"xterm"), UInt32(80), UInt32(24), UInt32(0), UInt32(0), String(b"\0"))
SIZE = (UInt32(100), UInt32(40), UInt32(0), UInt32(0))
X11 = (Boolean(False), String(b"MIT-MAGIC-COOKIE-1"), String(b"00"), UInt32(0))
ORIGIN = (String(b"127.0.0.1"), UInt32(40000))

CHANNEL_REQUESTS = [
    row("pty-req", *PTY, opens={"terminal"}),
    row("x11-req", *X11),
    row("env", String(b"LANG"), String(b"C.UTF-8"), opens=ANY),
    row("env ", String(b"LANG"), String(b"C.UTF-8")),
    row("shell", opens={"terminal"}),
    row("exec", String(b"true"), opens={"terminal"}),
    row("subsystem", String(b"sftp"), opens={"files"}),
    row("subsystem", String(b"farhand-view"), opens={"view"}),
    row("subsystem", String(b"farhand-any"), opens=ANY),
    row("subsystem", String(b"farhand-screen"), opens={"screen"}),
    row("subsystem", String(b"farhand-control"), opens={"control"}),
    row("subsystem", String(b"netconf")),
    row("subsystem", String(b"")),
    row("window-change", *SIZE, opens=ANY),
    row("signal", String(b"INT"), opens=ANY),
    row("xon-xoff", Boolean(True)),
    row("exit-status", UInt32(0)),
    row("exit-signal", String(b"KILL"), Boolean(False), String(b""), String(b"")),
    row("break", UInt32(500)),
    row("auth-agent-req"),
    row("auth-agent-req@openssh.com"),
    row("eow@openssh.com"),
    row("keepalive@openssh.com"),
    row("hostkeys-00@openssh.com", String(b"x")),
    row("session_requested"),
    row("made-up@example.com", String(b"x")),
    row(""),
    row("x" * 4000),
]
HAVE_PAYLOAD = [one for one in CHANNEL_REQUESTS if one.payload and one.opens]

GLOBAL_REQUESTS = [
    row("tcpip-forward", String(b"127.0.0.1"), UInt32(0)),
    row("cancel-tcpip-forward", String(b"127.0.0.1"), UInt32(9)),
    row("streamlocal-forward@openssh.com", String(b"/tmp/farhand-test-socket")),
    row("cancel-streamlocal-forward@openssh.com", String(b"/tmp/farhand-test-socket")),
    row("no-more-sessions@openssh.com"),
    row("hostkeys-prove-00@openssh.com", String(b"x")),
    row("hostkeys-00@openssh.com", String(b"x")),
    row("keepalive@openssh.com"),
    row("elevation", Boolean(True)),
    row("delay-compression"),
    row("made-up@example.com", String(JUNK)),
    row(""),
    row("x" * 4000),
]

CHANNEL_TYPES = [
    row("session", opens=ANY),
    row("x11", *ORIGIN),
    row("auth-agent@openssh.com"),
    row("forwarded-tcpip", String(b"127.0.0.1"), UInt32(22), *ORIGIN),
    row("direct-tcpip", String(b"127.0.0.1"), UInt32(22), *ORIGIN),
    row("direct-tcpip", String(b"localhost"), UInt32(22), *ORIGIN),
    row("direct-tcpip", String(b"::1"), UInt32(22), *ORIGIN),
    row("direct-tcpip", String(b""), UInt32(0), *ORIGIN),
    row("direct-tcpip", String(b"printer.example"), UInt32(70000), *ORIGIN),
    row("forwarded-streamlocal@openssh.com", String(b"/run/x"), String(b"")),
    row("direct-streamlocal@openssh.com", String(b"/run/docker.sock"), String(b""), UInt32(0)),
    row("tun@openssh.com", UInt32(1), UInt32(0)),
    row("tun@openssh.com", UInt32(2), UInt32(0x7FFFFFFF)),
    row("made-up@example.com", Byte(255)),
    row(""),
    row("x" * 4000),
]


class Channel(asyncssh.SSHClientChannel[bytes]):
    """A channel that says only what a test tells it to."""

    def __init__(self, pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(pair.ssh, loop, "strict", None, "strict", 1 << 20, 32768)

    async def begin(self, kind: str = "session", payload: bytes = b"") -> None:
        await self._open(kind.encode(), payload)
        self._session = asyncssh.SSHClientSession()
        self._session.connection_made(self)

    async def ask(self, name: str, payload: bytes = b"") -> bool:
        async with asyncio.timeout(20):
            return bool(await self._make_request(name.encode(), payload))


async def subsystem(lines: Lines) -> None:
    await lines.read_line(100)


def terms(root: Path, scope: str) -> Any:
    scopes = [] if scope == "nothing" else [scope]
    extra = {
        "farhand-any": Subsystem(None, subsystem),
        "farhand-screen": Subsystem("screen", subsystem),
        "farhand-control": Subsystem("control", subsystem),
    }
    return make_terms(root, scopes, forward_to=["printer.example:631"], subsystems=extra)


async def ask_globally(pair: Pair, one: Row) -> bool:
    async with asyncio.timeout(20):
        kind, _ = await pair.ssh._make_global_request(one.name.encode(), one.payload)
    return bool(kind == SUCCESS)


async def alive(pair: Pair) -> bool:
    return not await ask_globally(pair, row("are-you-there@example.com"))


@pytest.mark.parametrize("scope", [*SCOPES, "nothing"])
async def test_channel_requests(tmp_path: Path, scope: str) -> None:
    async with ssh_pair(terms(tmp_path, scope)) as pair:
        for one in CHANNEL_REQUESTS:
            channel = Channel(pair)
            await channel.begin()
            answer = await channel.ask(one.name, one.payload)
            assert answer == (scope in one.opens), f"{one} {one.payload!r} under {scope}"
            channel.abort()
            await channel.wait_closed()
            assert await alive(pair), one
        if scope != "terminal":
            assert not pair.actions("exec")
            assert not pair.actions("shell")
            assert {"exec true", "shell", "pty"} <= set(pair.actions("denied"))
        assert "request x11-req" in pair.actions("denied")


@pytest.mark.parametrize("one", HAVE_PAYLOAD, ids=str)
@pytest.mark.parametrize("malformed", [b"", b"\0\0\0\xff", JUNK], ids=["nothing", "short", "junk"])
async def test_a_malformed_request_is_refused_and_survived(
    tmp_path: Path, one: Row, malformed: bytes
) -> None:
    async with ssh_pair(make_terms(tmp_path, SCOPES)) as pair:
        channel = Channel(pair)
        await channel.begin()
        assert not await channel.ask(one.name, malformed)
        assert not await channel.ask(one.name, one.payload + b"more")
        assert await alive(pair)
        assert not {"exec", "shell", "view", "file-read"} & {
            action.kind for action in pair.host.terms.actions.actions
        }
        channel.abort()


@pytest.mark.parametrize("scope", [*SCOPES, "nothing"])
async def test_global_requests(tmp_path: Path, scope: str) -> None:
    async with ssh_pair(terms(tmp_path, scope)) as pair:
        for one in GLOBAL_REQUESTS:
            assert await ask_globally(pair, one) == (scope in one.opens), one
        assert await alive(pair)


@pytest.mark.parametrize("scope", [*SCOPES, "nothing"])
async def test_channel_types(tmp_path: Path, scope: str) -> None:
    async with ssh_pair(terms(tmp_path, scope)) as pair:
        for one in CHANNEL_TYPES:
            channel = Channel(pair)
            try:
                await channel.begin(one.name, one.payload)
            except asyncssh.ChannelOpenError:
                opened = False
            else:
                opened = True
                channel.abort()
                await channel.wait_closed()
            assert opened == (scope in one.opens), f"{one} {one.payload!r} under {scope}"
            assert await alive(pair), one


async def test_one_channel_runs_one_thing(tmp_path: Path) -> None:
    """RFC 4254 s6.5: only one of shell, exec and subsystem can succeed on a channel."""
    async with ssh_pair(make_terms(tmp_path, SCOPES)) as pair:
        channel = Channel(pair)
        await channel.begin()
        assert await channel.ask("exec", String(b"sleep 300"))
        for one in (row("exec", String(b"id")), row("shell"), row("subsystem", String(b"sftp"))):
            assert not await channel.ask(one.name, one.payload), one
        assert pair.actions("exec") == ["sleep 300"]
        assert await alive(pair)
        channel.abort()


@pytest.mark.parametrize("scope", ["terminal", "files", "view", "forward"])
async def test_withdrawing_closes_what_runs_and_says_why(tmp_path: Path, scope: str) -> None:
    requests = {
        "terminal": row("exec", String(b"sleep 300")),
        "files": row("subsystem", String(b"sftp")),
        "view": row("subsystem", String(b"farhand-view")),
    }

    async def hold(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(listener(hold))
        granted = make_terms(tmp_path, SCOPES, forward_to=[f"127.0.0.1:{port}"])
        pair = await stack.enter_async_context(ssh_pair(granted))
        channel = Channel(pair)
        if scope == "forward":
            payload = (String(b"127.0.0.1"), UInt32(port), *ORIGIN)
            await channel.begin("direct-tcpip", b"".join(payload))
        else:
            await channel.begin()
            assert await channel.ask(requests[scope].name, requests[scope].payload)
        other = Channel(pair)
        await other.begin()
        pair.scopes.withdraw(scope, "scope-withdrawn: the person at the device took it back")
        async with asyncio.timeout(20):
            await channel.wait_closed()
        if scope != "forward":
            signal = channel.get_exit_signal()
            assert signal is not None
            assert "took it back" in signal[2]
            assert not await other.ask(requests[scope].name, requests[scope].payload)
        assert await alive(pair)
        assert not other.is_closing()
        other.abort()
        if scope == "forward":
            closed = pair.actions("forward")[-1]
            assert closed == f"127.0.0.1:{port} closed: 0 bytes there, 0 bytes back"


@pytest.mark.parametrize("one", [one for one in CHANNEL_TYPES if one.payload], ids=str)
async def test_a_channel_cut_short_opens_nothing(tmp_path: Path, one: Row) -> None:
    """Whoever cannot even write a request may lose its connection over it, and gains nothing."""
    granted = make_terms(tmp_path, SCOPES, forward_to=["127.0.0.1:22", "localhost:22"])
    async with ssh_pair(granted) as pair:
        with pytest.raises((asyncssh.Error, OSError)):
            await Channel(pair).begin(one.name, one.payload[:3])
        assert not pair.actions("forward")
