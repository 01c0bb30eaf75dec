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
from farhand_agent.patches.command import list_all, patches
from farhand_agent.patches.provider import PatchList, ProviderError, State


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


def test_a_provider_that_fails_is_a_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "providers", lambda: [Failing()])
    monkeypatch.setattr(command, "state_folder", lambda: tmp_path)
    (found,) = list_all()
    assert (found.status, found.updates, found.reboot.required) == ("locked", (), None)
    shown = CliRunner().invoke(patches, [])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    item = json.loads(CliRunner().invoke(patches, ["--json"]).output)["items"][0]
    assert set(item) >= {"provider", "status", "updates", "reboot"}
    assert set(item["reboot"]) == {"required", "reasons"}
