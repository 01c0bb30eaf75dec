"""Chat and steps over real SSH: who said what, what is refused, what the receipt may know."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import pytest

from farhand_agent import local
from farhand_agent.config import Home
from farhand_agent.errors import AgentNotRunning
from farhand_agent.session.chat import MAX_TEXT_CHARS
from farhand_agent.session.events import Event, Said, StepOver, StepShown
from farhand_agent.session.live_help import HelpTerms, LiveHelp
from farhand_agent.session.rates import MAX_PER_MINUTE, Rate
from farhand_agent.session.restart import MachineRestart
from farhand_protocol.errors import FarhandError, RemoteError
from tests.agent.session.ssh_pair import SESSION, Pair, make_terms, ssh_pair


class Help:
    """The help of one session, and what the person's screen was told."""

    def __init__(self, folder: Path, *scopes: str) -> None:
        self.terms = make_terms(folder, scopes)
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.home = Home.at(folder / "home")
        self.home.make()
        self.help = LiveHelp(
            HelpTerms(
                home=self.home,
                session=SESSION,
                operator="tess",
                scopes=self.terms.scopes,
                actions=self.terms.actions,
                roots=self.terms.roots,
                restart=MachineRestart(self.terms.actions, lambda: None),
                environment={},
                now=lambda: datetime.now(UTC),
                emit=self.told.put_nowait,
                on_wait=lambda *_: None,
            )
        )
        self.terms.subsystems = {**self.terms.subsystems, **self.help.subsystems()}

    async def next(self) -> Event:
        return await asyncio.wait_for(self.told.get(), 20)


