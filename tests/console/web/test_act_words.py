"""What a page gives becomes arguments and files, and never an option or a second command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farhand_console.cli.joining import DEFAULT_SCOPES
from farhand_console.web import acts
from farhand_console.web.acts import ACTS, command_words
from farhand_protocol.errors import UsageError

SESSION = "s-aaaaaaaaaaaaaaaa"


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
    script = {"script": "check.it", "device": "d", "version": 1}
    with pytest.raises(UsageError, match="digest is missing"):
        command_words(ACTS["run"], script, tmp_path)
    with pytest.raises(UsageError, match="digest is missing"):
        command_words(ACTS["session-approve"], {"session": SESSION}, tmp_path)
    for name in ("campaign-start", "campaign-watch", "campaign-approve"):
        with pytest.raises(UsageError, match="agreed is missing"):
            command_words(ACTS[name], {"campaign": "c-a"}, tmp_path)
        assert all(value.name != "yes" for value in ACTS[name].values)
    for name in ("device-confirm", "device-confirm-show"):
        with pytest.raises(UsageError, match="key is missing"):
            command_words(ACTS[name], {"device": "reception"}, tmp_path)
    with pytest.raises(UsageError, match="digest is missing"):
        command_words(ACTS["device-confirm"], {"device": "d", "key": "SHA256:x"}, tmp_path)


@pytest.mark.parametrize("name", ["steps", "chat-attach"])
def test_a_name_for_which_a_session_would_be_opened_is_none(name: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"steps": ["sit down"]} if name == "steps" else {}
    for other in ("reception", "d-" + "a" * 26, SESSION + "/x", SESSION.upper(), "", 5):
        with pytest.raises(UsageError):
            command_words(ACTS[name], given | {"session": other}, tmp_path)
    assert command_words(ACTS[name], given | {"session": SESSION}, tmp_path)[-1] == SESSION


def test_the_page_says_what_waking_opens() -> None:
    page = Path(acts.__file__).parent / "app/src/pages/device/Device.svelte"
    assert f'["Scopes", "{DEFAULT_SCOPES.replace(",", ", ")}"]' in page.read_text()


def test_everything_that_uses_the_key_is_asked_for() -> None:
    using = {
        ("campaign", "start"),
        ("campaign", "watch"),
        ("campaign", "approve"),
        ("patch", "check"),
        ("wake",),
        ("device", "confirm"),
        ("session", "approve"),
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
