"""Forwarding: only what the list names, never home by a name, not before the cool-down; counted."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from farhand_agent.session import forwarding
from farhand_agent.session.scopes import LiveScopes
from farhand_console.session.proxy import listen_forward
from tests.agent.session.ssh_pair import make_terms, ssh_pair
from tests.support.listeners import hang_up, listener


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that answers each line; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"echo " + line)
            await writer.drain()
            if line == b"bye\n":
                break

    async with listener(serve) as port:
        yield port


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names that are looked up, and what they lead to."""
    table: dict[str, list[str]] = {}

    async def look_up(host: str, _port: int) -> list[str]:
        if host in table:
            return table[host]
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        except OSError:
            raise OSError("no such name") from None
        return [host]

    monkeypatch.setattr(forwarding, "_look_up", look_up)
    own = {ipaddress.ip_address(one) for one in ("192.0.2.2", "fe80::2")}
    monkeypatch.setattr(forwarding, "_interface_addresses", lambda: own)
    return table


@pytest.mark.parametrize(
    ("listed", "asked", "leads_to", "opens"),
    [
        ("127.0.0.1:{port}", "127.0.0.1", None, True),
        ("LocalHost:{port}", "localhost", ["127.0.0.1"], True),
        ("printer:{port}", "printer", ["127.0.0.1"], False),
        ("printer:{port}", "printer", ["::1", "127.0.0.1"], False),
        ("printer:{port}", "printer", ["0.0.0.0"], False),
        ("printer:{port}", "printer", ["::ffff:127.0.0.1"], False),
        ("printer:{port}", "printer", ["::"], False),
        ("printer:{port}", "printer", ["192.0.2.2"], False),
        ("printer:{port}", "printer", ["192.0.2.2", "fe80::2%eth0"], False),
        ("127.0.0.1:{port}", "localhost", ["127.0.0.1"], False),
        ("127.0.0.1:{port}", "127.0.0.2", None, False),
        ("127.0.0.1:1{port}", "127.0.0.1", None, False),
        ("*:{port}", "127.0.0.1", None, False),
        ("127.0.0.1:*", "127.0.0.1", None, False),
    ],
)
async def test_only_what_the_list_names(
    tmp_path: Path,
    names: dict[str, list[str]],
    listed: str,
    asked: str,
    leads_to: list[str] | None,
    opens: bool,
) -> None:
    if leads_to is not None:
        names[asked] = leads_to
    async with echo() as port:
        allowed = [listed.format(port=port).lower()]
        async with ssh_pair(make_terms(tmp_path, ("forward",), forward_to=allowed)) as pair:
            if opens:
                reader, writer = await pair.ssh.open_connection(asked, port)
                writer.write(b"hi\n")
                assert await reader.readline() == b"echo hi\n"
            else:
                with pytest.raises(asyncssh.ChannelOpenError):
                    await pair.ssh.open_connection(asked, port)
                assert any(one.startswith("forward to ") for one in pair.actions("denied"))


async def test_a_name_that_leads_to_the_relay_is_refused(
    tmp_path: Path, names: dict[str, list[str]]
) -> None:
    names |= {"relay.example": ["192.0.2.7"], "printer": ["192.0.2.7"]}
    terms = make_terms(tmp_path, ("forward",), forward_to=["printer:8443"])
    terms.relay = ("relay.example", 8443)
    async with ssh_pair(terms) as pair:
        with pytest.raises(asyncssh.ChannelOpenError, match="relay"):
            await pair.ssh.open_connection("printer", 8443)
        assert "this computer itself or to the relay" in pair.actions("denied")[0]


