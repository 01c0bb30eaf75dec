"""An update that is cut off anywhere leaves an agent that starts, and says what it starts."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.updates import launch, script, state, watchdog
from farhand_agent.updates.launch import next_process
from farhand_agent.updates.state import UpdateState, current_version, load_state, save_state
from farhand_agent.updates.watchdog import Watchdog
from farhand_agent.version import VERSION
from farhand_protocol.errors import FarhandError

LIBRARIES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"


class Killed(BaseException):
    """Plays kill -9: nothing below catches it, and nothing after it happens."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("FARHAND_LAUNCHED", raising=False)
    monkeypatch.delenv("FARHAND_BASE", raising=False)
    home = Home.at(tmp_path / "home")
    home.make()
    return home


def tree(home: Home, version: str, program: str = "exec sleep 60") -> Path:
    """Put a version there whose interpreter is a shell script."""
    folder = home.path / "versions" / version
    (folder / LIBRARIES).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").write_text(f"#!/bin/sh\n{program}\n")
    (folder / "bin" / "python3").chmod(0o755)
    (folder / "SHA256").write_text("0" * 64)
    return folder


def stage(home: Home, **fields: Any) -> UpdateState:
    given: dict[str, Any] = {"attempt": "o-test", "version": "0.2.0", "before": VERSION}
    staged = UpdateState(**{**given, "step": "staged", "deadline_s": 1, **fields})
    save_state(home, staged)
    return staged


def started(home: Home) -> str:
    """Return what a start of the agent becomes: a module of ours, or the path of another tree."""
    arguments, _ = next_process(home)
    return arguments[3] if arguments[3] != "farhand_agent" else arguments[0]


def well(monkeypatch: pytest.MonkeyPatch, version: str = "0.2.0", connected: bool = True) -> None:
    answer = {"version": version, "connected": connected}
    monkeypatch.setattr("farhand_agent.updates.watchdog.local.ask", lambda *_, **__: answer)