class Channel:
    """One subsystem from the console's side."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self.process = process

    def send(self, request: Any) -> None:
        line = request if isinstance(request, bytes) else msgspec.json.encode(request)
        self.process.stdin.write(line + b"\n")

    async def answer(self) -> dict[str, Any]:
        line = await asyncio.wait_for(self.process.stdout.readline(), 20)
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer

    async def ask(self, request: Any) -> dict[str, Any]:
        self.send(request)
        return await self.answer()


async def channel(pair: Pair, name: str) -> Channel:
    return Channel(await pair.ssh.create_process(subsystem=name, encoding=None))


async def test_both_sides_write_and_the_receipt_never_knows_what(tmp_path: Path) -> None:
    scene = Help(tmp_path)  # no scope at all
    async with ssh_pair(scene.terms) as pair:
        technician, follower = (
            await channel(pair, "farhand-chat"),
            await channel(pair, "farhand-chat"),
        )
        said = await technician.ask({"say": "is the \x1b[31mred\u202e light on?"})
        assert said["said"] == 1
        shown = await scene.next()
        assert isinstance(shown, Said)
        assert (shown.who, shown.operator) == ("technician", "tess")
        scene.help.say("yes, it is")
        follower.send({"follow": 0})
        first, second = await follower.answer(), await follower.answer()
        assert (first["who"], second["who"]) == ("technician", "person")
        assert second["text"] == "yes, it is"
        await technician.ask({"say": "thanks"})
        assert (await follower.answer())["text"] == "thanks"
        listed = await technician.ask({"list": True})
        assert [one["id"] for one in listed["items"]] == [1, 2, 3]
        technician.process.stdin.write_eof()
        assert (await technician.process.wait()).exit_status == 0
    assert pair.actions("chat") == ["by the technician", "by the person", "by the technician"]


@pytest.mark.parametrize(
    "request_line",
    [b"[]", b"\xff", b'{"say":1}', b'{"say":"  "}', b'{"follow":"x"}', b'{"list":false}', b"{}",
     msgspec.json.encode({"say": "x" * (MAX_TEXT_CHARS + 1)})],
)  # fmt: skip
async def test_what_is_no_message_is_refused(tmp_path: Path, request_line: bytes) -> None:
    scene = Help(tmp_path, "view")
    async with ssh_pair(scene.terms) as pair:
        one = await channel(pair, "farhand-chat")
        assert (await one.ask(request_line))["error"]["code"] == "chat-malformed"
        assert (await one.ask({"say": "still here"}))["said"] == 1


async def test_the_screen_cannot_be_flooded(tmp_path: Path) -> None:
    scene = Help(tmp_path)
    for number in range(MAX_PER_MINUTE):
        scene.help.chat.say("technician", str(number))
    with pytest.raises(RemoteError) as caught:
        scene.help.chat.say("technician", "one too many")
    assert caught.value.code == "too-fast"
    scene.help.chat.say("person", "I can still answer")


async def test_a_minute_later_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    rate = Rate(2)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    rate.take()
    now = 30.0
    rate.take()
    with pytest.raises(RemoteError):
        rate.take()
    now = 60.0
    rate.take()


async def test_after_the_end_nothing_is_said(tmp_path: Path) -> None:
    scene = Help(tmp_path)
    scene.help.close()
    with pytest.raises(RemoteError) as caught:
        scene.help.chat.say("technician", "hello?")
    assert caught.value.code == "session-ended"
    scene.help.say("hello?")
    assert scene.told.empty()


async def test_the_person_speaks_from_another_terminal(tmp_path: Path) -> None:
    scene = Help(tmp_path)

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        return local.ask(scene.home, request, session=SESSION)

    await scene.help.open()
    async with ssh_pair(scene.terms) as pair:
        answer = await asyncio.to_thread(ask, {"do": "say", "text": "from the other room"})
        assert answer == {"said": 1}
        steps = await channel(pair, "farhand-steps")
        steps.send({"step": "Pull the plug", "number": 2, "of": 3})
        await scene.next()
        assert isinstance(await scene.next(), StepShown)
        talk = await asyncio.to_thread(ask, {"do": "talk"})
        assert talk["operator"] == "tess"
        assert [one["text"] for one in talk["lines"]] == ["from the other room"]
        assert talk["step"] == {"step": 1, "number": 2, "of": 3, "text": "Pull the plug"}
        taken = {"do": "step", "answer": "cannot", "why": "which one?"}
        assert await asyncio.to_thread(ask, taken) == {"taken": True}
        assert await asyncio.to_thread(ask, taken) == {"taken": False}
        told = await steps.answer()
        assert (told["answer"], told["why"]) == ("cannot", "which one?")
    with pytest.raises(FarhandError) as caught:
        await asyncio.to_thread(ask, {"do": "say", "text": ""})
    assert caught.value.code == "chat-malformed"
    await scene.help.leave()
    with pytest.raises(AgentNotRunning):
        await asyncio.to_thread(ask, {"do": "talk"})


async def test_a_step_stands_until_it_is_answered(tmp_path: Path) -> None:
    scene = Help(tmp_path)
    async with ssh_pair(scene.terms) as pair:
        steps, others = await channel(pair, "farhand-steps"), await channel(pair, "farhand-steps")
        steps.send({"step": "Open the lid"})
        shown = await scene.next()
        assert isinstance(shown, StepShown)
        assert (await others.ask({"step": "me too"}))["error"]["code"] == "step-busy"
        answer = scene.help.steps.answer
        assert not answer(shown.step + 1, "done")
        assert not answer(shown.step, "maybe")
        assert answer(shown.step, "done", "a word that nobody asked for")
        told = await steps.answer()
        assert (told["id"], told["answer"], told["why"]) == (shown.step, "done", "")
        assert await scene.next() == StepOver(session=SESSION, step=shown.step, answer="done")
        steps.send({"step": "Close it"})
        again = await scene.next()
        assert isinstance(again, StepShown)
        assert not answer(shown.step, "done")  # the answer to another one
        steps.send({"withdraw": True})
        assert (await steps.answer())["answer"] == "withdrawn"
        assert await scene.next() == StepOver(session=SESSION, step=again.step, answer="withdrawn")
        assert (await steps.ask({"step": " "}))["error"]["code"] == "step-malformed"
        assert (await steps.ask({"step": "x", "run": "rm"}))["error"]["code"] == "step-malformed"
    assert pair.actions("step") == [
        "asked for: Open the lid", "done (Open the lid)",
        "asked for: Close it", "withdrawn (Close it)",
    ]  # fmt: skip


async def test_a_console_that_leaves_withdraws_its_step(tmp_path: Path) -> None:
    scene = Help(tmp_path)
    async with ssh_pair(scene.terms) as pair:
        steps = await channel(pair, "farhand-steps")
        steps.send({"step": "Wait for me"})
        shown = await scene.next()
        assert isinstance(shown, StepShown)
        steps.process.stdin.write_eof()
        assert (await steps.answer())["answer"] == "withdrawn"
        assert await scene.next() == StepOver(session=SESSION, step=shown.step, answer="withdrawn")
        assert scene.help.steps.standing is None
