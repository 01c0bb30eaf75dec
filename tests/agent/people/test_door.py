"""The door: what a stranger gets, what a person gets, and what nobody can make it do."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.door import Door, door_path, peer_uid
from farhand_agent.errors import AgentNotRunning
from farhand_agent.local import MAX_LINE_BYTES
from farhand_agent.people import desk as desk_module
from farhand_agent.people import door_server, help_counts
from farhand_agent.people.desk import OPEN_TO_ALL
from farhand_agent.people.help_counts import (
    MAX_ALL_AN_HOUR,
    MAX_HELP_AN_HOUR,
    MAX_STRANGERS_AN_HOUR,
)
from farhand_agent.people.opening import has_door
from farhand_agent.people.persons import Person
from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import MAX_HELP_IMAGE_BYTES
from farhand_server.channels.help_requests import PER_HOUR
from tests.agent.people.doors import ALICE, BOB, EVE, open_door

PATIENCE_S = 30
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def errands(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been done by a child."""
    done: list[dict[str, Any]] = []

    async def ask_child(_: str, request: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        done.append(request)
        return {"request": "h-1"}

    monkeypatch.setattr(desk_module, "ask_child", ask_child)
    return done


async def test_a_stranger_may_ask_for_help_and_for_nothing_else(
    home: Home, monkeypatch: pytest.MonkeyPatch, errands: list[dict[str, Any]]
) -> None:
    async with open_door(home, monkeypatch) as door:
        everything = set(door.desk.work) | set(door.desk.held)
        assert everything > OPEN_TO_ALL == {"who", "help"}
        for do in everything - OPEN_TO_ALL:
            with pytest.raises(FarhandError, match="people-stranger"):
                await door.ask(do, user=EVE, session="s-1", name="s-1", after=-1, line={})
        assert errands == []
        assert await door.ask("who", user=EVE) == {"user": "4003", "uid": EVE, "person": False}
        assert await door.ask("who", user=ALICE) == {"user": "4001", "uid": ALICE, "person": True}
        assert (await door.ask("who", user=0))["person"]
        assert await door.ask("help", user=EVE, text="no sound") == {"request": "h-1"}
        await door.ask("help", user=ALICE, text="no picture")
        assert [(one["uid"], one["user"], one["waiting_max"]) for one in errands] == [
            (EVE, "4003", 3),
            (ALICE, "4001", 5),
        ]


async def test_who_logs_out_is_a_stranger_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch, errands: list[dict[str, Any]]
) -> None:
    async with open_door(home, monkeypatch) as door:
        await door.ask("facts", user=ALICE)
        waiting = asyncio.ensure_future(door.ask("sessions", user=ALICE, after=0, pages=True))
        async with asyncio.timeout(PATIENCE_S):
            while not door.desk._pages:
                await asyncio.sleep(0.01)
        door.here.discard(ALICE)
        with pytest.raises(FarhandError, match="people-stranger"):
            await door.ask("facts")
        door.desk._change()
        with pytest.raises(FarhandError, match="people-stranger"):
            await waiting
        await door.ask("facts", user=BOB)


async def test_calls_of_one_user_are_bounded(
    home: Home, monkeypatch: pytest.MonkeyPatch, errands: list[dict[str, Any]]
) -> None:
    async with open_door(home, monkeypatch) as door:
        for _ in range(MAX_HELP_AN_HOUR):
            await door.ask("help", user=EVE, text="again")
        with pytest.raises(FarhandError, match="people-help-often"):
            await door.ask("help", user=EVE, text="again")
        await door.ask("help", user=ALICE, text="hers")
        assert len(errands) == MAX_HELP_AN_HOUR + 1


async def test_strangers_together_call_no_more_often_than_the_desk_hears(
    home: Home, monkeypatch: pytest.MonkeyPatch, errands: list[dict[str, Any]]
) -> None:
    async with open_door(home, monkeypatch) as door:
        # Who has user ids by the thousand is a new stranger each time.
        for user in range(5000, 5000 + MAX_STRANGERS_AN_HOUR):
            await door.ask("help", user=user, text="again")
        with pytest.raises(FarhandError, match="people-help-full"):
            await door.ask("help", user=EVE, text="again")
        assert await door.ask("help", user=ALICE, text="hers") == {"request": "h-1"}
        assert len(errands) == MAX_STRANGERS_AN_HOUR + 1


