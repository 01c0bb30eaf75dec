"""What zypper prints, read; the provider itself runs for real in test_rpm_for_real.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_agent.patches.provider import ProviderError
from farhand_agent.patches.zypper_output import (
    classify,
    parse_locks,
    parse_patch_packages,
    parse_patches,
    parse_plan,
    parse_updates,
)
from farhand_agent.patches.zypper_provider import ZypperProvider
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.replay import Replay

INFO = """Loading repository data...


Information for patch SUSE-2026-1:
----------------------------------
Repository  : updates
Name        : SUSE-2026-1
Status      : needed
Summary     : Security update for curl
Description :
    Name : not-a-field
    Conflicts < nothing
Provides    : patch:SUSE-2026-1 = 1
Conflicts   : [3]
    curl.x86_64 < 8.0-1
    srcpackage:curl < 8.0-1
    python3.11 < 3.11.2-1


Information for patch SUSE-2026-2:
----------------------------------
Name        : SUSE-2026-2
Conflicts   : bash.noarch < 5.2-1
"""


def test_patches_name_their_packages_as_conflicts() -> None:
    assert parse_patch_packages(INFO) == {
        "SUSE-2026-1": [("curl", "x86_64", "8.0-1"), ("python3.11", "", "3.11.2-1")],
        "SUSE-2026-2": [("bash", "noarch", "5.2-1")],
    }


def test_locks_of_packages_hold_and_others_do_not() -> None:
    text = (
        "type: package\nmatch_type: glob\nsolvable_name: kernel-*\n\n"
        "type: pattern\nsolvable_name: kde\n\n"
        "type: package\nsolvable_name: curl\nversion: < 8\n"
    )
    assert parse_locks(text) == ["kernel-*"]


def test_what_plugins_print_around_the_document_does_not_matter() -> None:
    text = "plugin says hello\n<?xml version='1.0'?>\n<stream></stream>\nbye"
    assert parse_updates(text) == []
    assert parse_patches(text) == []
    assert parse_plan(text) == ([], [])


@pytest.mark.parametrize("text", ["", "<stream>", "</stream><stream>", "<stream><a></stream>"])
def test_what_is_no_document_is_unreadable(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        parse_updates(text)
    assert caught.value.code == "patch-unreadable"


@pytest.mark.parametrize(
    ("file", "text", "code"),
    [
        ("etc/os-release", 'ID="opensuse-tumbleweed"\n', "patch-all-or-nothing"),
        ("usr/sbin/transactional-update", "", "patch-report-only"),
    ],
)
def test_systems_that_are_updated_whole_are_left_alone(
    tmp_path: Path, file: str, text: str, code: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ProviderError) as caught:
        ZypperProvider(Replay({}), SystemFiles(tmp_path)).plan(None)
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    ("exit_code", "words", "code"),
    [
        (5, "", "denied"),
        (6, "Warning: No repositories defined.", "not-refreshed"),
        (7, "System management is locked by the application with pid 1 (zypper).", "locked"),
        (104, "No provider of 'a=1' found.", "unknown-update"),
        (4, "Problem: nothing provides 'x' needed by the to be installed a", "unmet-dependencies"),
        (4, "Download (curl) error for 'https://x': Could not resolve host: x", "network"),
        (4, "Signature verification failed for file 'repomd.xml'", "untrusted"),
        (8, "", "failed"),
    ],
)
def test_errors_are_classified(exit_code: int, words: str, code: str) -> None:
    assert classify(exit_code, words).code == f"patch-{code}"