@pytest.mark.parametrize("first", ["console", "destination"])
async def test_what_passed_is_counted_whoever_ends_it(tmp_path: Path, first: str) -> None:
    async with echo() as port:
        to = f"127.0.0.1:{port}"
        async with ssh_pair(make_terms(tmp_path, ("forward",), forward_to=[to])) as pair:
            reader, writer = await pair.ssh.open_connection("127.0.0.1", port)
            writer.write(b"hello\n")
            assert await reader.readline() == b"echo hello\n"
            if first == "console":
                writer.write_eof()
                assert await reader.read() == b""
                sent = "6 bytes there, 11 bytes back"
            else:
                writer.write(b"bye\n")
                assert await reader.read() == b"echo bye\n"
                writer.write_eof()
                sent = "10 bytes there, 20 bytes back"
            async with asyncio.timeout(20):
                await writer.wait_closed()
                while len(pair.actions("forward")) < 2:
                    await asyncio.sleep(0)
            assert pair.actions("forward") == [to, f"{to} closed: {sent}"]
            sizes = [a.size_bytes for a in pair.host.terms.actions.actions if a.kind == "forward"]
            assert sizes == [None, 17 if first == "console" else 30]


def cooling(root: Path, seconds: float, port: int) -> tuple[Any, list[tuple[str, str, float]]]:
    terms = make_terms(root, ("forward",), forward_to=[f"127.0.0.1:{port}"])
    terms.scopes = LiveScopes(["forward"], cool_down_s={"forward": seconds})
    waits: list[tuple[str, str, float]] = []
    terms.on_wait = lambda *what: waits.append(what)
    return terms, waits


async def test_a_request_waits_for_the_cool_down_and_then_opens(tmp_path: Path) -> None:
    async with echo() as port:
        terms, waits = cooling(tmp_path, 0.4, port)
        async with ssh_pair(terms) as pair:
            assert pair.scopes.cooling_s("forward") > 0
            reader, writer = await pair.ssh.open_connection("127.0.0.1", port)
            assert pair.scopes.cooling_s("forward") == 0
            writer.write(b"hi\n")
            assert await reader.readline() == b"echo hi\n"
            assert [(scope, what) for scope, what, _ in waits] == [("forward", f"127.0.0.1:{port}")]


async def test_taking_back_during_the_cool_down_refuses_what_waits(tmp_path: Path) -> None:
    async with echo() as port:
        terms, waits = cooling(tmp_path, 3600, port)
        async with ssh_pair(terms) as pair, asyncio.TaskGroup() as group:

            async def ask() -> None:
                with pytest.raises(asyncssh.ChannelOpenError):
                    await pair.ssh.open_connection("127.0.0.1", port)

            asking = group.create_task(ask())
            while not waits:
                await asyncio.sleep(0)
            pair.scopes.withdraw("forward")
            async with asyncio.timeout(20):
                await asking
            assert pair.actions("forward") == []


async def test_a_scope_comes_back_only_by_widening() -> None:
    scopes = LiveScopes(["view"])
    ended: list[str] = []
    scopes.hold("view", lambda: ended.append("first"))
    scopes.withdraw("view", "because")
    assert (ended, scopes.allows("view"), scopes.why_closed("view")) == (
        ["first"],
        False,
        "because",
    )
    scopes.hold("view", lambda: ended.append("at once"))
    assert ended == ["first", "at once"]
    scopes.widen("view")
    assert scopes.allows("view")
    assert await scopes.ready("view")
    assert not await scopes.ready("terminal")


def test_this_computers_addresses_are_known() -> None:
    assert ipaddress.ip_address("127.0.0.1") in forwarding._interface_addresses()


async def test_the_console_says_which_connection_was_refused(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path, ("forward",), forward_to=["printer:631"])) as pair:
        said: asyncio.Queue[str] = asyncio.Queue()
        listening = asyncio.ensure_future(
            listen_forward(pair.ssh, "0:127.0.0.1:9", say=said.put_nowait)
        )
        try:
            async with asyncio.timeout(60):
                port = int((await said.get()).rpartition(":")[2])
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    assert await reader.read() == b""
                    said_then = await said.get()
                    assert said_then.startswith("a connection to 127.0.0.1:9 was refused: ")
                finally:
                    await hang_up(writer)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
