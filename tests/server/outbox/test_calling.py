"""Calls to somebody else's server: where they may go, and how little is believed of the answer."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.outbox.calling import call, check_address, judge
from tests.server.outbox.listening import Told, listening


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "http://192.0.2.1/",
        "http://localhost.example.org/",
        "http://2130706433/",
    ],
)
def test_another_machine_is_called_with_tls_only(url: str) -> None:
    with pytest.raises(FarhandError, match="url-insecure"):
        check_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https://ada:secret@example.org/",
        "https://example.org/#part",
        "https://example.org/\r\nX: y",
        "https://example.org/" + "x" * 1000,
        "nothing",
        "https://[::1",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(FarhandError, match="url-malformed"):
        check_address(url)


@pytest.mark.parametrize(
    ("address", "plain", "private"),
    [
        ("8.8.8.8", True, True),
        ("2606:4700::1111", True, True),
        ("10.1.2.3", False, True),
        ("192.168.1.1", False, True),
        ("172.16.0.1", False, True),
        ("fd00::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("127.0.0.1", False, False),
        ("127.8.8.8", False, False),
        ("::1", False, False),
        ("::ffff:127.0.0.1", False, False),
        # What stands behind an address that is translated: NAT64, 6to4, the oldest way.
        ("64:ff9b::8.8.8.8", True, True),
        ("64:ff9b::10.1.2.3", False, True),
        ("64:ff9b::127.0.0.1", False, False),
        ("64:ff9b::169.254.169.254", False, False),
        ("2002:7f00:1::", False, False),
        ("2002:a9fe:a9fe::", False, False),
        ("::127.0.0.1", False, False),
        ("fec0::1", False, True),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
    ],
)
def test_where_a_name_may_lead(address: str, plain: bool, private: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert judge(parsed, host="hooks.example.org", allow_private=False) == plain
    assert judge(parsed, host="hooks.example.org", allow_private=True) == private


async def test_a_name_that_leads_inside_is_refused_and_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def look_up(host: str, port: int, *rest: Any, **options: Any) -> list[Any]:
        asked.append(host)
        # A name that says something else the second time would get past a check that asks twice.
        address = "169.254.169.254" if len(asked) == 1 else "8.8.8.8"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(FarhandError, match="address-refused"):
        await call("POST", "https://metadata.example.org/")
    assert asked == ["metadata.example.org"]


async def test_what_was_judged_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as listener:
        real = socket.getaddrinfo
        names: list[str] = []

        def look_up(host: str, port: int, *rest: Any, **options: Any) -> Any:
            names.append(host)
            return real(host, port, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        answer = await call("POST", f"http://localhost:{listener.port}/a?b=c", content=b"{}")
        assert answer.status == 200
        assert listener.asked[0].headers["host"] == f"localhost:{listener.port}"
        assert listener.asked[0].path == "/a?b=c"
        assert set(names[1:]) <= {"127.0.0.1", b"127.0.0.1"}, "the address, not the name again"


async def test_redirects_are_answers_and_answers_are_small() -> None:
    async with listening() as listener:
        listener.answer = lambda asked: Told(302, b"", {"Location": listener.url + "/inside"})
        assert (await call("GET", listener.url + "/")).status == 302
        assert [one.path for one in listener.asked] == ["/"]
        listener.answer = lambda asked: Told(200, b"x" * 2000)
        with pytest.raises(FarhandError, match="call-failed"):
            await call("GET", listener.url + "/", max_bytes=1000)
        listener.answer = lambda asked: Told(429, b"", {"Retry-After": "90"})
        assert (await call("GET", listener.url + "/")).retry_after_s == 90
        listener.answer = lambda asked: Told(429, b"", {"Retry-After": "soon"})
        assert (await call("GET", listener.url + "/")).retry_after_s is None
    with pytest.raises(FarhandError, match="call-failed"):
        await call("GET", listener.url + "/")
