"""The console, the real relay and a real agent: devices, one script, one session's ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import AgentHome, ConsoleHome, Stage


class Fleet:
    """A relay, an admin, a technician and a running device."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.admin, self.tess = stage.settle()
        stage.start_relay()
        self.device = stage.agent("reception")
        self.device.enrol(self.admin.json("token", "create", "--group", "office")["token"])
        self.device.start()

    def code_session(self, technician: ConsoleHome, agent: AgentHome) -> str:
        """Open a session by code."""
        helper = agent.code("--yes")
        code = helper.next_json()["code"]
        return str(technician.json("session", "open", "--code", code)["session"])


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """One fleet for this module's tests."""
    with Stage() as stage:
        yield Fleet(stage)


def test_a_token_of_the_relay_needs_an_admins_word(fleet: Fleet) -> None:
    made = json.loads(fleet.stage.server("token", "--group", "lab", "--json").stdout)
    agent = fleet.stage.agent("unconfirmed")
    agent.enrol(made["token"])
    agent.start()
    shown = fleet.tess.json("device", "show", "unconfirmed")
    assert (shown["confirmed"], shown["reason"]) == (False, "device-unconfirmed")
    run = ["run", "check.uptime", "--device", "unconfirmed"]
    assert fleet.tess.refused(*run, expect=3) == "device-unconfirmed"
    confirm = ["device", "confirm", "unconfirmed", "--key"]
    assert fleet.admin.refused(*confirm, "SHA256:x") == "device-unverified"
    assert fleet.tess.refused(*confirm, agent.device, expect=3) == "not-trust-admin"
    assert fleet.admin.refused(*confirm, "SHA256:x", "--show") == "device-unverified"
    read = fleet.tess.json(*confirm, agent.device, "--show")
    assert dict(read["shown"])["group"] == "lab"
    other = (*confirm, agent.device, "--digest")
    assert fleet.admin.refused(*other, "0" * 64, expect=3) == "device-unverified"
    assert fleet.admin.json(*other, read["digest"])["confirmed"] is True
    assert fleet.tess.json("device", "show", "unconfirmed")["confirmed"] is True
    fleet.tess.json(*run)
    retired = fleet.admin.json("device", "retire", "unconfirmed")
    assert retired == {"device": agent.device, "retired": True, "revoked": True}
    assert agent.process is not None
    agent.process.wait_line("farhand-agent: device-retired")
    # Signed, too: whatever another relay says of it, no console takes its word.
    trust = fleet.tess.json("trust", "status")
    assert trust["revoked"] == 1
    assert fleet.admin.json("device", "lost", agent.device, "--reason", "left in a train")
    for words in (run, ["device", "show", "unconfirmed"], ["session", "open", *run[2:]]):
        assert fleet.tess.refused(*words, expect=3) == "device-retired"


def test_a_script_on_a_device_with_its_signed_result(fleet: Fleet) -> None:
    done = fleet.tess.json("run", "check.uptime", "--device", "reception", "--wait")
    assert (done["state"], done["exit_code"], done["signed"]) == ("succeeded", 0, True)
    read = ["run", "check.uptime", "--device", "reception", "--digest"]
    assert fleet.tess.refused(*read, "0" * 64, expect=3) == "script-changed"
    fleet.tess.json(*read, fleet.tess.json("script", "show", "check.uptime")["digest"])
    words = ["run", "check.uptime", "--device", "reception", "--param"]
    assert fleet.tess.refused(*words, "warning_days=many", expect=2) == "parameters-invalid"
    assert fleet.tess.refused(*words, "nothing=1", expect=2) == "parameters-invalid"
    assert fleet.tess.refused("run", "check.nothing", "--device", "reception") == "script-unknown"
    assert fleet.tess.refused("run", "check.uptime", "--device", "nobody") == "not-found"


def test_a_result_changed_in_the_database_is_not_believed(fleet: Fleet) -> None:
    made = fleet.tess.json("campaign", "create", "--script", "check.uptime", "--query", "reception")
    name = made["campaign"]
    report = fleet.tess.json("campaign", "start", name, "--wait")
    assert (report["state"], report["unverified"]) == ("finished", 0)
    with sqlite3.connect(fleet.stage.relay_home / "farhand.db", timeout=30) as database:
        changed = database.execute(
            "UPDATE orders SET result = CAST(replace(result, 'payload\":\"e', 'payload\":\"f')"
            " AS BLOB) WHERE campaign = ?",
            (name,),
        )
        assert changed.rowcount == 1
    database.close()
    report = fleet.tess.json("campaign", "report", name)
    assert report["unverified"] == 1
    assert report["results"][0]["unverified"] is True


def test_exec_takes_stdin_from_anywhere_and_ends_as_ssh_does(fleet: Fleet, tmp_path: Path) -> None:
    name = fleet.code_session(fleet.tess, fleet.device)
    tess = fleet.tess
    data = os.urandom(300_000)
    assert tess.run("exec", name, "--", "cat", stdin=data).stdout == data
    source = tmp_path / "input"
    source.write_bytes(data)
    for stdin, wanted in ((source.open("rb"), data), (open(os.devnull, "rb"), b"")):  # noqa: SIM115
        done = subprocess.run(
            tess.words("exec", name, "--", "cat"),
            stdin=stdin,
            stdout=subprocess.PIPE,
            env=fleet.stage.env,
            timeout=60,
            check=True,
        )
        stdin.close()
        assert done.stdout == wanted
    # The command need not read its input, and may end by a signal.
    tess.run("exec", name, "--", "true", stdin=data)
    tess.run("exec", name, "--", "kill -TERM $$", expect=143)
    by_device = tess.run("exec", "reception", "--", "echo", "same session")
    assert by_device.stdout == b"same session\n"
    ended = tess.json("session", "end", name, "--note", "all well")
    assert ended["receipt"] is not None
    receipt = tess.home / "receipts" / f"{name}.json"
    verified = tess.json("receipt", "verify", str(receipt))
    assert (verified["one_sided"], verified["device_key_pinned"]) == (False, True)
    assert verified["note"] == "all well"
    assert tess.refused("exec", name, "--", "true", expect=255) == "session-unknown"
    again = tess.json("session", "end", name)
    assert again["receipt"] == ended["receipt"]


