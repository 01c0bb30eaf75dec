"""What the console makes of a device's words: chat, steps, tools, and what a session changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncssh
import msgspec
import pytest

from farhand_console.session.channel import open_channel, raise_error
from farhand_console.session.chat import Line, converse, follow, send, transcript_note
from farhand_console.session.inventory_changes import changes_message, read_changes
from farhand_console.session.steps import StepDone, ask_steps, read_steps
from farhand_console.session.tools import ask_tool, macs_to_wake, tool_lines
from farhand_protocol.errors import FarhandError, RefusedError, UsageError

Answer = Callable[[dict[str, Any]], list[Any]]


class Device:
    """Answers each line of a channel with lines; stands for the SSH connection."""

    def __init__(self, answer: Answer, *, greeting: list[Any] | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer
        self._out = b"".join(map(_line, greeting or []))

    async def open_session(self, **options: Any) -> tuple[Any, Any, Any]:
        self.subsystem = options["subsystem"]
        return self, self, None

    def write(self, data: bytes) -> None:
        request = msgspec.json.decode(data)
        self.asked.append(request)
        self._out += b"".join(map(_line, self._answer(request)))

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def read(self, limit: int) -> bytes:
        piece, self._out = self._out[:7], self._out[7:]
        return piece


def _line(one: Any) -> bytes:
    return one if isinstance(one, bytes) else msgspec.json.encode(one) + b"\n"


def said(number: int, text: str, who: str = "person") -> dict[str, Any]:
    return {"id": number, "at": "2026-11-22T05:00:00Z", "who": who, "text": text}


async def test_what_is_said_comes_back_with_ids() -> None:
    device: Any = Device(lambda request: [{"said": len(request["say"])}])
    assert await send(device, ["a", "bb"]) == [1, 2]
    assert device.subsystem == "farhand-chat"
    refusing: Any = Device(lambda _: [{"error": {"code": "too-fast", "message": "wait\x1b"}}])
    with pytest.raises(FarhandError) as caught:
        await send(refusing, ["a"])
    assert caught.value.code == "too-fast"


async def test_a_conversation_shows_only_what_others_wrote() -> None:
    def answer(request: dict[str, Any]) -> list[Any]:
        if "follow" in request:
            return [said(1, "hello")]
        if request["say"] == "too long":
            return [{"error": {"code": "chat-malformed", "message": "shorter"}}]
        return [{"said": 2}, said(2, request["say"], "technician"), said(3, "good")]

    typed = [b"too long\nI s", b"ee\n\n", b""]
    device: Any = Device(answer)
    shown: list[str] = []
    complaints: list[str] = []

    async def read() -> bytes:
        return typed.pop(0)

    # The device is at its end once everything is read; nothing more can come then.
    await converse(device, read, lambda one: shown.append(one.text), complaints.append)
    assert device.asked == [{"follow": 0}, {"say": "too long"}, {"say": "I see"}]
    assert set(shown) <= {"hello", "good"}
    assert "I see" not in shown


@pytest.mark.parametrize(
    "line",
    [b"[]\n", b"\xff\n", b'{"id":1}\n', b'{"id":"1","at":"x","who":"person","text":"x"}\n',
     b'{"id":1,"at":"x","who":"relay","text":"x"}\n'],
)  # fmt: skip
async def test_lines_that_are_none_end_it_in_words(line: bytes) -> None:
    device: Any = Device(lambda _: [line])
    with pytest.raises(FarhandError) as caught:
        [one async for one in follow(device)]
    assert caught.value.code == "session-lost"


async def test_an_endless_line_is_not_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farhand_console.session.channel.MAX_LINE_BYTES", 100)
    device: Any = Device(lambda _: [b"x" * 5000])
    async with open_channel(device, "farhand-chat") as channel:
        with pytest.raises(FarhandError) as caught:
            await channel.ask({"list": True})
    assert caught.value.code == "session-lost"


async def test_a_device_that_offers_no_such_thing() -> None:
    class Older:
        async def open_session(self, **_: Any) -> None:
            raise asyncssh.ChannelOpenError(1, "no")

    older: Any = Older()
    with pytest.raises(FarhandError) as caught:
        async with open_channel(older, "farhand-tools"):
            raise AssertionError("it is not open")
    assert caught.value.code == "subsystem-unknown"


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        ({"code": "tool-refused", "message": "outside"}, "tool-refused", RefusedError),
        ({"code": "scope-missing", "message": ""}, "scope-missing", FarhandError),
        ({"code": "\x1b[2J", "message": "x"}, "tool-failed", FarhandError),
        ({}, "tool-failed", FarhandError),
    ],
)
def test_errors_of_a_device(error: dict[str, str], code: str, kind: type[FarhandError]) -> None:
    with pytest.raises(kind) as caught:
        raise_error({"error": error})
    assert caught.value.code == code


def test_a_note_holds_the_newest_lines_escaped() -> None:
    lines = [
        Line(id=number, at="2026-11-22T05:00:00Z", who="person", text=f"{number}\x1b[2J\n" * 20)
        for number in range(1, 1001)
    ]
    note = transcript_note("s-test", lines)
    assert len(note) <= 64_000
    assert "\x1b" not in note
    assert note.splitlines()[0] == "Conversation of session s-test:"
    assert "earlier lines are left out" in note.splitlines()[1]
    assert "1000\\x1b[2J" in note


async def test_steps_stop_at_the_first_that_cannot_be_done() -> None:
    def answer(request: dict[str, Any]) -> list[Any]:
        cannot = request["number"] == 2
        return [{"answer": "cannot" if cannot else "done", "why": "no key" if cannot else ""}]

    steps = read_steps("# first\n one \n\ntwo\nthree\n")
    assert steps == ["one", "two", "three"]
    for go_on, asked in ((False, 2), (True, 3)):
        device: Any = Device(answer)
        told: list[StepDone] = []
        answers = await ask_steps(device, steps, within_s=20, go_on=go_on, told=told.append)
        assert answers == told
        assert [one.answer for one in answers] == ["done", "cannot", "done"][:asked]
        assert answers[1].why == "no key"


async def test_a_step_that_nobody_answers_is_withdrawn() -> None:
    def answer(request: dict[str, Any]) -> list[Any]:
        return [{"answer": "withdrawn"}] if "withdraw" in request else []

    class Silent(Device):
        async def read(self, limit: int) -> bytes:
            if {"withdraw": True} not in self.asked:
                await asyncio.get_running_loop().create_future()
            return await super().read(limit)

    device: Any = Silent(answer)
    answers = await ask_steps(device, ["x"], within_s=0, go_on=False, told=lambda _: None)
    assert [one.answer for one in answers] == ["unanswered"]


@pytest.mark.parametrize("text", ["", "# only this\n", "x" * 1001, "x\n" * 201])
def test_files_that_are_no_steps(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_steps(text)
    assert caught.value.code == "step-malformed"


async def test_tools_answer_with_one_line_or_many() -> None:
    device: Any = Device(lambda request: [{"tool": request["tool"], "at": "x"}])
    answers = await ask_tool(device, [{"tool": "lock"}, {"tool": "power-cancel"}])
    assert [one["tool"] for one in answers] == ["lock", "power-cancel"]
    stream: Any = Device(lambda _: [{"line": {"text": "a"}}, {"line": 7}, {"done": True}])
    assert [one async for one in tool_lines(stream, {"tool": "logs"})] == [{"text": "a"}, {}]
    broken: Any = Device(lambda _: [{"line": {}}, {"error": {"code": "scope-missing"}}])
    with pytest.raises(FarhandError) as caught:
        [one async for one in tool_lines(broken, {"tool": "logs"})]
    assert caught.value.code == "scope-missing"


def test_hardware_addresses_of_real_cards() -> None:
    card: dict[str, Any] = {
        "record": "interface",
        "name": "eth0",
        "mac": "52:54:00:AB:CD:EF",
        "virtual": False,
    }
    items: list[dict[str, Any]] = [
        card, {**card, "name": "eth1"}, {**card, "mac": "02:42:00:00:00:01", "virtual": True},
        {**card, "mac": "00:00:00:00:00:00"}, {**card, "mac": None}, {**card, "mac": "nonsense"},
        {"record": "resolver", "servers": []},
    ]  # fmt: skip
    assert macs_to_wake(items) == ["52:54:00:ab:cd:ef"]
    with pytest.raises(FarhandError) as caught:
        macs_to_wake(items[2:])
    assert caught.value.code == "mac-unknown"


def section(name: str, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"added": [], "removed": [], "changed": [], "omitted": 0}
    return {"name": name, "status_before": "ok", "status_after": "ok", **empty, **more}


def told(*sections: dict[str, Any]) -> bytes:
    changes = {"before_at": "2026-11-22T05:00:00Z", "after_at": "x", "sections": list(sections)}
    return msgspec.json.encode({"changes": changes})


def test_changes_read_as_sentences() -> None:
    found = read_changes(
        told(
            section(
                "software",
                added=[{"source": "dpkg", "name": "vim\x1b[2J", "arch": "amd64", "version": "9"}],
                changed=[{"before": {"name": "bash", "version": "5.1"},
                          "after": {"name": "bash", "version": "5.2"}}],
            ),
            section("users"),
            section("services", status_after="timeout"),
        )
    ).changes  # fmt: skip
    assert found is not None
    assert [one.count for one in found.sections] == [2, 0, 0]
    body = changes_message("s-test", found)
    assert "\x1b" not in body
    rows = body.splitlines()
    assert "  + vim\\x1b[2J  version 9" in rows
    assert "  ~ bash: version 5.1 -> 5.2" in rows
    assert "users: nothing" in rows
    assert "services: not known (ok, then timeout)" in rows
    assert msgspec.json.decode(rows[-1])["sections"][0]["name"] == "software"


def test_many_changes_still_fit_a_message() -> None:
    many = [{"name": f"p{number}", "version": "v" * 300} for number in range(500)]
    found = read_changes(told(*[section(f"s{one}", added=many) for one in range(20)])).changes
    assert found is not None
    body = changes_message("s-test", found)
    assert len(body) <= 64_000
    assert body.endswith("... and more")


@pytest.mark.parametrize("line", [b"", b"[]", b'{"changes":7}', told(section("x", added=[1]))])
def test_changes_that_cannot_be_read(line: bytes) -> None:
    with pytest.raises(FarhandError) as caught:
        read_changes(line)
    assert caught.value.code == "session-lost"


def test_a_device_that_knows_of_no_changes_says_why() -> None:
    answer = read_changes(b'{"changes":null,"why":"not compared"}')
    assert (answer.changes, answer.why) == (None, "not compared")
