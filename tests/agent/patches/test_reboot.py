"""Whether a restart waits: marker, needrestart, kernels on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.patches import reboot
from farhand_agent.patches.reboot import linux_reboot, newer_kernel, parse_needrestart
from farhand_agent.platforms.commands import run
from farhand_agent.platforms.files import SystemFiles


def test_the_marker_names_its_packages(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/reboot-required").touch()
    (tmp_path / "run/reboot-required.pkgs").write_text("linux-image\nlibc6\nlibc6\n")
    found = linux_reboot(run, SystemFiles(tmp_path))
    assert (found.required, found.reasons) == (True, ("linux-image", "libc6"))
    assert found.since is not None


@pytest.mark.parametrize(
    ("kernels", "required"),
    [
        (["6.1.0-18-amd64", "6.1.0-21-amd64"], True),
        (["6.1.0-18-amd64", "6.1.0-9-amd64"], False),
        (["6.1.0-18-amd64", "6.1.0-30-cloud-amd64"], False),
        ([], None),
        (["6.1.0-21-amd64"], None),
    ],
)
def test_kernels_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernels: list[str], required: bool | None
) -> None:
    monkeypatch.setattr(reboot, "installed", lambda program: False)
    for name in kernels:
        (tmp_path / "lib/modules" / name).mkdir(parents=True)
    found = linux_reboot(run, SystemFiles(tmp_path), release="6.1.0-18-amd64")
    assert found.required is required


@pytest.mark.parametrize(("state", "required"), [("1", False), ("2", True), ("3", True)])
def test_needrestart_answers(state: str, required: bool) -> None:
    text = f"NEEDRESTART-VER: 3.6\nNEEDRESTART-KEXP: b\nNEEDRESTART-KSTA: {state}\n"
    found = parse_needrestart(text)
    assert found is not None
    assert found.required is required


def test_needrestart_that_does_not_know_says_nothing() -> None:
    assert parse_needrestart("NEEDRESTART-KSTA: 0\n") is None


@given(st.text(), st.lists(st.text()))
def test_any_text_is_taken(text: str, names: list[str]) -> None:
    parse_needrestart(text)
    newer_kernel(text, names)
