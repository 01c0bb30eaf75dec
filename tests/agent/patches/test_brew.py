"""The brew provider, on documents in the form of brew's documentation."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from farhand_agent.patches.brew_output import classify, parse_installed, parse_outdated
from farhand_agent.patches.brew_provider import BrewProvider
from farhand_agent.patches.provider import ProviderError
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.replay import Replay, printed

OUTDATED = {
    "formulae": [
        {
            "name": "openssl@3",
            "installed_versions": ["3.0.1", "3.1.0"],
            "current_version": "3.2.0",
            "pinned": False,
            "pinned_version": None,
        },
        {
            "name": "node",
            "installed_versions": ["20.1.0"],
            "current_version": "21.0.0",
            "pinned": True,
            "pinned_version": "20.1.0",
        },
    ],
    "casks": [
        {"name": "firefox", "installed_versions": ["119.0"], "current_version": "120.0"},
        {"name": "older-brew", "installed_versions": "1.0", "current_version": "1.1"},
    ],
}
INFO = {
    "formulae": [{"name": "openssl@3", "installed": [{"version": "3.1.0"}, {"version": "3.2.0"}]}],
    "casks": [{"token": "firefox", "installed": "119.0"}],
}


@pytest.fixture
def owner() -> int:
    """Someone who is not root; brew's folder will be theirs."""
    return next(user.pw_uid for user in pwd.getpwall() if user.pw_uid)


@pytest.fixture
def brew(tmp_path: Path, owner: int) -> tuple[BrewProvider, Replay]:
    program = tmp_path / "opt/homebrew/bin/brew"
    program.parent.mkdir(parents=True)
    program.touch()
    if os.geteuid() == 0:
        os.chown(program, owner, -1)
    replay = Replay(
        {
            "outdated": printed("==> Downloading x\n" + json.dumps(OUTDATED)),
            "info": printed(json.dumps(INFO)),
            "upgrade": printed(),
        }
    )
    return BrewProvider(replay, SystemFiles(tmp_path)), replay


def test_formulae_and_casks_are_listed_with_pins(brew: tuple[BrewProvider, Replay]) -> None:
    found = brew[0].list()
    by_id = {update.id: update for update in found.updates}
    assert by_id["formula:openssl@3"].installed == "3.1.0"
    assert by_id["formula:node"].held
    assert by_id["cask:firefox"].available == "120.0"
    assert by_id["cask:older-brew"].installed == "1.0"
    assert not found.security_labelled


@pytest.mark.skipif(os.geteuid() != 0, reason="only root would have to become somebody else")
def test_brew_never_runs_as_root_and_never_updates_itself(
    brew: tuple[BrewProvider, Replay], owner: int
) -> None:
    brew[0].list()
    (call,) = brew[1].calls
    assert call[:5] == ["sudo", "-n", "-H", "-u", pwd.getpwuid(owner).pw_name]
    assert "HOMEBREW_NO_AUTO_UPDATE=1" in call


def test_only_what_is_installed_counts_as_done(brew: tuple[BrewProvider, Replay]) -> None:
    one, replay = brew
    result = one.apply(one.plan(["formula:openssl@3", "cask:firefox"]))
    assert (result.done, result.failed) == (("formula:openssl@3",), ("cask:firefox",))
    assert "--formula" in replay.called("upgrade openssl@3")
    assert "--cask" in replay.called("upgrade firefox")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a folder of root's")
def test_a_brew_of_roots_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "usr/local/bin/brew"
    program.parent.mkdir(parents=True)
    program.touch()
    with pytest.raises(ProviderError) as caught:
        BrewProvider(Replay({}), SystemFiles(tmp_path)).list()
    assert caught.value.code == "patch-denied"


@pytest.mark.parametrize("text", ["", "[]", '{"formulae": 3}', "{", '{"casks": [3]}'])
def test_what_is_no_report_is_unreadable(text: str) -> None:
    for parse in (parse_outdated, parse_installed):
        with pytest.raises(ProviderError) as caught:
            parse(text)
        assert caught.value.code == "patch-unreadable"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (
            "Error: Running Homebrew as root is extremely dangerous and no longer supported.",
            "denied",
        ),
        ("sudo: a password is required", "denied"),
        ("Error: Another active Homebrew update process is already in progress.", "locked"),
        ("Error: SHA256 mismatch", "untrusted"),
        ('Error: No available formula with the name "x".', "unknown-update"),
        ("curl: (6) Could not resolve host: formulae.brew.sh", "network"),
        ("Error: x", "failed"),
    ],
)
def test_words_tell_the_class(words: str, code: str) -> None:
    assert classify(1, words).code == f"patch-{code}"
