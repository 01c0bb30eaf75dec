"""Two technicians in one session on one real device: joining, watching, working, leaving."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.support.stage import ConsoleHome, Process, Stage


class Desk:
    """A device that lets technicians in by a notice, and two technicians."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.admin, self.tess = stage.settle(library=False)
        stage.start_relay()
        self.otto = stage.technician(self.admin, "otto")
        self.admin.json("trust", "policy", "desk", "--unattended", "--consent", "notify")
        self.device = stage.agent("box")
        self.device.enrol(self.admin.json("token", "create", "--group", "desk")["token"])
        self.device.start()

    def open(self) -> str:
        """Have tess open a session; returns its id."""
        opened = self.tess.json("session", "open", "--device", "box", "--minutes", "20")
        return str(opened["session"])

    def receipt(self, session: str) -> dict[str, object]:
        """Return what the receipt says that tess countersigned."""
        path = self.tess.home / "receipts" / f"{session}.json"
        self.tess.json("receipt", "verify", str(path))
        payload = json.loads(path.read_bytes())["payload"]
        inside: dict[str, object] = json.loads(base64.b64decode(payload))
        return inside


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Stage() as stage:
        yield Desk(stage)


def wait_text(watching: Process, wanted: str) -> None:
    """Wait until the watcher has seen a text."""
    seen = ""
    while wanted not in seen:
        seen += str(watching.next_json().get("text", ""))


def exec_as(console: ConsoleHome, session: str, words: str) -> bytes:
    return console.run("exec", session, "--", words).stdout


def test_an_observer_watches_and_a_peer_works(desk: Desk) -> None:
    session = desk.open()
    assert desk.tess.refused("session", "join", session) == "join-own"
    assert desk.otto.refused("exec", session, "--", "true", expect=255) == "session-unknown"

    joined = desk.otto.json("session", "join", session, "--as", "observer")
    assert (joined["session"], joined["mode"]) == (session, "observer")
    assert desk.otto.refused("session", "join", session) == "join-own"
    watching = desk.otto.start("watch", session)
    watching.wait_line("watching")
    assert exec_as(desk.tess, session, "echo seen by two") == b"seen by two\n"
    wait_text(watching, "seen by two")
    assert desk.otto.refused("exec", session, "--", "true", expect=255) == "scope-missing"

    left = desk.otto.json("session", "leave", session)
    assert left["state"] == "left"
    assert watching.popen.wait(60) == 1
    assert watching.failed("put out").code == "session-ended"
    assert desk.otto.refused("session", "leave", session) == "join-none"

    desk.otto.json("session", "join", session, "--as", "peer")
    assert exec_as(desk.otto, session, "echo hand in hand") == b"hand in hand\n"
    assert exec_as(desk.tess, session, "echo still here") == b"still here\n"
    desk.tess.run("session", "end", session, "--note", "both looked")
    states = [one["state"] for one in desk.tess.json("session", "members", session)["items"]]
    assert states == ["left", "left"]

    receipt = desk.receipt(session)
    assert isinstance(receipt["joined"], list)
    assert len(receipt["joined"]) == 2
    actions = receipt["actions"]
    assert isinstance(actions, list)
    done = [(one["kind"], one["by"], one["detail"]) for one in actions]
    assert ("exec", "otto", "echo hand in hand") in done
    assert ("exec", "", "echo still here") in done
    assert ("denied", "otto", "exec true") in done
    assert ("join", "", "otto joined and watches") in done


def test_a_session_is_handed_over_and_ended_by_the_peer(desk: Desk) -> None:
    session = desk.open()
    code = desk.tess.refused("session", "end", session, "--hand-over", expect=3)
    assert code == "handover-nobody"
    desk.otto.json("session", "join", session, "--as", "observer")
    code = desk.tess.refused("session", "end", session, "--hand-over", expect=3)
    assert code == "handover-nobody"
    desk.otto.json("session", "leave", session)
    desk.otto.json("session", "join", session, "--as", "peer")
    code = desk.otto.refused("session", "end", session, "--note", "too early", expect=3)
    assert code == "not-permitted"
    kept = {
        path: path.read_bytes()
        for path in (desk.tess.home / "sessions" / session).iterdir()
        if path.is_file()
    }
    working = desk.tess.start("exec", session, "--", "echo begun; sleep 600")
    working.wait_line("begun", stream="stdout")

    told = desk.tess.json("session", "end", session, "--hand-over")
    assert told == {"session": session, "handed_over": "otto"}
    for name, has_it in (("otto", True), ("tess", False)):
        listed = desk.tess.json("session", "list", "--operator", name, "--state", "active")
        assert (session in [one["session"] for one in listed["items"]]) is has_it
    assert working.popen.wait(60) == 255
    # Even with the old key she is not let in again, neither by the relay nor by the device.
    for path, data in kept.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
    assert desk.tess.refused("exec", session, "--", "true", expect=255) == "not-permitted"
    assert desk.tess.refused("session", "join", session) == "join-own"
    assert desk.otto.refused("session", "leave", session) == "session-state"
    assert exec_as(desk.otto, session, "echo mine now") == b"mine now\n"
    desk.otto.run("chat", session, "--send", "I go on")

    ended = desk.otto.json("session", "end", session, "--note", "taken over and done")
    path = desk.otto.home / "receipts" / f"{session}.json"
    verified = desk.otto.json("receipt", "verify", str(path))
    assert verified["one_sided"] is False
    inside = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    assert (inside["operator"], inside["note"]) == ("tess", "taken over and done")
    done = [(one["kind"], one["by"], one["detail"]) for one in inside["actions"]]
    assert ("join", "", "tess handed the session over to otto and left") in done
    assert ("exec", "otto", "echo mine now") in done

    shown = desk.otto.json("session", "show", session)
    assert (shown["operator"], shown["state"]) == ("tess", "ended")
    times = desk.otto.json("ticket", "show", shown["ticket"])["time_entries"]
    assert [(one["account"], one["note"]) for one in times] == [
        ("tess", ""),
        ("otto", "taken over and done"),
    ]
    assert times[0]["ended_at"] == times[1]["started_at"]
    assert times[0]["active_s"] + times[1]["active_s"] == shown["active_s"]
    assert times[1]["id"] == ended["time_entry"]


def test_nothing_is_open_while_policy_wants_a_second_operator(desk: Desk) -> None:
    desk.admin.json("trust", "policy", "desk", "--second-operator")
    session = desk.open()
    assert desk.tess.refused("exec", session, "--", "true", expect=255) == "scope-missing"
    desk.otto.json("session", "join", session, "--as", "observer")
    assert exec_as(desk.tess, session, "echo two of us") == b"two of us\n"
    desk.otto.json("session", "leave", session)
    desk.tess.run("session", "end", session)
