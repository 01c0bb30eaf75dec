"""Pages of other users at one agent: both see the question, one answers, and it is known who."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.desktop import at_door
from farhand_agent.desktop.app import App
from farhand_agent.desktop.at_door import DoorFollowing
from farhand_agent.desktop.gate import Gate
from farhand_agent.desktop.sources import DoorSources
from farhand_agent.desktop.view import SessionView
from farhand_agent.local_server import LocalServer
from farhand_agent.people import desk as desk_module
from farhand_agent.people.concerned import sessions_of
from farhand_agent.session.asking import Asking
from farhand_agent.session.at_door import DoorTerminal
from farhand_agent.session.device_prompts import DevicePrompts
from farhand_agent.session.events import Asked, Ended, Event, Refused, encode_event
from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.watched import Watched
from farhand_protocol.errors import FarhandError
from tests.agent.desktop.browser import ASKED, CODE, OPENED, PORT, SAID
from tests.agent.people.doors import ALICE, BOB, EVE, OpenDoor, open_door

PATIENCE_S = 30


class Page:
    """What a user's page follows, and a way to wait for it."""

    def __init__(self, door: OpenDoor, user: int, group: asyncio.TaskGroup) -> None:
        self.following = DoorFollowing(door.of(user), group, lambda _: None)

    async def until(self, holds: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while not (held := holds()):
                await asyncio.sleep(0.02)  # a name that is new and says nothing yet tells nobody
        return held

    async def asked(self) -> SessionView:
        def standing() -> SessionView | None:
            return next((one for one in self.following.going if one.asked), None)

        view = await self.until(standing)
        assert isinstance(view, SessionView)
        return view


class Session:
    """A session's process, as far as its pages see it: real questions, real freezing."""

    def __init__(self, home: Home) -> None:
        self.watched = Watched(home)
        self.gate = PromptGate(DevicePrompts(home))
        self.asking = Asking(self.watched.emit, can_ask=True, gate=self.gate)
        self.asking.on_answer = self._note
        self.watched.hear = self._hear
        self.heard: list[dict[str, Any]] = []
        self.noted: list[tuple[bool, str]] = []

    async def _note(self, _: Asked, is_yes: bool, person: str) -> None:
        self.noted.append((is_yes, person))

    def _hear(self, fields: Any) -> bool:
        self.heard.append(dict(fields))
        if "answer" not in fields:
            return True
        return self.asking.answer(
            fields["answer"] == "allow", ask=fields["ask"], person=fields["person"]
        )


@asynccontextmanager
async def stage(
    home: Home, monkeypatch: pytest.MonkeyPatch, *users: int
) -> AsyncIterator[tuple[OpenDoor, list[Page]]]:
    async with (
        open_door(home, monkeypatch) as door,
        LocalServer(home, {"watch": door.desk.watch}),
        asyncio.TaskGroup() as group,
    ):
        pages = [Page(door, user, group) for user in users]
        for page in pages:
            await page.following.find()
        try:
            yield door, pages
        finally:
            for page in pages:
                await page.following.close()


async def appears(file: Path) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not file.exists():
            await asyncio.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


async def test_both_see_the_question_and_one_answer_counts(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(home, monkeypatch, ALICE, BOB) as (door, (hers, his)):
        session = Session(home)
        await session.watched.open()
        assert session.watched.is_announced
        asking = asyncio.ensure_future(session.asking.ask(ASKED, within_s=PATIENCE_S))
        seen, also = await hers.asked(), await his.asked()
        assert session.gate.is_open, "nobody from afar moves anything while they are asked"
        assert session.watched.is_watched
        line = {"answer": "allow", "ask": 1, "person": "root"}
        assert await hers.following.tell(seen, line)
        assert not await his.following.tell(also, {"answer": "deny", "ask": 1})
        assert await asking == ASKED.scopes
        assert not session.gate.is_open
        assert session.noted == [(True, "4001")], "nobody says who she is but the kernel"
        assert [one["person"] for one in session.heard] == ["4001", "4002"]
        session.watched.emit(OPENED)
        await his.until(lambda: also.opened)
        await hers.until(lambda: seen.opened)
        known = await door.journal.do(lambda j: [sessions_of(j, one) for one in (ALICE, BOB, EVE)])
        assert known == [["s-1"], ["s-1"], []]
        assert len(await door.log("session-followed")) == 2
        await session.watched.close()
        await hers.until(lambda: seen.is_over)


async def test_stop_says_who_wanted_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(home, monkeypatch, ALICE) as (door, (hers,)):
        session = Session(home)
        await session.watched.open()
        session.watched.emit(OPENED)
        await hers.until(lambda: hers.following.open)
        await hers.following.stop_all()
        assert door.stopped == [None]
        assert session.heard == [{"stop": True, "person": "4001"}]
        said = [json.loads(one) for one in await door.log("person-said")]
        assert [one["user"] for one in said] == ["4001", "4001"]
        assert {one["of"] for one in said} == {"all", "True"}
        await session.watched.close()


async def test_a_stop_that_the_agent_did_not_hear_is_repeated(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_WAIT_S", 0.2)
    monkeypatch.setattr(at_door, "_AGAIN_S", 0.05)
    async with stage(home, monkeypatch, ALICE) as (door, (hers,)):
        session, following = Session(home), hers.following
        await session.watched.open()
        session.watched.emit(OPENED)
        view = (await hers.until(lambda: following.open))[0]
        app = App(DoorSources(door.of(ALICE)), Gate(PORT), following)

        async def shown() -> str:
            return (await app._get_session(view, [], f"session/{view.name}")).body.decode()

        path = door.of(ALICE).path
        path.rename(path.with_suffix(".away"))
        await following.stop_all()
        assert following.is_stop_owed
        assert door.stopped == []
        session.watched.emit(SAID)  # so that what waits for news is answered, and asks again
        await hers.until(lambda: view.is_lost)
        assert view.phase == "failed", "nobody knows that it has ended"
        assert "Your Stop has not arrived" in await shown()
        assert "with it the session" not in await shown()
        assert following.open == [view], "the bar stays"
        path.with_suffix(".away").rename(path)
        await hers.until(lambda: not following.is_stop_owed)
        assert set(door.stopped) == {None}
        assert "Your Stop has not arrived" not in await shown()
        await session.watched.close()


async def test_a_stop_that_is_not_hers_any_more_is_said_and_not_repeated(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(home, monkeypatch, ALICE) as (door, (hers,)):
        door.here.discard(ALICE)
        await hers.following.stop_all()
        assert not hers.following.is_stop_owed
        assert hers.following.stop_refused is not None
        assert hers.following.stop_refused.code == "people-stranger"
        assert door.stopped == []


async def test_a_terminal_at_the_door_is_no_page_to_look_a_picture_over(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(home, monkeypatch) as (door, _):
        session = Session(home)
        await door.ask("sessions", after=-1, pages=True)
        await session.watched.open()
        session.watched.emit(OPENED)
        (name,) = (await door.ask("sessions", after=-1))["names"]
        assert (await door.ask("events", name=name, after=0))["events"]
        assert not session.watched.is_watched
        await door.ask("events", name=name, after=0, page=True)
        assert session.watched.is_watched
        await asyncio.gather(
            session.watched.close(), door.ask("events", name=name, after=1, page=True)
        )


async def test_whose_page_is_gone_is_asked_no_more(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(home, monkeypatch) as (door, _):
        session = Session(home)
        await session.watched.open()
        assert not session.watched.is_announced, "nobody's page is there"
        await door.ask("sessions", after=-1)
        await session.watched.open()
        assert not session.watched.is_announced, "who only looks cannot be asked"
        await session.watched.close()


async def test_a_question_is_seen_by_nobody_who_left(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_WAIT_S", 0.2)
    monkeypatch.setattr(at_door, "_AGAIN_S", 0.05)
    async with stage(home, monkeypatch, ALICE, BOB) as (door, (hers, his)):
        session = Session(home)
        await session.watched.open()
        session.watched.emit(CODE)
        view = await hers.until(lambda: next(iter(hers.following.going), None))
        await hers.until(lambda: view.code)
        door.here.discard(ALICE)
        session.watched.emit(ASKED)
        also = await his.asked()
        await hers.until(lambda: view.is_lost)
        assert view.asked is None
        with pytest.raises(FarhandError, match="people-stranger"):
            await hers.following.tell(view, {"answer": "allow", "ask": 1})
        assert await his.following.tell(also, {"say": "hello"})
        door.here.add(ALICE)
        assert await hers.asked() is not view, "and she is back as soon as she sits here again"
        await session.watched.close()


async def test_names_that_are_none_lead_nowhere(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(home, monkeypatch) as (door, _):
        for name in (
            None,
            7,
            "",
            "desktop",
            "../x",
            "watch-0123456789abcdef",
            "s-aaaaaaaaaaaaaaaa",
        ):
            with pytest.raises(FarhandError, match="people-session"):
                await door.ask("events", name=name, after=0)
            with pytest.raises(FarhandError, match="people-session"):
                await door.ask("tell", name=name, line={"stop": True})
        for watch in ({"name": "watch-x", "pid": 1}, {"name": "watch-" + "0" * 16, "pid": "1"}):
            with pytest.raises(FarhandError, match="request-malformed"):
                await door.desk.watch(watch)
        wrong: list[dict[str, Any]] = [{"scopes": []}, {"scopes": ["x"]}]
        for code in (*wrong, {"minutes": 0}, {"minutes": 481}):
            with pytest.raises(FarhandError, match="request-malformed"):
                await door.ask("code", **code)


async def test_a_code_is_the_agents_and_ends_with_her_page(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is a stand-in: it tells its name as a session's does, and reads its pipe."""
    script = (
        "import os, sys; from pathlib import Path; from farhand_agent import local;"
        "from farhand_agent.config import Home;"
        "told = local.ask(Home.at(sys.argv[1]),"
        " {'do': 'watch', 'name': 'watch-' + '0' * 16, 'pid': os.getpid()});"
        "new = Path(sys.argv[1], 'new'); new.write_text(str(told['pages']));"
        "new.rename(Path(sys.argv[1], 'told')); sys.stdin.read();"
        "Path(sys.argv[1], 'ended').touch()"
    )

    def command(_: str, *arguments: str) -> list[str]:
        assert arguments[0] == "--home"
        return [sys.executable, "-P", "-c", script, arguments[1]]

    monkeypatch.setattr(desk_module, "command", command)
    async with stage(home, monkeypatch) as (door, _):
        async with asyncio.TaskGroup() as group:
            hers = DoorFollowing(door.of(ALICE), group, lambda _: None)
            view = await hers.begin()
            assert view.name == "watch-" + "0" * 16
            await appears(home.path / "told")
            assert (home.path / "told").read_text() == "1", "she is there to be asked"
            with pytest.raises(FarhandError, match="people-busy"):
                await door.ask("code")
            await hers.close()
        await appears(home.path / "ended")
        async with asyncio.timeout(PATIENCE_S):
            while door.desk._codes:
                await asyncio.sleep(0.02)
        assert [json.loads(one)["uid"] for one in await door.log("code-asked")] == [ALICE]


async def test_a_code_on_her_terminal(
    home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Her terminal is one of the session's all the same, though its process is the agent's."""
    script = str(Path(__file__).with_name("scripted_session.py"))

    def command(_: str, *arguments: str) -> list[str]:
        assert arguments[2:] == ("--scope", "view", "--minutes", "5")
        return [sys.executable, "-P", script, arguments[1]]

    monkeypatch.setattr(desk_module, "command", command)
    ended = Ended(session="s-1", reason="closed", receipt=None)
    refused = Refused(reason="consent-refused", message="no")
    async with stage(home, monkeypatch) as (door, _):
        for last, status in ((ended, 0), (refused, 3)):
            events = (CODE, ASKED, OPENED, last) if last is ended else (CODE, ASKED, last)
            (home.path / "events").write_bytes(b"".join(map(encode_event, events)))
            terminal = DoorTerminal(door.of(ALICE), yes=True, as_json=True)
            async with asyncio.timeout(PATIENCE_S):
                assert await terminal.run(["view"], 5) == status
                while door.desk._codes:
                    await asyncio.sleep(0.02)
        told = [json.loads(one) for one in capfd.readouterr().out.splitlines()]
        assert [one["event"] for one in told] == [
            "code", "request", "session", "end", "code", "request", "refused",
        ]  # fmt: skip
        assert (home.path / "heard").read_text() == "allow 4001\n" * 2


@pytest.mark.parametrize("is_held", [True, False])
async def test_her_terminal_ends_with_the_agent_and_not_with_one_answer(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """The door is gone for a moment; what counts is the connection that began the session."""
    monkeypatch.setattr("farhand_agent.session.at_door._AGAIN_S", 0.05)
    script = str(Path(__file__).with_name("scripted_session.py"))
    monkeypatch.setattr(
        desk_module, "command", lambda _, *given: [sys.executable, "-P", script, given[1]]
    )
    async with stage(home, monkeypatch) as (door, _):
        ended = Ended(session="s-1", reason="closed", receipt=None)
        events: list[Event] = [CODE, ASKED, OPENED, ended]
        (home.path / "events").write_bytes(b"".join(map(encode_event, events)))
        hers = door.of(ALICE)
        calls: list[str] = []

        class Flaky(type(hers)):  # type: ignore[misc]
            async def call(self, request: dict[str, Any], **_: Any) -> dict[str, Any]:
                calls.append(request["do"])
                if request["do"] == "events" and calls.count("events") <= 2:
                    if not is_held and calls.count("events") == 2:
                        await door.server.__aexit__()
                    raise FarhandError("agent-silent", "the running agent gave no answer")
                return dict(await super().call(request))

        hers.__class__ = Flaky
        async with asyncio.timeout(PATIENCE_S):
            status = await DoorTerminal(hers, yes=True, as_json=True).run(None, None)
        assert status == (0 if is_held else 1)
        assert (calls.count("events") > 2) is is_held


async def test_the_page_shows_what_the_agent_tells(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real errands: what she asked is hers to see, what others asked is not."""
    async with stage(home, monkeypatch) as (door, _):
        sources = DoorSources(door.of(ALICE))
        facts = await sources.facts()
        assert (facts.device, facts.requests) == ("", [])
        assert await sources.receipts() == []
        assert await sources.receipt("s-aaaaaaaaaaaaaaaa", _wording()) is None
        with pytest.raises(FarhandError, match="not-enrolled"):
            await sources.ask_for_help("no sound", "", b"", "en")
        stranger = DoorSources(door.of(EVE))
        with pytest.raises(FarhandError, match="people-stranger"):
            await stranger.facts()
        async with asyncio.TaskGroup() as group:
            app = App(sources, Gate(PORT), DoorFollowing(door.of(ALICE), group, lambda _: None))
            page = await app._home_page("home")
            assert page.status == 200
        assert os.environ.get("FARHAND_HOME") is None


def _wording() -> Any:
    from farhand_agent.wording import wording_in

    return wording_in("en")
