"""The relay looks at agentless devices: what an admin registered, and nothing near the relay."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import RowMapping

from farhand_server.probes import registry
from farhand_server.probes.looking import Seen, is_reachable, look
from farhand_server.probes.poller import poll
from farhand_server.relay import Relay
from tests.server.fleet.conftest import MakeDevice
from tests.server.relays import ManualClock, SignIn
from tests.support.certificates import self_signed
from tests.support.listeners import listener

NOW = datetime.now(UTC)


class Admin:
    """An admin at the API."""

    def __init__(self, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.web = web
        self.headers = headers

    async def get(self, path: str) -> Any:
        answer = await self.web.get(f"/api/v1{path}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.web.post(f"/api/v1{path}", headers=self.headers, json=body or {})


@pytest.fixture
async def admin(web: httpx.AsyncClient, sign_in: SignIn) -> Admin:
    made = Admin(web, await sign_in("admin"))
    for name, address in (("printer", "192.0.2.9"), ("shop", "www.example.com")):
        body = {"name": name, "kind": "other", "address": address}
        assert (await made.post("/devices", body)).status_code == 201
    return made


class Network:
    """What the relay sees of the world; a state that is not laid out is ok."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.asked: list[str] = []

    async def __call__(self, row: RowMapping) -> Seen:
        self.asked.append(f"{row['kind']} {row['address']}")
        state = self.states.get(row["kind"], "ok")
        return Seen(state, f"{row['address']} is {state}", 1.0, "milliseconds")


async def test_a_state_is_believed_the_second_time_and_raises_an_alert(
    admin: Admin, relay: Relay, clock: ManualClock
) -> None:
    network = Network()
    added = await admin.post("/devices/printer/probes", {"kind": "ping", "every_s": 60})
    assert added.status_code == 201, added.text
    assert await poll(relay, network) == 1
    assert await poll(relay, network) == 0
    (shown,) = await admin.get("/devices/printer/checks")
    assert (shown["id"], shown["subject"], shown["state"]) == ("probe.ping", "relay", "ok")
    network.states["ping"] = "critical"
    for turn in range(2):
        assert await admin.get("/alerts") == [], turn
        clock.advance(61)
        await poll(relay, network)
    (alert,) = await admin.get("/alerts")
    assert (alert["device_name"], alert["check"], alert["ticket"]) == (
        "printer",
        "probe.ping",
        "FH-1",
    )
    network.states["ping"] = "ok"
    clock.advance(61)
    await poll(relay, network)
    network.states["ping"] = "critical"
    clock.advance(61)
    await poll(relay, network)
    assert len(await admin.get("/alerts")) == 1
    network.states["ping"] = "ok"
    for _ in range(2):
        clock.advance(61)
        await poll(relay, network)
    assert await admin.get("/alerts") == []
    (shown,) = await admin.get("/devices/printer/checks")
    assert shown["state"] == "ok"
    assert set(network.asked) == {"ping 192.0.2.9"}


async def test_what_is_removed_is_neither_looked_at_nor_shown(
    admin: Admin, relay: Relay, clock: ManualClock
) -> None:
    network = Network()
    network.states["tls"] = "critical"
    made = await admin.post("/devices/shop/probes", {"kind": "tls"})
    probe = made.json()["items"][0]["id"]
    await poll(relay, network)
    assert len(await admin.get("/alerts")) == 1
    other = await admin.post(f"/devices/printer/probes/{probe}/remove")
    assert other.status_code == 404
    assert (await admin.post(f"/devices/shop/probes/{probe}/remove")).json()["items"] == []
    assert await admin.get("/alerts") == []
    assert await admin.get("/devices/shop/checks") == []
    clock.advance(3600)
    assert await poll(relay, network) == 0