def test_a_session_whose_device_went_away_ends_at_the_relay(fleet: Fleet) -> None:
    agent = fleet.stage.agent("shortlived")
    agent.enrol(fleet.admin.json("token", "create", "--group", "office")["token"])
    process = agent.start()
    name = fleet.code_session(fleet.tess, agent)
    process.end()
    ended = fleet.tess.json("session", "end", name, "--note", "it went away")
    assert ended["session"] == name
    shown = fleet.tess.json("session", "show", name)
    assert shown["note"] == "it went away"
    assert not (fleet.tess.home / "sessions" / name).exists()


def test_an_unattended_group_opens_by_grant_alone(fleet: Fleet) -> None:
    asked = ["session", "open", "--device", "reception"]
    assert fleet.tess.refused(*asked, expect=3) == "policy-refused"
    newest = fleet.tess.json("ticket", "list", "--state", "resolved", "--limit", "1")["items"][0]
    assert newest["title"] == "Session on reception"
    fleet.admin.json("trust", "policy", "servers", "--unattended", "--consent", "notify")
    agent = fleet.stage.agent("server")
    agent.enrol(fleet.admin.json("token", "create", "--group", "servers")["token"])
    agent.start()
    opened = fleet.tess.json("session", "open", "--device", "server", "--scope", "terminal")
    assert opened["scopes"] == ["terminal"]
    done = fleet.tess.run("exec", opened["session"], "--", "echo", "hello")
    assert done.stdout == b"hello\n"
    assert fleet.tess.refused("cp", "/etc/hostname", f"{opened['session']}:x") in (
        "scope-missing",
        "copy-failed",
    )
    fleet.tess.json("session", "end", "server")


def test_a_shell_has_the_terminals_size_and_follows_it(fleet: Fleet) -> None:
    name = fleet.code_session(fleet.tess, fleet.device)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    with subprocess.Popen(
        fleet.tess.words("shell", name),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=fleet.stage.env | {"TERM": "xterm"},
        start_new_session=True,
    ) as process:
        try:
            use_shell(process, ours, theirs)
        finally:
            process.kill()
    # Our own terminal is as it was: neither raw nor non-blocking.
    assert termios.tcgetattr(theirs)[3] & termios.ICANON
    assert os.get_blocking(theirs)
    os.close(ours)
    os.close(theirs)
    fleet.tess.json("session", "end", name)


def use_shell(process: subprocess.Popen[bytes], ours: int, theirs: int) -> None:
    """Type into a shell, change the terminal's size, and leave."""
    shown = b""

    def until(wanted: bytes) -> None:
        nonlocal shown
        while wanted not in shown:
            ready, _, _ = select.select([ours], [], [], 60)
            assert ready, shown
            shown += os.read(ours, 65_536)

    os.write(ours, b'echo "size=$(stty size)"\n')
    until(b"size=40 100")
    termios.tcsetwinsize(theirs, (50, 132))
    process.send_signal(signal.SIGWINCH)
    os.write(
        ours,
        b'until [ "$(stty size)" = "50 132" ]; do sleep 0.1; done; echo "size=$(stty size)"\n',
    )
    until(b"size=50 132")
    os.write(ours, b"exit 9\n")
    assert process.wait(60) == 9


def test_what_is_remembered_of_a_device(fleet: Fleet) -> None:
    """Inventory to query, history and records, each by the commands that people type."""
    deadline = time.monotonic() + 60
    while True:
        sections = fleet.tess.json("device", "inventory", "reception")["sections"]
        if "os" in sections or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    system = fleet.tess.json("device", "show", "reception")["os"].split()[0]
    query = f"(os:{system} OR tag:none) name:reception -group:lab NOT kind:printer"
    listed = fleet.tess.json("device", "list", query)
    assert [one["name"] for one in listed["items"]] == ["reception"]
    assert fleet.tess.refused("device", "list", "(os:debian", expect=2) == "query-invalid"
    history = fleet.tess.json("device", "history", "reception", "--section", "os")
    assert [one["is_first"] for one in history["items"]] == [True]
    assert fleet.tess.json("device", "diff", "reception", "--since", "yesterday")["next"] is None
    words = ["device", "set", "reception", "--warranty-end", "2020-01-31", "--notes", "by the door"]
    assert fleet.tess.json(*words)["warranty"] == "over"
    shown = fleet.tess.run("device", "show", "reception").stdout.decode()
    assert "by the door" in shown
    assert re.search(r"^warranty +over$", shown, re.MULTILINE)
    words = ["device", "add-agentless", "--kind", "printer", "--name", "laser"]
    made = fleet.admin.json(*words, "--address", "192.0.2.9")
    assert fleet.tess.json("device", "list", "kind:printer")["items"][0]["id"] == made["id"]
    assert fleet.tess.refused("run", "check.uptime", "--device", "laser") == "device-unverified"
    assert fleet.tess.json("device", "duplicates")["items"] == []
