"""Approvals by a team, its lab and its emergencies: real relay and agent, keys in an ssh-agent.

The console's commands run in this process, which takes a fraction of starting it for each.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farhand_console import orders, scripts
from farhand_console.cli import run as run_command
from farhand_console.cli.entry import farhand
from farhand_protocol.envelopes import open_payload
from farhand_protocol.manifest import Manifest
from tests.support.stage import AgentHome, ConsoleHome, Stage

pytestmark = pytest.mark.needs("ssh-agent", "ssh-add")


class Team:
    """An author, two approvers whose keys only an ssh-agent holds, and a lab device."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.admin, self.tess = stage.settle(library=False)
        stage.start_relay()
        self.socket = stage.folder / "agent.sock"
        self.keys = stage.start(["ssh-agent", "-D", "-a", str(self.socket)])
        self.keys.wait_line("SSH_AUTH_SOCK", stream="stdout")
        stage.env["SSH_AUTH_SOCK"] = str(self.socket)
        self.device = stage.agent("bench")

    def hold(self, console: ConsoleHome) -> None:
        """Move a console's private key into the ssh-agent, and out of its file."""
        key = console.home / "operator.key"
        subprocess.run(
            ["ssh-add", str(key)], env=self.stage.env, check=True, capture_output=True, timeout=60
        )
        key.unlink()


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with Stage() as stage:
        yield Team(stage)


class Command:
    """Runs a console's command here; gives its answer, or the code of its error.

    `said` is what the last one wrote to stderr.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.said = ""

    def __call__(self, console: ConsoleHome, *words: str) -> Any:
        """Run `farhand --json WORDS` in a console's home."""
        self._capsys.readouterr()
        arguments = ["--home", str(console.home), "--json", *words]
        try:
            farhand.main(arguments, prog_name="farhand", standalone_mode=False)
        except SystemExit:
            self.said = self._capsys.readouterr().err
            errors = [one for one in self.said.splitlines() if ": error: " in one]
            return errors[-1].split(": ")[2]
        output, self.said = self._capsys.readouterr()
        return json.loads(output)


@pytest.fixture
def farhand_of(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return what runs a console's command in this process."""
    monkeypatch.setenv("FARHAND_PASSPHRASE", "")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(team.socket))
    return Command(capsys)


def author(team: Team, farhand_of: Command) -> ConsoleHome:
    """Return the console of a new technician on the roster."""
    made = farhand_of(team.admin, "account", "add", "otto", "--role", "technician")
    otto = team.stage.console("otto")
    farhand_of(otto, "login", team.stage.url, "--token", made["signin_token"])
    key = str(otto.home / "operator.key.pub")
    farhand_of(team.admin, "operator", "add", "otto", "--key", key, "--yes")
    return otto


def make_script(farhand_of: Command, console: ConsoleHome, folder: Path, name: str) -> Path:
    """Write a change of risk R2."""
    farhand_of(console, "script", "new", str(folder), "--id", name)
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"R0"', '"R2"'))
    (folder / "script.sh").write_text("#!/bin/sh\necho changed\n")
    return folder


def settled_device(team: Team, farhand_of: Command) -> AgentHome:
    """Return the device, enrolled into the lab and running."""
    if team.device.process is None:
        farhand_of(team.admin, "trust", "policy", "lab", "--lab")
        token = farhand_of(team.admin, "token", "create", "--group", "lab")["token"]
        team.device.enrol(token)
        team.device.start()
    return team.device


