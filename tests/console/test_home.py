"""The console's home on disk."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from farhand_console.home import Home, default_home, write_private
from farhand_console.trust.devices import pin, pins
from farhand_protocol.errors import FarhandError, RefusedError
from tests.console.organisation import settings


def test_settings_come_back_whatever_the_relay_calls_itself(home: Home) -> None:
    name = 'A "quoted" \\ name\x7f\x1b\n東京 = [x]'
    kept = settings(home, organisation=name)
    assert home.settings() == kept
    assert home.update(root_version=3).root_version == 3
    assert home.settings().organisation == name


def test_secrets_are_their_owners_only(home: Home) -> None:
    settings(home)
    assert stat.S_IMODE(home.config_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    assert "secret" not in repr(home.settings())


def test_another_programs_home_is_refused(home: Home) -> None:
    home.folder.mkdir()
    home.config_file.write_text('program = "farhand-agent"\n')
    with pytest.raises(FarhandError, match="home-foreign"):
        home.settings()


@pytest.mark.parametrize("text", ["", "\0", "program = 1", 'program = "farhand"\nurl = 3', "[a"])
def test_a_damaged_file_is_an_error_with_a_code(home: Home, text: str) -> None:
    home.folder.mkdir()
    home.config_file.write_text(text)
    with pytest.raises(FarhandError, match=r"home-(unreadable|foreign)"):
        home.settings()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FarhandError, match="home-unwritable"):
        write_private(tmp_path / "taken", b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]


def test_the_variable_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARHAND_HOME", str(tmp_path))
    assert default_home() == tmp_path


def test_many_consoles_pin_into_one_file(home: Home) -> None:
    """Each process pins its own devices; none is lost to another's write."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from farhand_console.home import Home\n"
        "from farhand_console.trust.devices import pin\n"
        "for number in range(20):\n"
        "    pin(Home(Path(sys.argv[1])), f'd-{sys.argv[2]}-{number}', bytes(32))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(home.folder), str(which)])
        for which in range(4)
    ]
    assert [process.wait(100) for process in processes] == [0] * 4
    assert len(pins(home)) == 80


def test_a_pinned_key_never_changes(home: Home) -> None:
    pin(home, "d-x", b"1" * 32)
    pin(home, "d-x", b"1" * 32)
    with pytest.raises(RefusedError, match="device-key-changed"):
        pin(home, "d-x", b"2" * 32)
    assert pins(home) == {"d-x": (b"1" * 32).hex()}


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', "\xff"])
def test_damaged_pins_are_an_error(home: Home, text: str) -> None:
    home.folder.mkdir()
    (home.folder / "devices.json").write_text(text, "latin-1")
    with pytest.raises(FarhandError, match="home-unreadable"):
        pins(home)