async def test_only_an_admin_registers_and_only_agentless_devices(
    admin: Admin, make_device: MakeDevice, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_device("reception")
    for path, body, status in (
        ("/devices/reception/probes", {"kind": "ping"}, 400),
        ("/devices/printer/probes", {"kind": "shell"}, 400),
        ("/devices/printer/probes", {"kind": "ping", "every_s": 5}, 400),
        ("/devices/printer/probes", {"kind": "ping", "port": 0}, 400),
        ("/devices/printer/probes", {"kind": "ping", "address": "127.0.0.1"}, 400),
        ("/devices/printer/probes", {"kind": "dns"}, 400),
        ("/devices/shop/probes", {"kind": "dns"}, 201),
        ("/devices/shop/probes", {"kind": "dns"}, 409),
        ("/devices/shop/probes", {"kind": "http", "port": 8443}, 201),
    ):
        answer = await admin.post(path, body)
        assert answer.status_code == status or (status == 400 and answer.status_code == 422), (
            path, body, answer.text,
        )  # fmt: skip
    monkeypatch.setattr(registry, "MAX_PROBES", 2)
    assert (await admin.post("/devices/shop/probes", {"kind": "ping"})).json()[
        "code"
    ] == "probes-full"
    technician = Admin(admin.web, await sign_in("technician"))
    assert (await technician.post("/devices/shop/probes", {"kind": "ping"})).status_code == 403


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("192.0.2.9", True),
        ("10.0.0.9", True),
        ("2001:db8::9", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
    ],
)
def test_the_relay_never_looks_at_itself_or_its_link(address: str, is_allowed: bool) -> None:
    assert is_reachable(ip_address(address)) == is_allowed


@asynccontextmanager
async def listening(
    answer: bytes, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer each connection with these bytes; yields the port and what was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))
        writer.write(answer)

    async with listener(serve, tls=tls) as port:
        yield port, asked


def anywhere(address: object) -> bool:
    return True


async def test_a_name_that_leads_home_is_not_connected_to() -> None:
    async with listening(b"HTTP/1.1 200 OK\r\n\r\n") as (port, asked):
        for kind in ("ping", "tls", "http"):
            seen = await look(kind, "localhost", port=port, now=NOW)
            assert (seen.state, "is not looked at" in seen.summary) == ("critical", True)
        assert asked == []
        pinged = await look("ping", "localhost", port=port, now=NOW, may_connect=anywhere)
        assert pinged.state == "ok"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "ok"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n", "ok"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "warning"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "critical"),
        (b"SSH-2.0-x\r\n", "critical"),
        (b"HTTP/1.1 999 x\r\n", "critical"),
        (b"x" * 100_000, "critical"),
        (b"", "critical"),
    ],
    ids=["fine", "moved", "missing", "busy", "ssh", "status", "endless", "silent"],
)
async def test_a_page_is_judged_by_its_first_line(
    answer: bytes, state: str, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path, days=90)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate))
    async with listening(answer, tls=server) as (port, asked):
        seen = await look(
            "http", "localhost", port=port, now=NOW, may_connect=anywhere, trusted=trusted
        )
    assert seen.state == state, seen
    assert len(asked) == 1
    assert asked[0].startswith(b"GET / HTTP/1.1\r\nHost: localhost\r\n")


@pytest.mark.parametrize(
    ("days", "is_trusted", "state"),
    [(90, True, "ok"), (20, True, "warning"), (3, True, "critical"), (90, False, "critical"),
     (-1, True, "critical")],
)  # fmt: skip
async def test_a_certificate_is_judged(
    days: float, is_trusted: bool, state: str, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path, days=days)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate) if is_trusted else None)
    async with listening(b"", tls=server) as (port, _):
        seen = await look(
            "tls", "localhost", port=port, now=NOW, may_connect=anywhere, trusted=trusted
        )
    assert seen.state == state, seen
    assert seen.value == pytest.approx(days, abs=0.2)


async def test_what_does_not_answer_is_critical(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("ping", "dns", "tls", "http"):
        seen = await look(kind, "no-such-name.invalid", port=None, now=NOW)
        assert (seen.state, "no such name" in seen.summary) == ("critical", True)
    assert (await look("dns", "localhost", port=None, now=NOW)).state == "ok"
    monkeypatch.setattr("farhand_server.probes.looking.LOOK_S", 0.05)

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listener(silent) as port:
        seen = await look("http", "localhost", port=port, now=NOW, may_connect=anywhere)
    assert (seen.state, seen.summary) == ("critical", "localhost: no answer in 0.05 s")
