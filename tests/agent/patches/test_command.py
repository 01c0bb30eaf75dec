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
from farhand_agent.patches.provider import PatchList, ProviderError, Reboot, State, Update


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
    assert json.loads(done.stdout) == {"items": [], "obstacles": [], "next": None}


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
    assert set(item["reboot"]) == {"required", "reasons", "since"}


class Hostile(AptProvider):
    """A provider whose package manager names things as it likes."""

    def list(self) -> PatchList:
        titles = ("\x1b[2J\x1b]0;owned\x07", "<script>alert(1)</script>\u202e", "A" * 10_000_000)
        updates = tuple(
            Update(id=f"id-{n}", name=title, installed="1", available="2\n3", kind="unknown")
            for n, title in enumerate(titles)
        )
        reboot = Reboot(required=True, reasons=("\x1b[31m" * 1000,))
        return PatchList(provider="apt", status="ok", updates=updates, reboot=reboot)


def test_hostile_names_are_bounded_and_shown_escaped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "providers", lambda: [Hostile()])
    monkeypatch.setattr(command, "state_folder", lambda: tmp_path)
    shown = CliRunner().invoke(patches, []).output
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[2J" in shown
    assert len(shown) < 5_000
    assert len(CliRunner().invoke(patches, ["--json"]).output) < 20_000