def test_two_approvers_with_two_homes_and_the_author_who_never_counts(
    team: Team, farhand_of: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, tess, otto = team.admin, team.tess, author(team, farhand_of)
    settled_device(team, farhand_of)
    team.hold(admin)
    team.hold(tess)
    folder = make_script(farhand_of, otto, tmp_path / "s", "remedy.team.one")
    compared = farhand_of(otto, "script", "diff", str(folder))
    assert (compared["against"], compared["changed"]) == (None, True)
    farhand_of(otto, "script", "submit", str(folder))
    assert farhand_of(otto, "script", "approve", "remedy.team.one") == "own-script"
    assert farhand_of(tess, "script", "approve", "remedy.team.one")["approvals"] == 1
    # A relay and an admin's console that count the author publish it; the device counts again.
    run = ("run", "remedy.team.one", "--device", "bench", "--wait")

    def lenient(envelope: Any, trust: Any) -> Manifest:
        return open_payload(envelope, Manifest)

    with monkeypatch.context() as patched:
        for module in (scripts, orders, run_command):
            patched.setattr(module, "approved", lenient)
        assert farhand_of(admin, "script", "publish", "remedy.team.one")["id"]
        assert farhand_of(tess, *run) == "script-not-approved"
    # The second approver's signature is what was missing; it goes with the next publication.
    assert farhand_of(admin, "script", "approve", "remedy.team.one")["published"] is True
    done = farhand_of(tess, *run)
    assert (done["state"], done["stdout"], done["signed"]) == ("succeeded", "changed\n", True)
    # A deprecated script still runs, with a warning; a revoked one gives its reason.
    why = ("--reason", "one.better does more", "--successor", "one.better")
    farhand_of(admin, "script", "deprecate", "remedy.team.one", *why)
    (state,) = [
        one["state"]
        for one in farhand_of(tess, "script", "list")["items"]
        if one["id"] == "remedy.team.one"
    ]
    assert state == "deprecated"
    assert farhand_of(tess, *run)["state"] == "succeeded"
    assert "use one.better instead" in farhand_of.said
    # What comes after it is compared with it.
    (folder / "script.sh").write_text("#!/bin/sh\necho other\n")
    compared = farhand_of(otto, "script", "diff", str(folder))
    assert compared["against"] == 1
    assert {"-echo changed", "+echo other"} <= set(compared["diff"])


def test_a_draft_is_tried_in_the_lab_and_nowhere_else(
    team: Team, farhand_of: Command, tmp_path: Path
) -> None:
    device = settled_device(team, farhand_of)
    folder = make_script(farhand_of, team.tess, tmp_path / "s", "remedy.team.two")
    tried = farhand_of(team.tess, "script", "try", str(folder), "--device", "bench")
    assert (tried["state"], tried["stdout"]) == ("succeeded", "changed\n")
    assert tried["exemption"] == "trial"
    assert device.process is not None
    assert "remedy.team.two runs without approval" in device.process.wait_line(
        "farhand-agent: trial of tess"
    )
    farhand_of(team.admin, "trust", "policy", "lab", "--no-lab")
    refused = farhand_of(team.tess, "script", "try", str(folder), "--device", "bench")
    assert refused == "exemption-refused"


def test_an_emergency_takes_two_people_and_tells_everybody(
    team: Team, farhand_of: Command, tmp_path: Path
) -> None:
    device = settled_device(team, farhand_of)
    admin, tess = team.admin, team.tess
    folder = make_script(farhand_of, tess, tmp_path / "s", "remedy.team.three")
    half = tmp_path / "order"
    words = ("break-glass", "order", str(folder), "--device", "bench", "--reason", "it burns")
    assert farhand_of(tess, *words, "--out-file", str(half)) == "exemption-unsigned"
    can = "order,author,approve:change,session:*@*,break-glass"
    key = str(team.stage.folder / "tess.pub")
    farhand_of(admin, "operator", "add", "tess", "--key", key, "--can", can, "--yes")
    made = farhand_of(tess, *words, "--out-file", str(half))
    assert farhand_of(tess, "break-glass", "sign", str(half), "--yes") == "exemption-unsigned"
    done = farhand_of(admin, "break-glass", "sign", str(half), "--yes")
    assert (done["order"], done["state"]) == (made["order"], "succeeded")
    assert device.process is not None
    said = device.process.wait_line("farhand-agent: emergency order of admin and tess")
    assert "it burns" in said
    assert "break-glass" in [one["code"] for one in device.json("status")["warnings"]]
    (alert,) = [
        one for one in farhand_of(admin, "alert", "list")["items"] if one["check"] == "break-glass"
    ]
    assert alert["severity"] == "critical"
    assert alert["ticket"] is not None
