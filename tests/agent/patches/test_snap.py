"""The snap provider, on tables as snap prints them."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_agent.patches.provider import Change, ProviderError
from farhand_agent.patches.snap_output import classify, parse_snaps
from farhand_agent.patches.snap_provider import SnapProvider
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.replay import Replay, printed

OFFERED = """Name    Version   Rev    Size   Publisher      Notes
core20  20230801  2015   66MB   canonical**    base
hello   2.12      42     1.5kB  canonical**    -
"""
INSTALLED = """Name    Version   Rev    Tracking       Publisher    Notes
core20  20230622  1974   latest/stable  canonical**  base
hello   2.10      38     latest/stable  canonical**  held
"""
UPDATED = INSTALLED.replace("2.10      38", "2.12      42")


def replay(active: str = "active") -> Replay:
    return Replay(
        {
            "systemctl": printed(active + "\n"),
            "refresh --list": printed(OFFERED),
            "list": printed(INSTALLED),
            "refresh": printed("hello 2.12 from Canonical refreshed\n"),
            "revert": printed("hello reverted to 2.10\n"),
        }
    )


def test_the_list_joins_what_is_offered_and_what_is_held(tmp_path: Path) -> None:
    found = SnapProvider(replay(), SystemFiles(tmp_path)).list()
    by_id = {update.id: update for update in found.updates}
    assert by_id["core20"].installed == "20230622 (1974)"
    assert by_id["core20"].requires_reboot
    assert by_id["core20"].size_bytes == 66_000_000
    assert by_id["hello"].held
    assert by_id["hello"].size_bytes == 1500


def test_snapd_is_not_started_by_being_looked_at(tmp_path: Path) -> None:
    runner = replay("inactive")
    with pytest.raises(ProviderError) as caught:
        SnapProvider(runner, SystemFiles(tmp_path)).list()
    assert caught.value.state == "unsupported"
    assert [call[0] for call in runner.calls] == ["systemctl"]


def test_a_device_without_snaps_has_no_snap_provider(tmp_path: Path) -> None:
    (tmp_path / "var/lib/snapd/snaps").mkdir(parents=True)
    assert not SnapProvider(replay(), SystemFiles(tmp_path)).present()


def test_up_to_date_is_an_empty_list(tmp_path: Path) -> None:
    runner = replay()
    runner.answers["refresh --list"] = printed(error="All snaps up to date.\n")
    assert SnapProvider(runner, SystemFiles(tmp_path)).list().updates == ()


def test_snaps_go_forward_and_back(tmp_path: Path) -> None:
    runner = replay()
    one = SnapProvider(runner, SystemFiles(tmp_path))
    plan = one.plan(["hello"])
    runner.answers["list"] = printed(UPDATED)
    (change,) = one.apply(plan).changes
    assert (change.before, change.after) == ("2.10 (38)", "2.12 (42)")
    runner.answers["list"] = printed(INSTALLED)
    back = one.rollback([change, Change(id="new", name="new", before="", after="1 (1)")])
    assert back.done == ("hello",)
    assert runner.called("revert") == ["snap", "revert", "hello"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("error: access denied (try with sudo)", "denied"),
        ('error: snap "hello" has "refresh-snap" change in progress', "locked"),
        ('error: cannot refresh "hello": snap "hello" has running apps (hello), pids: 1', "in-use"),
        ('error: cannot revert "hello": no revision to revert to', "no-rollback"),
        ("error: cannot communicate with server: Get http://localhost/v2/find", "network"),
        ("error: anything", "failed"),
    ],
)
def test_words_tell_the_class(words: str, code: str) -> None:
    assert classify(1, words).code == f"patch-{code}"


def test_rows_without_a_heading_are_none() -> None:
    assert parse_snaps("hello 1 2 3 4 5\n") == []
