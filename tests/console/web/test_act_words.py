"""What a page gives becomes arguments and files, and never an option or a second command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farhand_console.web.acts import ACTS, command_words
from farhand_protocol.errors import UsageError


def test_a_folder_is_written_for_the_command_alone(tmp_path: Path) -> None:
    files = {"manifest.toml": 'id = "check.it"\n', "script.sh": "#!/bin/sh\n"}
    words = command_words(ACTS["script-lint"], {"folder": files}, tmp_path)
    folder = Path(words[-1])
    assert words[:-1] == ["script", "lint", "--"]
    assert folder.parent == tmp_path
    assert {one.name: one.read_text() for one in folder.iterdir()} == files
    assert folder.stat().st_mode & 0o077 == 0
    assert all(one.stat().st_mode & 0o077 == 0 for one in folder.iterdir())


@pytest.mark.parametrize(
    "files",
    [
        {"../script.sh": "x"},
        {"a/b": "x"},
        {".bashrc": "x"},
        {"": "x"},
        {"script.sh\0": "x"},
        {"script.sh": 5},
        {"script.sh": "x" * (1024 * 1024 + 1)},
        ["script.sh"],
        "script.sh",
    ],
)
def test_a_folder_holds_plainly_named_texts_only(tmp_path: Path, files: object) -> None:
    with pytest.raises(UsageError) as caught:
        command_words(ACTS["script-submit"], {"folder": files}, tmp_path)
    assert caught.value.code == "act-values"
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


def test_a_ring_that_looks_like_an_option_is_a_value(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "script": "check.disk.space",
        "query": "--help",
        "rings": ["--yes: 5", "rest: rest"],
        "param": {"--help": "--yes"},
    }
    words = command_words(ACTS["campaign-create"], given, tmp_path)
    assert words == [
        "campaign",
        "create",
        "--script=check.disk.space",
        "--query=--help",
        "--param=--help=--yes",
        "--ring=--yes: 5",
        "--ring=rest: rest",
    ]


def test_what_is_signed_names_what_was_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="digest is missing"):
        command_words(ACTS["script-approve"], {"script": "check.it"}, tmp_path)
    with pytest.raises(UsageError, match="fingerprint is missing"):
        command_words(ACTS["operator-add"], {"name": "ann", "key": "ssh-ed25519 A"}, tmp_path)


def test_everything_that_uses_the_key_is_asked_for() -> None:
    using = {
        ("campaign", "start"),
        ("campaign", "watch"),
        ("campaign", "approve"),
        ("patch", "check"),
        ("script", "approve"),
        ("script", "publish"),
        ("script", "revoke"),
        ("operator", "add"),
        ("operator", "remove"),
        ("token", "create"),
        ("trust", "refresh"),
    }
    asked = {act.words[:2] for act in ACTS.values() if act.signs}
    assert using <= asked
