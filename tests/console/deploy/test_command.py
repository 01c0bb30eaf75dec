"""`farhand deploy` itself: many hosts at once, one outcome each, and what cannot be meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from farhand_console.cli.entry import farhand
from tests.console.deploy.played_host import PlayedHost
from tests.console.deploy.test_deploy import BUILD, System, make_pyz


class Fleet:
    """Three played hosts: one as it should be, one with nothing, one that refuses root."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.systems = [System() for _ in range(3)]
        for system in self.systems:
            system.device = "d-played"
        self.systems[0].build = BUILD
        self.systems[2].sudo = "none"
        self.hosts = []
        for number, system in enumerate(self.systems):
            place = folder / str(number)
            place.mkdir()
            self.hosts.append(stack.enter_context(PlayedHost(place, system)))
        for host in self.hosts[1:]:
            host.user_key = self.hosts[0].user_key
        self.known = folder / "known"
        self.known.write_text("".join(host.known_hosts() for host in self.hosts))
        self.package = make_pyz(folder / "farhand-agent-0.1.0.pyz", BUILD)
        self.home = folder / "home"

    @property
    def targets(self) -> list[str]:
        return [host.target for host in self.hosts]

    def call(self, *options: str, targets: list[str] | None = None, json: bool = False) -> Result:
        before = ["--home", str(self.home), *(["--json"] if json else []), "deploy"]
        named = self.targets if targets is None else targets
        how = ["--key", str(self.hosts[0].key_file), "--known-hosts", str(self.known)]
        return CliRunner().invoke(farhand, [*before, *named, *how, *options])


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path, stack)


def test_each_host_has_its_outcome_and_one_failure_stops_no_other(fleet: Fleet) -> None:
    package = ["--package", str(fleet.package)]
    # Whoever is named twice is worked on once.
    done = fleet.call(*package, targets=[*fleet.targets, fleet.targets[0]], json=True)
    assert done.exit_code == 1
    items = json.loads(done.stdout)["items"]
    assert [(one["host"], one["state"], one["code"]) for one in items] == [
        (fleet.targets[0], "unchanged", None),
        (fleet.targets[1], "installed", None),
        (fleet.targets[2], "failed", "deploy-sudo"),
    ]
    assert "farhand: error: deploy-incomplete: 1 of 3 hosts failed" in done.stderr

    fleet.systems[2].sudo = "free"
    again = fleet.call(*package, "--jobs", "1")
    assert again.exit_code == 0, again.stderr
    assert f"{fleet.targets[1]}: unchanged" in again.stderr
    assert again.stdout.count("d-played") == 3

    removed = fleet.call("--remove")
    assert removed.exit_code == 0
    assert "farhand device retire" in removed.stderr
    assert [system.build for system in fleet.systems] == ["", "", ""]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--remove", "--upgrade"], "usage"),
        (["--purge"], "usage"),
        (["--remove", "--prefix", "relative"], "usage"),
        (["--remove", "--prefix", "/a/../b"], "usage"),
        (["--remove", "--group", "No Way"], "usage"),
        (["--remove", "--accept-fingerprint", "MD5:00"], "fingerprint-malformed"),
        (["--remove", "--ask-sudo"], "usage"),
        ([], "deploy-no-package"),
    ],
)
def test_what_cannot_be_meant_reaches_no_host(
    fleet: Fleet, options: list[str], code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path / "0")
    done = fleet.call(*options)
    assert done.exit_code == 2
    assert f"farhand: error: {code}: " in done.stderr
    assert [host.commands for host in fleet.hosts] == [[], [], []]


def test_a_host_that_is_no_host_stops_before_all(fleet: Fleet) -> None:
    done = fleet.call("--remove", targets=[fleet.targets[0], "-oProxyCommand=x@y"])
    assert done.exit_code == 2
    assert fleet.hosts[0].commands == []