def test_a_version_that_is_well_becomes_current_and_is_started_next(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(home, "0.2.0")
    old = tree(home, "0.0.5")
    stage(home)
    assert started(home) == "farhand_agent.updates.watchdog"
    well(monkeypatch)
    ended = Watchdog(home).work()
    assert ended is not None
    assert (ended.step, ended.base, current_version(home)) == ("good", VERSION, "0.2.0")
    assert not old.exists()
    assert started(home) == str(home.path / "versions/0.2.0/bin/python3")
    _, environment = next_process(home)
    assert environment["FARHAND_LAUNCHED"] == "0.2.0"
    assert environment["FARHAND_BASE"] == VERSION
    assert "FARHAND_DIRECT" not in environment, "it may have an update of its own to work on"
    monkeypatch.setenv("FARHAND_LAUNCHED", "0.2.0")
    assert started(home) == launch.RESIDENT


@pytest.mark.parametrize(
    ("program", "version", "connected", "reason"),
    [
        ("exit 7", "0.2.0", False, "it ended with status 7"),
        ("exec sleep 60", "0.2.0", False, "it was not well within 1 s"),
        ("exec sleep 60", "0.1.9", True, "it was not well within 1 s"),
    ],
)
def test_a_version_that_is_not_well_is_taken_back_and_remembered(
    home: Home, monkeypatch: pytest.MonkeyPatch, program: str, version: str, connected: bool,
    reason: str,
) -> None:  # fmt: skip
    tree(home, "0.2.0", program)
    # What ends by itself has all the time that a busy machine takes.
    stage(home, deadline_s=60 if program.startswith("exit") else 1)
    well(monkeypatch, version, connected)
    ended = Watchdog(home).work()
    assert ended is not None
    assert (ended.step, ended.reason, ended.failed) == ("failed", reason, {"0.2.0": reason})
    assert current_version(home) is None
    assert started(home) == launch.RESIDENT


def killed_at(number: int) -> Callable[..., Any]:
    """Return `save_state` that dies before its write of this number."""
    count = 0

    def save(home: Home, state: UpdateState) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Killed
        save_state(home, state)

    return save


def test_killed_before_the_trial_was_written_down_it_is_tried_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(home, "0.2.0")
    stage(home)
    monkeypatch.setattr(watchdog, "save_state", killed_at(1))
    with pytest.raises(Killed):
        Watchdog(home).work()
    assert started(home) == "farhand_agent.updates.watchdog"
    monkeypatch.setattr(watchdog, "save_state", save_state)
    well(monkeypatch)
    Watchdog(home).work()
    assert current_version(home) == "0.2.0"


def test_killed_in_the_trial_the_good_version_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(home, "0.2.0")
    stage(home)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr("farhand_agent.updates.watchdog.subprocess.Popen", killed)
    with pytest.raises(Killed):
        Watchdog(home).work()
    # Not even started again: had it crashed the device, it would do so for ever.
    ended = Watchdog(home).work()
    assert ended is not None
    assert (ended.step, ended.reason) == ("failed", "the trial was cut off")
    assert started(home) == launch.RESIDENT


def test_killed_between_link_and_state_the_new_version_stays(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(home, "0.2.0")
    stage(home)
    well(monkeypatch)
    monkeypatch.setattr(watchdog, "save_state", killed_at(2))
    with pytest.raises(Killed):
        Watchdog(home).work()
    assert current_version(home) == "0.2.0"
    assert started(home) == str(home.path / "versions/0.2.0/bin/python3")
    monkeypatch.setattr(watchdog, "save_state", save_state)
    ended = Watchdog(home).work()
    assert ended is not None
    assert ended.step == "good"


@pytest.mark.parametrize("again", [False, True])
def test_a_version_that_current_named_before_is_tried_like_any_other(
    home: Home, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    tree(home, "0.2.0", "exit 7")
    state.point_current(home, "0.2.0")
    if again:
        # Another program was installed since, and an order asks for 0.2.0 once more.
        monkeypatch.setattr("farhand_agent.updates.script.local.ask", lambda *_: {})
        monkeypatch.setattr(script, "_AFTER_S", -9.0)
        with pytest.raises(FarhandError, match="nobody tried it"):
            script._hand_over(home, "0.2.0", 2)
        assert current_version(home) is None, "a start takes nothing for good that was not tried"
    else:
        stage(home, deadline_s=60)
    well(monkeypatch, connected=False)
    ended = Watchdog(home).work()
    assert ended is not None
    assert (ended.step, ended.tries, current_version(home)) == ("failed", 1, None)


def test_killed_while_the_link_is_turned_the_one_before_stays(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(home, "0.1.5")
    tree(home, "0.2.0")
    state.point_current(home, "0.1.5")
    stage(home, before="0.1.5")
    well(monkeypatch)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("farhand_agent.updates.state.os.replace", killed)
        with pytest.raises(Killed):
            state.point_current(home, "0.2.0")
    assert current_version(home) == "0.1.5"
    state.point_current(home, "0.2.0")
    assert current_version(home) == "0.2.0"


def test_a_device_that_shuts_down_tries_again_and_not_for_ever(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(home, "0.2.0")
    stage(home, deadline_s=600)
    well(monkeypatch, connected=False)
    for _ in range(watchdog.MAX_TRIES):
        one = Watchdog(home)
        one.stop()
        ended = one.work()
        assert ended is not None
        assert ended.step == "staged"
    ended = Watchdog(home).work()
    assert ended is not None
    assert (ended.step, ended.reason) == ("failed", "the device was stopped during each trial")


def test_a_tree_that_cannot_run_here_leaves_the_installed_version(home: Home) -> None:
    folder = tree(home, "0.2.0")
    state.point_current(home, "0.2.0")
    assert started(home) != launch.RESIDENT
    (folder / LIBRARIES).rmdir()
    assert started(home) == launch.RESIDENT
    (folder / LIBRARIES).mkdir()
    (folder / "bin" / "python3").unlink()
    assert started(home) == launch.RESIDENT
    state.point_current(home, "../../elsewhere")
    assert started(home) == launch.RESIDENT


def test_a_program_that_was_installed_later_and_is_newer_counts(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(home, "0.2.0")
    state.point_current(home, "0.2.0")
    save_state(home, UpdateState(attempt="o-1", version="0.2.0", before="0.0.9", step="good",
                                 base="0.0.9"))  # fmt: skip
    monkeypatch.setattr(launch, "VERSION", "0.3.0")
    assert started(home) == launch.RESIDENT
    # The same program as when 0.2.0 was found good: then going down was what an order wanted.
    monkeypatch.setattr(launch, "VERSION", "0.0.9")
    assert started(home).endswith("0.2.0/bin/python3")


def test_a_state_that_cannot_be_read_keeps_no_agent_down(home: Home) -> None:
    (home.path / "versions").mkdir()
    (home.path / "versions" / "state.json").write_text("{")
    with pytest.raises(FarhandError, match="update-state"):
        load_state(home)
    assert started(home) == launch.RESIDENT


def test_an_open_session_is_not_cut_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_LOOK_S", 0.0)
    answers = [{"sessions": [{"id": "s-1"}]}, {"sessions": [{"id": "s-1"}]}, {"sessions": []}]
    monkeypatch.setattr("farhand_agent.updates.script.local.ask", lambda *_: answers.pop(0))
    script._wait_for_sessions(home)
    assert answers == []
    answers.append({"sessions": [{"id": "s-1"}]})
    with pytest.raises(FarhandError, match="update-sessions"):
        script._wait_for_sessions(home, patience_s=0)


def test_the_version_is_that_of_the_packages() -> None:
    root = Path(__file__).resolve().parents[3]
    project = tomllib.loads((root / "agent" / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    assert f'VERSION = "{VERSION}"' in (root / "agent" / "packages" / "tree.py").read_text()


def test_the_script_runs_by_an_order_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARHAND_PARAMETERS", str(tmp_path / "parameters.json"))
    assert script.update_main(dict) == 1


def test_the_script_looks_for_the_socket_where_the_agent_listens(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/somewhere")
    (home.path / "config.toml").touch()
    (home.path / "journal.db").touch()
    monkeypatch.setenv("FARHAND_PARAMETERS", str(home.orders / "o-1.x" / "parameters.json"))
    assert script._home() == home
    assert "XDG_RUNTIME_DIR" not in os.environ
    (home.path / "runtime-folder").write_text("/run/user/7")
    assert script._home() == home
    assert os.environ["XDG_RUNTIME_DIR"] == "/run/user/7"
