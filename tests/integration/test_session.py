"""A session by code through the real relay, from the code to the receipt."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import ON_SQLITE, House
from tests.support.stage import AgentHome, Process


def open_session(
    house: House, agent: AgentHome, *options: str
) -> tuple[dict[str, object], Process]:
    helper = agent.code("--yes", *options)
    event = helper.next_json()
    assert event["event"] == "code"
    opened = house.technician.json("session", "open", "--code", event["code"])
    request = helper.next_json()
    assert request["event"] == "request"
    assert request["words"] == opened["words"]
    assert helper.next_json()["event"] == "session"
    return opened, helper


def end_event(helper: Process) -> dict[str, object]:
    event = helper.next_json()
    assert event["event"] == "end", event
    return event


def test_from_code_to_receipt(house: House, tmp_path: Path) -> None:
    ticket = house.technician.json("ticket", "new", "--title", "No sound")["number"]
    assert re.fullmatch(r"FH-\d+", ticket)
    helper = house.agent.code("--yes")
    code = helper.next_json()["code"]
    assert re.fullmatch(r"\d{4,6}-[2-9CFGHJMPQRVWX]{3} [2-9CFGHJMPQRVWX]{3}", code)
    typed = code.lower().replace("-", "").replace(" ", "")
    opened = house.technician.json("session", "open", "--code", typed, "--ticket", ticket)
    name = opened["session"]
    assert opened["ticket"] == ticket
    assert opened["device"] == house.agent.device
    assert sorted(opened["scopes"]) == ["files", "terminal", "view"]
    request = helper.next_json()
    assert request["operator"] == "tess"
    assert request["ticket"] == ticket
    assert request["minutes"] == 30
    began = helper.next_json()
    assert (began["event"], began["session"]) == ("session", name)

    done = house.technician.run("exec", name, "--", "echo out; echo err >&2; exit 7", expect=7)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    done = house.technician.run("exec", name, "--", "printf", "%s|", "a b", "$HOME", "c'd")
    assert done.stdout == b"a b|$HOME|c'd|"
    done = house.technician.run("exec", name, "--", "cat", stdin=b"\x00\xff" * 100_000)
    assert done.stdout == b"\x00\xff" * 100_000
    done = house.technician.run("exec", name, "--", "kill -TERM $$", expect=128 + 15)

    data = os.urandom(3_000_000)
    source, landed, back = tmp_path / "up", tmp_path / "landed", tmp_path / "back"
    source.write_bytes(data)
    house.technician.run("cp", str(source), f"{name}:{landed}")
    assert landed.read_bytes() == data
    house.technician.run("cp", f"{name}:{landed}", str(back))
    assert back.read_bytes() == data

    ended = house.technician.json("session", "end", name, "--note", "Cable was loose")
    event = end_event(helper)
    assert ended["session"] == event["session"] == name
    receipt = Path(str(event["receipt"]))
    assert ended["receipt"] == hashlib.sha256(receipt.read_bytes()).hexdigest()
    told = house.technician.json("receipt", "verify", str(receipt))
    assert told["note"] == "Cable was loose"
    assert told["one_sided"] is False
    assert told["device_key_pinned"] is True
    shown = house.technician.json("ticket", "show", ticket)
    assert [entry["session"] for entry in shown["time_entries"]] == [name]
    assert shown["time_entries"][0]["active_s"] == ended["active_s"]
    listed = house.agent.json("receipts")["items"]
    assert name in [one["session"] for one in listed]
    # Ended is ended: nothing joins it again.
    house.technician.run("exec", name, "--", "true", expect=255)


def test_walk_in_ticket_is_made(house: House) -> None:
    opened, helper = open_session(house, house.agent)
    shown = house.technician.json("ticket", "show", str(opened["ticket"]))
    assert shown["state"] != "resolved"
    house.technician.json("session", "end", str(opened["session"]))
    end_event(helper)


def test_wrong_code_burns_it(house: House) -> None:
    helper = house.agent.code("--yes")
    code = helper.next_json()["code"]
    last = code[-1]
    wrong = code[:-1] + ("2" if last != "2" else "3")
    assert house.technician.refused("session", "open", "--code", wrong) == "code-wrong"
    assert house.technician.refused("session", "open", "--code", code) == "code-burned"
    helper.end()


@pytest.mark.parametrize("code", ["", "12", "0000-AAA AAA", "99-999 999 999 999 999", "x" * 5000])
@ON_SQLITE
def test_malformed_codes(house: House, code: str) -> None:
    assert house.technician.refused("session", "open", "--code", code, expect=2) == "code-malformed"


def test_unknown_code(house: House) -> None:
    answer = house.technician.refused("session", "open", "--code", "9999-222 222")
    assert answer == "code-unknown"


@ON_SQLITE
def test_stop_on_the_device_ends_it(house: House) -> None:
    opened, helper = open_session(house, house.agent)
    house.agent.json("stop")
    event = end_event(helper)
    name = str(opened["session"])
    assert event["session"] == name
    house.technician.run("exec", name, "--", "true", expect=255)
    # The note comes later; receipt and time are the device's.
    receipt = Path(str(event["receipt"]))
    done = house.technician.run("session", "end", name, "--note", "she stopped it", "--json")
    assert b"no receipt" not in done.stderr
    ended = json.loads(done.stdout)
    told = house.technician.json("receipt", "verify", str(receipt))
    assert ended["receipt"] == hashlib.sha256(receipt.read_bytes()).hexdigest()
    assert (ended["active_s"], ended["reason"]) == (told["active_s"], "stopped")


@ON_SQLITE
def test_scopes_not_granted_are_denied(house: House, tmp_path: Path) -> None:
    helper = house.agent.code("--yes", "--scope", "view,terminal")
    code = helper.next_json()["code"]
    opened = house.technician.json("session", "open", "--code", code)
    assert sorted(opened["scopes"]) == ["terminal", "view"]
    name = opened["session"]
    (tmp_path / "a").write_text("x")
    assert (
        house.technician.refused("cp", str(tmp_path / "a"), f"{name}:/tmp/farhand-denied")
        == "scope-missing"
    )
    house.technician.run("exec", name, "--", "true")
    house.technician.json("session", "end", name)
    helper.end()


@ON_SQLITE
def test_a_guest_device(house: House, tmp_path: Path) -> None:
    guest = house.stage.agent("guest")
    helper = guest.code("--yes", "--url", house.stage.url)
    code = helper.next_json()["code"]
    opened = house.technician.json("session", "open", "--code", code)
    done = house.technician.run("exec", str(opened["session"]), "--", "echo", "hello")
    assert done.stdout == b"hello\n"
    ended = house.technician.json("session", "end", str(opened["session"]), "--note", "bye")
    assert ended["receipt"]
    event = helper.next_json()
    while event["event"] != "end":
        event = helper.next_json()
    told = house.technician.json("receipt", "verify", event["receipt"])
    assert told["note"] == "bye"


# Store and bus have no part in it.
@pytest.mark.parametrize("house", ["sqlite-local"], indirect=True)
def test_a_person_has_a_minute_and_may_say_no(house: House) -> None:
    """What silence does is looked at on a clock that tests move: agent/session/test_asking.py."""
    helper = house.agent.code()
    code = helper.next_json()["code"]
    opening = house.technician.start("session", "open", "--code", code)
    asked = helper.next_json()
    assert (asked["event"], asked["answer_within_s"]) == ("request", 60)
    helper.popen.send_signal(signal.SIGINT)
    opening.wait_line("farhand: error: consent-refused")
    assert opening.popen.wait(30) == 3
    helper.end()