async def test_calls_of_all_are_refused_at_the_door_before_the_relay_drops_them(
    home: Home, monkeypatch: pytest.MonkeyPatch, errands: list[dict[str, Any]]
) -> None:
    assert MAX_STRANGERS_AN_HOUR < MAX_ALL_AN_HOUR < PER_HOUR
    now = 1000.0
    monkeypatch.setattr(help_counts, "time", SimpleNamespace(monotonic=lambda: now))
    async with open_door(home, monkeypatch) as door:
        door.here |= set(range(5000, 5000 + MAX_ALL_AN_HOUR))
        with pytest.raises(FarhandError, match="request-malformed"):
            await door.ask("help", user=ALICE, text="no picture", parts=1, more=[{"data": "%"}])
        for user in range(5000, 5000 + MAX_ALL_AN_HOUR):
            await door.ask("help", user=user, text="hers")
        for user in (ALICE, EVE):
            with pytest.raises(FarhandError, match="people-help-full"):
                await door.ask("help", user=user, text="one more")
        assert len(errands) == MAX_ALL_AN_HOUR
        now += 3600
        await door.ask("help", user=ALICE, text="an hour later")


async def test_a_picture_comes_in_parts_and_is_bounded(
    home: Home, monkeypatch: pytest.MonkeyPatch, errands: list[dict[str, Any]]
) -> None:
    picture = PNG + os.urandom(50_000)
    parts = [picture[at : at + 24_576] for at in range(0, len(picture), 24_576)]
    more = [{"data": base64.b64encode(one).decode()} for one in parts]
    async with open_door(home, monkeypatch) as door:
        await door.ask("help", text="see", parts=len(parts), more=more)
        assert errands[0]["picture"] == picture
        large = [more[0]] * (MAX_HELP_IMAGE_BYTES // 24_576 + 2)
        with pytest.raises(FarhandError, match="image-too-large"):
            await door.ask("help", text="see", parts=len(large), more=large)
        wrong: list[dict[str, Any]] = [{"parts": 65}, {"parts": -1}, {"text": 7}]
        for fields in (*wrong, {"language": "../x"}):
            with pytest.raises(FarhandError, match="request-malformed"):
                await door.ask("help", **{"text": "see", **fields})
        with pytest.raises(FarhandError, match="request-malformed"):
            await door.ask("help", text="see", parts=1, more=[{"data": "%"}])
        assert len(errands) == 1


async def test_a_stranger_who_is_slow_holds_up_nobody_here(
    home: Home, monkeypatch: pytest.MonkeyPatch, errands: list[dict[str, Any]]
) -> None:
    async with open_door(home, monkeypatch) as door:
        request = {"do": "help", "text": "slow", "parts": 1}
        slow = await asyncio.to_thread(door.of(EVE).connect)
        with slow:
            slow.sendall(json.dumps(request).encode() + b"\n")
            async with asyncio.timeout(PATIENCE_S):
                while not door.desk._turns[False].locked():
                    await asyncio.sleep(0.01)
            with pytest.raises(FarhandError, match="people-busy"):
                await door.ask("help", user=EVE + 1, text="after her")
            assert await door.ask("help", text="hers") == {"request": "h-1"}
        assert [one["text"] for one in errands] == ["hers"]


async def test_what_a_person_says_fills_no_log(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(home, monkeypatch) as door:
        heard: list[dict[str, Any]] = []

        async def ask_process(_: Home, __: str, request: dict[str, Any]) -> dict[str, Any]:
            heard.append(request)
            return {"counted": True}

        monkeypatch.setattr(desk_module, "ask_process", ask_process)
        name = f"watch-{'0' * 16}"
        await door.desk.watch({"name": name, "pid": os.getpid()})
        wrong: list[Any] = ["A" * 60_000, "s-1", "", 7, []]
        for session in wrong:
            with pytest.raises(FarhandError, match="request-malformed"):
                await door.ask("stop", session=session)
        unknown = f"s-{'a' * 20}"
        await door.ask("stop", session=unknown)
        nothing: list[dict[str, Any]] = [
            {"stop": False}, {"stop": "A" * 60_000}, {"withdraw": "x"}, {"withdraw": ["files"]},
        ]  # fmt: skip
        for line in nothing:
            await door.ask("tell", name=name, line=line)
        assert await door.log("person-said") == []
        for _ in range(3):
            await door.ask("stop")
            for line in ({"stop": True}, {"withdraw": "files"}):
                await door.ask("tell", name=name, line=line)
        await door.ask("stop", user=BOB)
        said = [json.loads(one) for one in await door.log("person-said")]
        assert [(one["user"], one["what"], one["of"]) for one in said] == [
            ("4001", "stop", "all"),
            ("4001", "stop", "True"),
            ("4001", "withdraw", "files"),
            ("4002", "stop", "all"),
        ]
        assert [one.get("name") for one in said] == [None, name, name, None]
        # Said again is done again.
        assert door.stopped == [unknown, None, None, None, None]
        assert len(heard) == len(nothing) + 6


@pytest.mark.parametrize(
    "line",
    [b"\n", b"[]\n", b"{\n", b"x" * 70_000 + b"\n", b'{"do":"who"'],
    ids=["empty", "list", "cut", "long", "open"],
)
async def test_what_is_no_request_is_answered_and_no_more(
    home: Home, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    async with open_door(home, monkeypatch) as door:

        def send() -> bytes:
            with door.of(ALICE).connect() as link:
                try:
                    link.sendall(line)
                    link.shutdown(socket.SHUT_WR)
                    return link.recv(65_536)
                except ConnectionError:
                    return b""  # it was closed before all of that was taken

        answer = await asyncio.to_thread(send)
        if len(line) < MAX_LINE_BYTES or answer:  # what is longer may be cut off unanswered
            assert json.loads(answer)["error"]["code"] == "request-malformed"
        with pytest.raises(FarhandError, match="request-unknown"):
            await door.ask("status")


async def test_strangers_take_the_room_of_nobody(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(home, monkeypatch) as door:
        links: list[socket.socket] = []
        try:
            for _ in range(door_server._PER_STRANGER):
                links.append(await asyncio.to_thread(door.of(EVE).connect))
            async with asyncio.timeout(PATIENCE_S):
                while door.server._strangers.taken[EVE] < len(links):
                    await asyncio.sleep(0.01)
            with pytest.raises(FarhandError, match="agent-silent"):
                await door.ask("who", user=EVE)
            assert (await door.ask("who"))["person"]
        finally:
            for link in links:
                link.close()


async def test_strangers_take_no_room_while_nobody_knows_who_they_are(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(home, monkeypatch) as door:
        told = asyncio.Event()
        looked: list[int] = []
        look = door.persons.look

        async def slow(uid: int) -> Person:
            looked.append(uid)
            if uid not in (ALICE, BOB):
                await told.wait()
            return await look(uid)

        monkeypatch.setattr(door.persons, "look", slow)
        assert (await door.ask("who"))["person"]
        links: list[socket.socket] = []
        try:
            # More users and connections than there is room for.
            for user in range(5000, 5000 + door_server.MAX_HALL // door_server._PER_UNKNOWN + 1):
                for _ in range(door_server._PER_UNKNOWN + 1):
                    links.append(await asyncio.to_thread(door.of(user).connect))
            # Who is known is answered at once, however many others wait.
            assert (await door.ask("who"))["person"]
            hall = door.server._hall.taken
            assert set(hall.values()) == {door_server._PER_UNKNOWN}
            assert hall.total() == door_server.MAX_HALL
            assert len([one for one in looked if one != ALICE]) == door_server._LOOKS
            told.set()
            # And who is not yet, when it was told who they are.
            async with asyncio.timeout(PATIENCE_S):
                while door.server._hall.taken:
                    await asyncio.sleep(0.01)
            assert (await door.ask("who", user=BOB))["person"]
        finally:
            told.set()
            for link in links:
                link.close()


async def test_no_other_file_is_made_with_the_doors_rights(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.make()
    before = os.umask(0o077)
    try:
        changed: list[int] = []
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", changed.append)
            async with open_door(home, monkeypatch) as door:
                assert changed == []
                assert stat.S_IMODE(door.of(ALICE).path.stat().st_mode) == 0o666
    finally:
        os.umask(before)


async def test_the_folder_cannot_be_exchanged_and_the_door_is_everybodys(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(home, monkeypatch) as door:
        path = door.of(ALICE).path
        assert stat.S_IMODE(path.stat().st_mode) & 0o666 == 0o666
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
        path.parent.chmod(0o777)
        with pytest.raises(FarhandError, match="home-unusable"):
            door_path(home, folder=path.parent, make=True)
    assert not path.exists()


async def test_what_a_dead_agent_left_is_swept_away(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(home, monkeypatch) as door:
        folder = door.of(ALICE).path.parent
        dead, other = folder / ("0" * 16), folder / "other"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
            left.bind(str(dead))
        other.touch()
        door_server._sweep(door.of(ALICE).path)
        assert not dead.exists()
        assert other.exists()
        assert (await door.ask("who"))["person"]


async def test_what_is_not_the_agents_is_not_spoken_to(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(home, monkeypatch) as door:
        with monkeypatch.context() as patched:
            patched.setattr("farhand_agent.door.peer_uid", lambda _: EVE)
            with pytest.raises(FarhandError, match="people-door-foreign"):
                await door.ask("who")
        # Connections are taken in their order: that one is over when the next is answered.
        assert (await door.ask("who"))["person"]
    with pytest.raises(AgentNotRunning):
        await door.ask("who")


def test_the_kernel_says_whose_connection_it_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_uid(ours) == os.geteuid()


def test_which_agent_has_a_door(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.make()
    monkeypatch.setattr(os, "geteuid", lambda: ALICE)
    assert not has_door(home)
    home.policy.write_text('people = ["alice"]')
    assert has_door(home)
    home.policy.write_text("people = 7")
    assert not has_door(home)
    assert has_door(Home.at("/var/lib/farhand-agent"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert has_door(home)
    assert Door(home).path.parent == Path("/run/farhand/people")
