"""The apk provider; what apk prints is written after its manual and sources, not recorded here."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_agent.patches.apk_output import (
    classify,
    parse_installed,
    parse_pins,
    parse_upgrades,
    parse_versions,
)
from farhand_agent.patches.apk_provider import ApkProvider
from farhand_agent.patches.provider import ProviderError
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.replay import Replay, printed

VERSIONS = """Installed:                                Available:
musl-1.2.4-r1                           < 1.2.4-r2
py3-three-part-2.0_rc1-r0               < 2.0-r0 @edge
busybox-1.36.1-r5                       < 1.36.1-r6
"""
UPGRADE = """(1/3) Upgrading musl (1.2.4-r1 -> 1.2.4-r2)
(2/3) Installing libfresh (1.0-r0)
(3/3) Purging libold (0.9-r3)
Executing busybox-1.36.1-r5.trigger
OK: 8 MiB in 15 packages
"""
DATABASE = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\n\nC:Q1y=\nP:busybox\nV:1.36.1-r5\n\n"


def provider(tmp_path: Path, **more: object) -> tuple[ApkProvider, Replay]:
    (tmp_path / "etc/apk").mkdir(parents=True)
    (tmp_path / "etc/apk/world").write_text("alpine-base\nbusybox=1.36.1-r5\nmusl\n")
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    (tmp_path / "lib/apk/db/installed").write_text(DATABASE)
    replay = Replay(
        {"apk version": printed(VERSIONS), "--simulate": printed(UPGRADE), "upgrade": printed()}
    )
    return ApkProvider(replay, SystemFiles(tmp_path)), replay


def test_the_list_marks_what_world_pins_and_labels_nothing(tmp_path: Path) -> None:
    one, _ = provider(tmp_path)
    found = one.list()
    by_id = {update.id: update for update in found.updates}
    assert set(by_id) == {"musl", "py3-three-part", "busybox"}
    assert by_id["py3-three-part"].installed == "2.0_rc1-r0"
    assert by_id["busybox"].held
    assert not by_id["musl"].held
    assert not found.security_labelled
    assert {update.kind for update in found.updates} == {"unknown"}


def test_a_plan_knows_what_comes_and_what_goes(tmp_path: Path) -> None:
    one, replay = provider(tmp_path)
    plan = one.plan(["musl"])
    assert [update.id for update in plan.updates] == ["musl", "libfresh"]
    assert plan.removals == ("libold",)
    with pytest.raises(ProviderError) as caught:
        one.apply(plan)
    assert caught.value.code == "patch-would-remove"
    # A version would stay behind in world as a pin.
    assert "musl" in replay.called("--simulate")


def test_only_what_is_installed_afterwards_is_done(tmp_path: Path) -> None:
    one, _ = provider(tmp_path)
    result = one.apply(one.plan(["musl"]), allow_removals=True)
    assert (result.done, result.failed, result.outcome) == (("musl",), ("libfresh",), "partly")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("ERROR: Unable to lock database: temporarily unavailable", "locked"),
        ("ERROR: Unable to lock database: Permission denied", "denied"),
        ("ERROR: https://x: UNTRUSTED signature", "untrusted"),
        ("ERROR: unable to select packages:\n  foo (no such package):", "unknown-update"),
        ("WARNING: fetching https://x: temporary error (try again later)", "network"),
        ("ERROR: unsatisfiable constraints:", "unmet-dependencies"),
        ("ERROR: 7 errors", "failed"),
    ],
)
def test_words_tell_the_class(words: str, code: str) -> None:
    assert classify(1, words).code == f"patch-{code}"


def test_parsers_skip_what_they_do_not_know() -> None:
    assert parse_versions("WARNING: opening x\n--evil-1.0-r0 < 2\n") == []
    assert parse_upgrades("OK: 8 MiB") == ([], [])
    assert parse_installed("V:1\nP:a\n\nV:2\n") == {}
    assert parse_pins("a b~1.2 c>=3 !d") == {"b", "c"}
