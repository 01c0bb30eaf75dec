"""`farhand-agent patches` and the bodies of the shipped patch scripts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import farhand_agent.patches.command as command
from farhand_agent.patches.apt_provider import AptProvider
from farhand_agent.patches.command import list_all, patches, script_apply
from farhand_agent.patches.provider import PatchList, ProviderError, State
from tests.agent.patches.scratch_apt import ScratchApt


class Failing(AptProvider):
    """A provider that cannot list."""

    state: State = "locked"

    def list(self) -> PatchList:
        raise ProviderError("patch-locked", "somebody else \x1b[2J is at it", state=self.state)


def test_the_process_prints_the_agreed_object() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "farhand_agent.patches", "--json", "--provider", "none"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == {"items": [], "next": None}


def test_a_provider_that_fails_is_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "providers", lambda: [Failing()])
    (found,) = list_all()
    assert (found.status, found.updates, found.reboot.required) == ("locked", (), None)
    shown = CliRunner().invoke(patches, [])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    item = json.loads(CliRunner().invoke(patches, ["--json"]).output)["items"][0]
    assert set(item) >= {"provider", "status", "updates", "reboot"}
    assert set(item["reboot"]) == {"required", "reasons"}


@pytest.mark.needs("apt-get", "dpkg-deb")
def test_the_apply_script_installs_security_updates_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system = ScratchApt(tmp_path)
    for name in ("lib", "plain"):
        system.install(name, "1.0")
    system.offer("security", "lib", "1.1")
    system.offer("main", "plain", "1.1")
    system.publish()
    monkeypatch.setattr(command, "providers", lambda: [system.provider()])
    assert script_apply("apt", security_only=True, refresh=True) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["done"], result["failed"], result["exit_code"]) == (["lib"], [], 0)
    shown = CliRunner().invoke(patches, ["--json"])
    (item,) = json.loads(shown.output)["items"]
    (update,) = item["updates"]
    assert set(update) >= {
        "id", "name", "installed", "available", "kind", "severity", "held", "requires_reboot",
    }  # fmt: skip
    assert update["id"] == "plain"
    assert "plain" in CliRunner().invoke(patches, []).output


def test_the_apply_script_fails_where_the_manager_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "providers", list)
    assert script_apply("apt", security_only=True, refresh=False) == 1
    assert capsys.readouterr().out == ""
