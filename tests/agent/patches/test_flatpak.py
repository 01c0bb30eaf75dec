"""The flatpak provider: against the real flatpak in a scratch installation, and on its tables."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from farhand_agent.patches.flatpak_output import classify, parse_applications, parse_masks
from farhand_agent.patches.flatpak_provider import FlatpakProvider
from farhand_agent.patches.provider import ProviderError
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.replay import Replay, printed

OFFERED = (
    "org.example.Editor\tx86_64\tstable\tflathub\t2.0\tbbbbbbbbbbbbbbbb\n"
    "org.example.Runtime\tx86_64\t23.08\tflathub\t\tcccccccccccc1111\n"
    "org.example.Masked\tx86_64\tstable\tflathub\t9\tdddddddddddd\n"
)
INSTALLED = (
    "org.example.Editor\tx86_64\tstable\tflathub\t1.0\taaaaaaaaaaaa\n"
    "org.example.Runtime\tx86_64\t23.08\tflathub\t\t111111111111\n"
    "org.example.Masked\tx86_64\tstable\tflathub\t8\t222222222222\n"
)
UPDATED = INSTALLED.replace("1.0\taaaaaaaaaaaa", "2.0\tbbbbbbbbbbbb")


def replay(installed: str = INSTALLED) -> Replay:
    return Replay(
        {
            "remote-ls": printed(OFFERED),
            "list": printed(installed),
            "mask": printed("Masked patterns:\n  org.example.Masked*\n"),
            "update": printed("Updating 1/1…\n"),
        }
    )


def test_versions_are_told_by_commit_and_masks_hold(tmp_path: Path) -> None:
    runner = replay()
    found = FlatpakProvider(runner, SystemFiles(tmp_path)).list()
    by_name = {update.name: update for update in found.updates}
    assert by_name["org.example.Editor"].id == "org.example.Editor/x86_64/stable"
    assert by_name["org.example.Editor"].available == "2.0 (bbbbbbbbbbbb)"
    assert by_name["org.example.Runtime"].installed == "111111111111"
    assert by_name["org.example.Masked"].held
    assert found.scope == "applications"
    assert not found.security_labelled
    # Without network: from the remotes' cached summaries.
    assert "--cached" in runner.called("remote-ls")


def test_applying_names_refs_and_looks_afterwards(tmp_path: Path) -> None:
    runner = replay()
    one = FlatpakProvider(runner, SystemFiles(tmp_path))
    plan = one.plan(["org.example.Editor/x86_64/stable"])
    runner.answers["list"] = printed(UPDATED)
    result = one.apply(plan)
    assert result.done == ("org.example.Editor/x86_64/stable",)
    assert runner.called("update")[-1] == "org.example.Editor/x86_64/stable"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("error: Flatpak system operation Deploy not allowed for user", "denied"),
        ("error: GPG verification enabled, but no signatures found", "untrusted"),
        (
            "error: Unable to load summary from remote flathub: Could not resolve hostname",
            "network",
        ),
        ("error: org.example.No not installed", "unknown-update"),
        ("error: anything", "failed"),
    ],
)
def test_words_tell_the_class(words: str, code: str) -> None:
    assert classify(1, words).code == f"patch-{code}"


def test_rows_that_are_none_are_skipped() -> None:
    assert parse_applications("Nothing to do.\n--x\ty\tz\to\t1\tabcdef123456\n") == []
    assert parse_masks("No masked patterns\n") == []


class ScratchFlatpak:
    """A system installation in a folder, with Editor and Masked installed at their first commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "FLATPAK_SYSTEM_DIR": str(folder / "system"),
            "FLATPAK_SYSTEM_CACHE_DIR": str(folder / "cache"),
            "HOME": str(folder),
        }
        self.offer("1")
        repository = f"file://{folder}/repository"
        self.flatpak("remote-add", "--system", "--no-gpg-verify", "fh", repository)
        names = ("org.example.Editor", "org.example.Masked")
        self.flatpak("install", "--system", "--assumeyes", "--noninteractive", "fh", *names)
        self.flatpak("mask", "--system", "org.example.Masked")

    def offer(self, text: str) -> None:
        """Export both runtimes anew with another file in them."""
        repository = str(self.folder / "repository")
        for name in ("org.example.Editor", "org.example.Masked"):
            build = self.folder / "build" / name
            (build / "usr").mkdir(parents=True, exist_ok=True)
            (build / "files").mkdir(exist_ok=True)
            (build / "usr/version").write_text(text)
            this = f"{name}/x86_64/1"
            (build / "metadata").write_text(f"[Runtime]\nname={name}\nruntime={this}\nsdk={this}\n")
            options = ("--no-update-summary", "--runtime", "--files=usr", "--arch=x86_64")
            self.flatpak("build-export", *options, repository, str(build), "1")
        self.flatpak("build-update-repo", repository)

    def flatpak(self, *arguments: str) -> str:
        return subprocess.run(
            ["flatpak", *arguments],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"} | self.env,
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip


@pytest.mark.needs("flatpak")
@pytest.mark.skipif(os.geteuid() != 0, reason="anyone but root would need flatpak's system helper")
def test_the_real_flatpak_lists_applies_and_holds_what_is_masked(tmp_path: Path) -> None:
    system = ScratchFlatpak(tmp_path)
    one = FlatpakProvider(files=SystemFiles(tmp_path), env=system.env)
    one.refresh()
    assert one.list().updates == ()
    system.offer("2")
    one.refresh()
    by_name = {update.name: update for update in one.list().updates}
    assert set(by_name) == {"org.example.Editor", "org.example.Masked"}
    assert by_name["org.example.Masked"].held
    editor = by_name["org.example.Editor"]
    assert editor.installed != editor.available
    plan = one.plan(None)
    assert [update.id for update in plan.updates] == ["org.example.Editor/x86_64/1"]
    result = one.apply(plan)
    assert (result.done, result.failed) == (("org.example.Editor/x86_64/1",), ())
    assert [update.name for update in one.list().updates] == ["org.example.Masked"]
    # A remote that cannot be asked is left out with 0; that must not read as "up to date".
    (tmp_path / "repository").rename(tmp_path / "gone")
    with pytest.raises(ProviderError) as caught:
        one.refresh()
    assert caught.value.code == "patch-network"
