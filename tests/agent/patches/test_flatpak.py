"""The flatpak provider, on tables as flatpak 1.14 prints them to a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_agent.patches.flatpak_output import classify, parse_applications, parse_masks
from farhand_agent.patches.flatpak_provider import FlatpakProvider
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
