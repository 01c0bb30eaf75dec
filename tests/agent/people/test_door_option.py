"""Which home a command works in, and when it goes to a door: the table of door_option.py."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from farhand_agent import door_option
from farhand_agent.config import Home
from farhand_agent.door import Door
from farhand_agent.door_option import door_of
from farhand_agent.errors import AgentNotRunning


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's home, with a door, as another user sees it."""
    home, folder = tmp_path / "system", tmp_path / "people"
    home.mkdir()
    folder.mkdir()
    monkeypatch.setattr("farhand_agent.door._FOLDER", folder)
    monkeypatch.setattr(door_option, "SYSTEM_HOME", home)
    is_open = door_option._is_open
    monkeypatch.setattr(
        door_option,
        "_is_open",
        lambda one: is_open(one) and not (one.path == home and home.exists()),
    )
    monkeypatch.setattr(os, "geteuid", lambda: 4001)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "alice")
    monkeypatch.delenv("FARHAND_HOME", raising=False)
    Door(Home.at(home)).path.touch()
    return home


def chosen(*arguments: str) -> Home:
    command = click.command()(door_option.person_home_option(lambda home: home))
    found = command.main(list(arguments), standalone_mode=False)
    assert isinstance(found, Home)
    return found


def test_without_a_home_of_her_own_it_is_the_systems(system: Path, tmp_path: Path) -> None:
    home = chosen()
    assert home.path == system
    assert door_of(home) is not None
    own = tmp_path / "alice/.local/share/farhand-agent"
    own.mkdir(parents=True)
    assert chosen().path == system, "what a guest's code left is no home of hers"
    (own / "config.toml").touch()
    assert chosen().path == own
    assert door_of(chosen()) is None


def test_a_home_that_is_named_is_that_home(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen("--home", str(tmp_path / "other")).path == tmp_path / "other"
    assert door_of(chosen("--home", str(system))) is not None
    monkeypatch.setenv("FARHAND_HOME", str(tmp_path / "named"))
    assert chosen().path == tmp_path / "named"


def test_while_the_systems_agent_is_down_no_other_home_takes_its_place(
    system: Path, tmp_path: Path
) -> None:
    Door(Home.at(system)).path.unlink()
    home = chosen()
    assert home.path == system
    door = door_of(home)
    assert door is not None
    with pytest.raises(AgentNotRunning):
        door.ask({"do": "stop", "session": None})
    assert not (tmp_path / "alice").exists()


def test_where_no_agent_is_the_systems_all_is_as_ever(system: Path, tmp_path: Path) -> None:
    Door(Home.at(system)).path.unlink()
    system.rmdir()
    assert chosen().path == tmp_path / "alice/.local/share/farhand-agent"
    assert door_of(chosen()) is None


def test_anothers_home_without_a_door_has_none(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_option, "_is_open", lambda _: False)
    assert door_of(Home.at(tmp_path / "bobs")) is None


def test_for_root_there_is_none(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert door_of(Home.at(system)) is None
