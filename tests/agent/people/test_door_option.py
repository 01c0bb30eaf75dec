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


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's home, with a door, as another user sees it."""
    home, folder = tmp_path / "system", tmp_path / "people"
    home.mkdir()
    folder.mkdir()
    monkeypatch.setattr("farhand_agent.door._FOLDER", folder)
    monkeypatch.setattr(door_option, "SYSTEM_HOME", home)
    monkeypatch.setattr(door_option, "_is_open", lambda one: one.path != home)
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
    assert chosen().path == own
    assert door_of(chosen()) is None


def test_a_home_that_is_named_is_that_home(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen("--home", str(tmp_path / "other")).path == tmp_path / "other"
    assert door_of(chosen("--home", str(system))) is not None
    monkeypatch.setenv("FARHAND_HOME", str(tmp_path / "named"))
    assert chosen().path == tmp_path / "named"


def test_where_there_is_no_door_all_is_as_ever(system: Path, tmp_path: Path) -> None:
    Door(Home.at(system)).path.unlink()
    assert chosen().path == tmp_path / "alice/.local/share/farhand-agent"
    assert door_of(Home.at(system)) is None


def test_for_root_there_is_none(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert door_of(Home.at(system)) is None
