"""Two people in a session, through real processes: words, instructions, tools, and what changed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.grants import Receipt
from tests.support.stage import AgentHome, Stage, leave_out_most

HOSTILE = "is the \x1b[31mred\u202e light on?"


class Scene:
    """A relay, a technician, a device."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        admin, self.tess = stage.settle(library=False)
        stage.start_relay()
        self.agent: AgentHome = stage.agent("alpha")
        self.agent.enrol(admin.json("token", "create")["token"])
        leave_out_most(self.agent.home, but=["software"])
        self.agent.start()


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Stage() as stage:
        yield Scene(stage)


def until_kept(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.exists(), path


def test_a_session_from_the_first_word_to_what_changed(scene: Scene, tmp_path: Path) -> None:
    tess, agent = scene.tess, scene.agent
    ticket = tess.json("ticket", "new", "--title", "No light")["number"]
    person = agent.code("--yes")
    code = person.next_json()["code"]
    opened = tess.json("session", "open", "--code", code, "--ticket", ticket)
    session = opened["session"]
    assert person.next_json()["event"] == "request"
    assert person.next_json()["event"] == "session"

    # Words, both ways; what is hostile in them reaches no terminal.
    follower = tess.start("chat", session, "--follow")
    assert tess.json("chat", session, "--send", HOSTILE)["sent"] == [1]
    said = person.next_json()
    assert (said["event"], said["who"], said["operator"]) == ("chat", "technician", "tess")
    shown = agent.run("say").stdout.decode()
    assert "tess: is the \\x1b[31mred\\u202e light on?" in shown
    assert agent.json("say", "no \x07, it is \x1b]0;dark\x07")["said"] == 2
    assert person.next_json()["who"] == "person"
    assert follower.next_json()["text"] == HOSTILE
    assert follower.next_json()["who"] == "person"
    listed = tess.run("chat", session).stdout.decode()
    assert "person: no \\x07, it is \\x1b]0;dark" in listed
    assert "\x1b" not in listed

    # Instructions: one done, one that cannot be; the third is not asked for any more.
    steps = tmp_path / "steps.txt"
    steps.write_text("# by hand\nSwitch the lamp on\n\nChange the bulb\nTell me the number\n")
    asking = tess.start("steps", session, "--file", str(steps))
    asked = person.next_json()
    assert (asked["event"], asked["number"], asked["of"]) == ("step", 1, 3)
    assert agent.json("say")["step"]["text"] == "Switch the lamp on"
    agent.run("step", "done")
    assert person.next_json() == {
        "event": "step-over", "session": session, "step": asked["step"], "answer": "done"
    }  # fmt: skip
    assert person.next_json()["text"] == "Change the bulb"
    agent.run("step", "cannot", "--why", "there is none")
    assert person.next_json()["answer"] == "cannot"
    answers = asking.next_json()
    assert asking.popen.wait(20) == 1
    assert [(one["answer"], one["why"]) for one in answers["items"]] == [
        ("done", ""), ("cannot", "there is none"),
    ]  # fmt: skip
    assert (answers["asked"], answers["of"], answers["done"]) == (2, 3, 1)
    assert agent.refused("step", "done") == "step-none"

    # Tools.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(tmp_path)])
    try:
        found = tess.json("tool", session, "processes", "--match", str(tmp_path))["items"]
        assert child.pid in [one["pid"] for one in found]
        tess.json("tool", session, "kill", str(child.pid), "--force")
        assert child.wait(20) == -9
    finally:
        child.kill()
        child.wait()
    (tmp_path / "app.log").write_text("one\ntwo \x1b[2J\n")
    log = tess.run("tool", session, "logs", "--file", str(tmp_path / "app.log"), "--lines", "1")
    assert log.stdout == b"two \\x1b[2J\n"
    folder = tess.json("tool", session, "disk-usage", str(tmp_path))
    assert {one["name"] for one in folder["items"]} == {"app.log", "steps.txt"}
    woken = tess.json(
        "wake", "alpha", "--via", session, "--mac", "525400abcdef", "--broadcast", "127.0.0.1"
    )
    assert woken["sent_to"] == ["127.0.0.1"]
    assert tess.refused("tool", session, "service", "restart", "no-such-service-here") in (
        "tool-failed", "tool-unsupported",
    )  # fmt: skip

    # Only the operator puts the conversation anywhere.
    messages = tess.json("ticket", "show", ticket)["messages"]
    assert not [one for one in messages if "light on?" in one["body"]]
    assert tess.json("chat", session, "--attach")["lines"] == 2
    until_kept(agent.home / "sessions" / f"{session}.before")
    ended = tess.json("session", "end", session, "--note", "a new bulb is needed")
    assert ended["receipt"]
    assert isinstance(ended["changes"], int)
    end = person.next_json()
    assert (end["event"], end["reason"]) == ("end", "closed")
    by_kind = {one["kind"]: one["body"] for one in tess.json("ticket", "show", ticket)["messages"]}
    assert "technician: is the \\x1b[31mred" in by_kind["note"]
    assert by_kind["session"].startswith(f"What changed on the device during session {session}")
    assert "software:" in by_kind["session"]
    assert not (agent.home / "sessions" / f"{session}.before").exists()

    # The receipt tells that they talked and never what was said.
    receipt = Path(str(end["receipt"]))
    told = tess.json("receipt", "verify", str(receipt))
    assert told["one_sided"] is False
    payload = open_payload(decode_envelope(receipt.read_bytes()), Receipt)
    actions = [(one.kind, one.detail) for one in payload.actions]
    assert actions.count(("chat", "by the technician")) == 1
    assert ("step", "cannot: there is none (Change the bulb)") in actions
    assert any(kind == "tool" and "process-kill" in detail for kind, detail in actions)
    assert "light on?" not in str(payload)


def test_a_session_without_tools_scopes_and_without_a_diff(scene: Scene) -> None:
    person = scene.agent.code("--yes", "--scope", "files")
    code = person.next_json()["code"]
    session = scene.tess.json("session", "open", "--code", code)["session"]
    for words in (["processes"], ["logs"], ["lock"], ["restart"]):
        assert scene.tess.refused("tool", session, *words) == "scope-missing"
    assert scene.tess.json("chat", session, "--send", "hello")["sent"] == [1]
    asking = scene.tess.run("steps", session, "--step", "Hurry", "--within", "1", expect=1)
    assert b"unanswered" in asking.stdout
    ended = scene.tess.json("session", "end", session, "--no-diff")
    assert ended["changes"] is None
    shown = scene.tess.json("ticket", "show", scene.tess.json("session", "show", session)["ticket"])
    assert [one for one in shown["messages"] if one["kind"] == "session"] == []
