"""The bodies of the shipped patch scripts, on real apt in a scratch root."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from farhand_agent.patches import command, script
from farhand_agent.patches.command import patches
from farhand_agent.patches.readiness import Limits, Readiness
from farhand_agent.patches.script import apply_main, check_main, revert_main
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.scratch_apt import ScratchApt

ROOM = 600 * 1024 * 1024

pytestmark = pytest.mark.needs("apt-get", "dpkg-deb")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScratchApt:
    """Installed: lib 1.0 and plain 1.0; a security update of lib and a plain one of plain."""
    system = ScratchApt(tmp_path)
    for name in ("lib", "plain"):
        system.install(name, "1.0")
        system.offer("main", name, "1.0")
    system.offer("security", "lib", "1.1")
    system.offer("main", "plain", "1.1")
    system.publish()
    for module in (command, script):
        monkeypatch.setattr(module, "providers", lambda: [system.provider(lock_wait_s=0)])
        monkeypatch.setattr(module, "state_folder", lambda: tmp_path / "state")
        monkeypatch.setattr(
            module,
            "Readiness",
            partial(
                Readiness, files=SystemFiles(tmp_path), power=lambda: None,
                free_bytes=lambda path: ROOM,
            ),
        )  # fmt: skip
    monkeypatch.setenv("FARHAND_ORDER", "o-test")
    return system


def given(**parameters: Any) -> Callable[[], dict[str, Any]]:
    return lambda: parameters


def test_security_updates_go_in_are_written_down_and_come_out_again(
    system: ScratchApt, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply_main("apt", given(scope="security", refresh=True)) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["done"], result["failed"], result["exit_code"]) == (["lib"], [], 0)
    assert result["outcome"] == "done"
    (change,) = result["changes"]
    assert (change["before"], change["after"]) == ("1.0", "1.1")

    assert check_main(given()) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    (update,) = item["updates"]
    assert set(update) >= {
        "id", "name", "installed", "available", "kind", "severity", "held", "requires_reboot",
    }  # fmt: skip
    assert update["id"] == "plain"

    (record,) = json.loads(CliRunner().invoke(patches, ["--history", "--json"]).output)["items"]
    assert (record["id"], record["order"]) == (result["record"], "o-test")
    assert "1.0 -> 1.1" in CliRunner().invoke(patches, ["--history"]).output

    assert revert_main(given(record=result["record"])) == 0
    back = json.loads(capsys.readouterr().out)
    assert back["changes"] == [{"id": "lib", "name": "lib", "before": "1.1", "after": "1.0"}]
    assert "lib\t1.0" in system.apt("dpkg-query", "-W")


def test_ids_select_and_a_dry_run_changes_nothing(
    system: ScratchApt, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply_main("apt", given(ids="plain", refresh=True, dry_run=True)) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [update["id"] for update in plan["updates"]] == ["plain"]
    assert "plain\t1.0" in system.apt("dpkg-query", "-W")
    assert apply_main("apt", given(ids="plain")) == 0
    assert json.loads(capsys.readouterr().out)["done"] == ["plain"]


def test_a_device_that_is_not_ready_is_left_as_it_is(
    system: ScratchApt, capsys: pytest.CaptureFixture[str]
) -> None:
    few = given(ids="plain", refresh=True, free_mib=700)
    assert apply_main("apt", few) == 1
    shown = capsys.readouterr()
    assert "patch-disk-full: / has 600 MiB left, 700 MiB are asked for" in shown.err
    assert apply_main("apt", given(ids="plain", free_mib=700, dry_run=True)) == 0
    (told,) = json.loads(capsys.readouterr().out)["obstacles"]
    assert told["code"] == "patch-disk-full"
    assert apply_main("apt", given(repair=True, free_mib=700)) == 1
    assert apply_main("apt", given(free_mib="many")) == 1
    assert "patch-parameters" in capsys.readouterr().err
    assert "plain\t1.0" in system.apt("dpkg-query", "-W")
    assert CliRunner().invoke(patches, ["--history"]).stdout == ""


def test_the_table_names_what_stands_in_the_way(
    system: ScratchApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Limits", partial(Limits, free_mib=700))
    words = "/ has 600 MiB left, 700 MiB are asked for"
    system.provider().refresh()
    assert CliRunner().invoke(patches, []).output.endswith(f"not now: patch-disk-full: {words}\n")
    shown = json.loads(CliRunner().invoke(patches, ["--json"]).output)
    assert shown["obstacles"] == [{"code": "patch-disk-full", "message": words}]


def test_what_cannot_be_done_ends_with_1_and_its_code(
    system: ScratchApt, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Callable[[], int], str]] = [
        (lambda: apply_main("dnf", given()), "patch-not-here"),
        (lambda: apply_main("apt", given(ids="nosuch")), "patch-unknown-update"),
        (lambda: revert_main(given()), "patch-no-rollback"),
    ]
    for call, code in calls:
        assert call() == 1
        shown = capsys.readouterr()
        assert code in shown.err
        assert shown.out == ""


def test_security_only_where_nothing_is_labelled_is_refused(
    tmp_path: Path, system: ScratchApt, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bare = ScratchApt(tmp_path / "bare", security=False)
    bare.install("lib", "1.0")
    bare.offer("main", "lib", "1.1")
    bare.publish()
    monkeypatch.setattr(script, "providers", lambda: [bare.provider()])
    assert apply_main("apt", given(scope="security", refresh=True)) == 1
    assert "patch-unlabelled" in capsys.readouterr().err


def test_the_table_shows_security_first_and_marks_what_waits(system: ScratchApt) -> None:
    system.provider().refresh()
    system.apt("apt-mark", "hold", "plain")
    lines = CliRunner().invoke(patches, []).output.splitlines()
    assert lines[0].startswith("apt: 2 updates (1 security)")
    assert lines[2].split()[:4] == ["lib", "1.0", "1.1", "security"]
    assert lines[3].split()[0] == "plain"
    assert lines[3].endswith("held")
