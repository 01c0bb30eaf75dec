"""Mail servers that take tokens: had from a provider, renewed, shown to nobody else.

The provider is an HTTP server of this test's, the IMAP server a few lines of the protocol, the SMTP
server aiosmtpd; none of them is the product of anybody.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiosmtpd import smtp as smtpd
from aiosmtpd.smtp import AuthResult

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.app import Relay
from farhand_server.mail.mailboxes import (
    SMTP,
    Server,
    ServerTerms,
    imap_name,
    server_of,
    set_server,
)
from farhand_server.mail.oauth import mail_tokens
from farhand_server.mail.trying import try_servers
from tests.server.mail.desk_mail import open_mailbox
from tests.server.relays import ManualClock

ON_SQLITE = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
CLIENT: dict[str, Any] = {"client_id": "farhand", "client_secret": "s3cret"}


class Provider:
    """Gives tokens `t1`, `t2`, ... and remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.more: dict[str, Any] = {"expires_in": 3600}
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length:")[2].split()[0])
        self.asked.append(dict(parse_qsl((await reader.readexactly(size)).decode())))
        said: dict[str, Any] = {"error": "invalid_grant", "error_description": "no\nmore"}
        if self.status == 200:
            said = {"access_token": f"t{len(self.asked)}", "token_type": "Bearer", **self.more}
        body = json.dumps(said).encode()
        lines = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close"
        writer.write(lines.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


class Imap:
    """Opens an empty folder for whoever shows a token of `takes`."""

    def __init__(self, takes: set[str]) -> None:
        self.takes = takes
        self.shown: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        while line := await reader.readline():
            tag, _, command = line.decode().strip().partition(" ")
            word = command.split()[0].upper()
            if word == "CAPABILITY":
                writer.write(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n")
            elif word == "AUTHENTICATE":
                assert command.split()[1] == "XOAUTH2"
                writer.write(b"+ \r\n")
                shown = base64.b64decode(await reader.readline()).decode()
                self.shown.append(shown)
                if shown not in {f"user=desk\1auth=Bearer {one}\1\1" for one in self.takes}:
                    writer.write(f"{tag} NO not you\r\n".encode())
                    continue
            elif word == "SELECT":
                writer.write(b"* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 1] x\r\n")
            writer.write(f"{tag} OK done\r\n".encode())
            if word == "LOGOUT":
                break
        writer.close()
        await writer.wait_closed()


class Smtp:
    """Lets in whoever shows a token of `takes`."""

    def __init__(self, takes: set[str]) -> None:
        self.takes = takes

    async def auth_XOAUTH2(self, _server: smtpd.SMTP, args: list[str]) -> AuthResult:
        shown = base64.b64decode(args[1]).decode()
        good = shown in {f"user=desk\1auth=Bearer {one}\1\1" for one in self.takes}
        return AuthResult(success=good, handled=False)


@asynccontextmanager
async def listening(serve: Any) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    async with listening(made.serve) as port:
        made.url = f"http://127.0.0.1:{port}/token"
        yield made


def write(relay: Relay, name: str = "oauth.toml", mode: int = 0o600, **values: Any) -> Path:
    path = Path(relay.settings.home) / name
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    path.write_text("\n".join(lines), "utf-8")
    path.chmod(mode)
    return path


def at(host: str = "127.0.0.1", port: int = 993, **more: Any) -> Server:
    return Server(host=host, port=port, security="plain", user="desk", oauth="oauth.toml", **more)


async def shown(relay: Relay, server: Server | None = None) -> str:
    credential = await relay.service(mail_tokens).credential(server or at(), "")
    assert credential.is_token
    assert credential.secret not in repr(credential)
    return credential.secret


@ON_SQLITE
async def test_a_token_is_had_once_and_anew_before_it_ends(
    relay: Relay, provider: Provider, clock: ManualClock
) -> None:
    write(relay, servers=["127.0.0.1"], token_url=provider.url, scope="mail", **CLIENT)
    assert [await shown(relay), await shown(relay)] == ["t1", "t1"]
    assert provider.asked == [{"grant_type": "client_credentials", "scope": "mail", **CLIENT}]
    clock.advance(3600 - 61)
    assert await shown(relay) == "t1"
    clock.advance(2)
    assert await shown(relay) == "t2"
    relay.service(mail_tokens).forget(at())
    assert await shown(relay) == "t3"


@ON_SQLITE
async def test_a_replaced_refresh_token_is_the_next_one(relay: Relay, provider: Provider) -> None:
    write(relay, servers=["127.0.0.1"], token_url=provider.url, client_id="x", refresh_token="r1")
    provider.more = {"refresh_token": "r2"}
    assert await shown(relay) == "t1"
    kept = Path(relay.settings.home) / "oauth.toml.refresh"
    assert (kept.read_text("ascii"), os.stat(kept).st_mode & 0o777) == ("r2\n", 0o600)
    relay.service(mail_tokens).forget(at())
    assert await shown(relay) == "t2"
    assert [one["refresh_token"] for one in provider.asked] == ["r1", "r2"]
    assert "client_secret" not in provider.asked[0]


@ON_SQLITE
async def test_somebody_else_may_put_a_token_there(relay: Relay) -> None:
    write(relay, servers=["127.0.0.1"], token_file="token")
    for token in ("one", "two"):
        path = Path(relay.settings.home) / "token"
        path.write_text(f"{token}\n", "ascii")
        path.chmod(0o600)
        assert await shown(relay) == token


@ON_SQLITE
async def test_a_token_goes_to_no_other_server_and_a_file_is_private(
    relay: Relay, provider: Provider
) -> None:
    async def refused(server: Server | None = None) -> str:
        with pytest.raises(FarhandError) as caught:
            await shown(relay, server)
        assert "s3cret" not in str(caught.value)
        return f"{caught.value.code}: {caught.value.message}"

    assert "cannot be read" in await refused()
    good: dict[str, Any] = {"servers": ["127.0.0.1"], "token_url": provider.url, **CLIENT}
    write(relay, mode=0o640, **good)
    assert "0600" in await refused()
    write(relay, **good)
    assert "does not name imap.thief.example" in await refused(at(host="imap.thief.example"))
    changes: tuple[dict[str, Any], ...] = (
        {"servers": []},
        {"token_url": ""},
        {"token_file": "x"},
        {"client_secret": ""},
        {"unknown": 1},
        {"token_url": "http://provider.example/token"},
    )
    for change in changes:
        write(relay, **{**good, **change})
        assert (await refused()).startswith("mail-oauth: "), change
    write(relay, **good)
    assert not provider.asked
    provider.status = 400
    assert await refused() == (
        "mail-unreachable: no token for the mail server: 400 invalid_grant no more"
    )
    provider.status, provider.more = 200, {"access_token": "a\1b"}
    assert "letters" in await refused()
    async with relay.db.write() as c:
        for wrong in ({"oauth": "../oauth.toml"}, {"user": ""}):
            terms = {"host": "127.0.0.1", "port": 1, "security": "plain", "user": "desk"}
            given: dict[str, Any] = {**terms, "oauth": "oauth.toml", **wrong}
            with pytest.raises(UsageError):
                await set_server(c, relay, name=SMTP, terms=ServerTerms(**given), actor="ada")


@ON_SQLITE
async def test_imap_and_smtp_take_it(relay: Relay, provider: Provider) -> None:
    write(relay, servers=["127.0.0.1"], token_url=provider.url, **CLIENT)
    imap, smtp = Imap({"t1"}), Smtp({"t1"})
    sessions: list[smtpd.SMTP] = []

    def begin() -> smtpd.SMTP:
        made = smtpd.SMTP(smtp, loop=asyncio.get_running_loop(), auth_require_tls=False)
        sessions.append(made)
        return made

    out = await asyncio.get_running_loop().create_server(begin, "127.0.0.1", 0)
    try:
        async with listening(imap.serve) as port:
            given: dict[str, Any] = {
                "host": "127.0.0.1", "security": "plain", "user": "desk", "oauth": "oauth.toml",
            }  # fmt: skip
            await open_mailbox(relay, imap=ServerTerms(port=port, password="old", **given))
            smtp_port = out.sockets[0].getsockname()[1]
            async with relay.db.write() as c:
                terms = ServerTerms(port=smtp_port, **given)
                await set_server(c, relay, name=SMTP, terms=terms, actor="ada")
            async with relay.db.read() as c:
                found = await server_of(c, relay, imap_name("desk"))
            assert found is not None
            assert [(one.ok, one.words) for one in await try_servers(relay)] == [
                (True, "127.0.0.1 opened INBOX"),
                (True, "127.0.0.1 took the sign-in"),
            ]
            # Refused, a token is not shown a second time.
            imap.takes = smtp.takes = {"t9"}
            assert [one.ok for one in await try_servers(relay)] == [False, False]
            imap.takes = smtp.takes = {"t3"}
            assert [one.ok for one in await try_servers(relay)] == [True, True]
            assert len(provider.asked) == 3
    finally:
        out.close()
        for one in sessions:
            if one.transport is not None:
                one.transport.close()
        await out.wait_closed()
        tasks = [one._handler_coroutine for one in sessions if one._handler_coroutine]
        await asyncio.gather(*tasks, return_exceptions=True)
