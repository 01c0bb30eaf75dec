"""Who is let in to the local page: tickets, cookie, Host, Origin, user, and the head of answers."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.desktop.exchange import MAX_FIELDS, Request
from farhand_agent.desktop.gate import MAX_WAYS_IN, WAY_IN_S, Gate
from farhand_agent.desktop.peers import NOBODY, peer_user
from farhand_protocol.errors import FarhandError
from tests.agent.desktop.browser import EVIL, ORIGIN, PORT, Browser


async def test_a_way_in_is_good_once_and_for_a_while(tmp_path: Path) -> None:
    now = [0.0]
    gate = Gate(PORT, now=lambda: now[0])
    first, second = gate.way_in(), gate.way_in()
    assert first.startswith(f"{ORIGIN}{gate.base}enter?ticket=")
    assert gate.base not in (Gate(PORT).base, "/")

    def enter(url: str) -> dict[str, str]:
        return dict(gate.enter(Request(method="GET", target=url.removeprefix(ORIGIN))).headers)

    cookie = enter(first)["Set-Cookie"]
    assert cookie.endswith(f"; Path={gate.base}; HttpOnly; SameSite=Strict")
    for again in (first, f"{gate.base}enter", f"{gate.base}enter?ticket="):
        with pytest.raises(FarhandError, match="page-ticket"):
            enter(again)
    now[0] = WAY_IN_S
    with pytest.raises(FarhandError, match="page-ticket"):
        enter(second)
    ways = [gate.way_in() for _ in range(MAX_WAYS_IN + 1)]
    with pytest.raises(FarhandError, match="page-ticket"):
        enter(ways[0])
    assert "Set-Cookie" in enter(ways[-1])


async def test_a_browser_without_the_cookie_sees_nothing(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    for cookie in ("", "farhand_page=", "farhand_page=x", "x=y; farhand_page", EVIL):
        browser.cookie = cookie
        for method in ("GET", "POST"):
            for place in ("", "home", "news", "page.css", "session/x/stop", "code"):
                answer = await browser.send(method, browser.gate.base + place)
                assert answer.status == 403, place
                assert b"farhand-agent desktop" in answer.body
                assert b"home" not in answer.body
    assert not browser.following.lines
    assert not browser.following.stopped


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:40404"},
        {"host": "evil.example"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1:40404.evil.example"},
        {"host": ""},
    ],
)
async def test_only_its_own_name_and_port(tmp_path: Path, headers: dict[str, Any]) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    ticket = browser.gate.way_in().removeprefix(ORIGIN)
    for target in (browser.gate.base, ticket):
        assert (await browser.send("GET", target, **headers)).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost:40404"},
        {"origin": "https://127.0.0.1:40404"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
async def test_another_page_changes_nothing(tmp_path: Path, headers: dict[str, Any]) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    answer = await browser.send("POST", browser.gate.base + "code", **headers)
    assert answer.status == 403
    assert browser.following.views == {}
    assert (await browser.post("code")).status == 200
    assert len(browser.following.views) == 1


async def test_another_user_of_the_computer_sees_nothing(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    ticket = browser.gate.way_in().removeprefix(ORIGIN)
    users = ((os.getuid() + 1, 403), (NOBODY, 403), (os.getuid(), 303), (None, 403))
    for user, status in users:
        request = Request(
            method="GET", target=ticket, headers={"host": f"127.0.0.1:{PORT}"}, user=user
        )
        assert (await browser.app.handle(request)).status == status


def test_the_tables_of_connections_tell_whose_one_is(tmp_path: Path) -> None:
    old, new = tmp_path / "tcp", tmp_path / "tcp6"
    old.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
        "   0: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000  0 7\n"
        "   1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  0  0 8\n"
    )
    mapped = "0000000000000000FFFF00000100007F"
    new.write_text(
        f"   0: {mapped}:0050 {mapped}:9C40 01 00000000:00000000 00:00000000 00000000  1001  0 7\n"
    )

    def user(port: int, own: int, address: str = "127.0.0.1") -> int | None:
        return peer_user((address, port), own, tables=(old, new), platform="linux")

    assert user(0x1F90, 0x9C40) == 1000
    assert user(0x9C40, 0x1F90) == 0
    assert user(0x50, 0x9C40) == 1001
    assert user(1, 0x9C40) == NOBODY
    assert user(0x1F90, 0x9C40, "127.0.0.2") == NOBODY
    no_tables = (tmp_path / "none",)
    assert peer_user(("127.0.0.1", 1), 2, tables=no_tables, platform="linux") == NOBODY
    assert peer_user(("127.0.0.1", 1), 2, tables=(old, new), platform="darwin") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a connection is")
def test_whoever_dials_another_way_is_known_or_refused() -> None:
    found = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for bound, dialled in (
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.2", "127.0.0.1"),
            ("", "::ffff:127.0.0.1"),
        ):
            family = socket.AF_INET if bound else socket.AF_INET6
            with socket.socket(family) as client:
                if bound:
                    client.bind((bound, 0))
                client.connect((dialled, port))
                accepted, address = listening.accept()
                with accepted:
                    found.append(peer_user(address[:2], port))
    assert found == [os.getuid(), NOBODY, os.getuid()]


async def test_every_answer_carries_the_same_head(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    shut = await browser.send("GET", browser.gate.base)
    await browser.enter()
    for answer in (
        shut,
        await browser.get("home"),
        await browser.get("page.js"),
        await browser.get("nothing-there"),
        await browser.send("GET", "/"),
        await browser.send("PUT", browser.gate.base),
        await browser.send("POST", browser.gate.base + "code"),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_forms_that_are_none_are_refused(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    place = browser.gate.base + "help"
    for body, kind in (
        (b"text=x", "text/plain"),
        (b"text=\xff", "application/x-www-form-urlencoded"),
        (b"&a=" * (MAX_FIELDS + 1), "application/x-www-form-urlencoded"),
    ):
        answer = await browser.send("POST", place, body, content_type=kind)
        assert (answer.status, answer.headers.get("Location")) == (303, place)
    await browser.get("help")
    assert "That did not work (request-malformed)." in browser.text
