"""Agents under test, and what they start, take HOME for the home of their account."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.own_home import with_own_home
from tests.support.prepared import FOLDER

_ASKS = "import os, pwd; e = pwd.getpwuid(os.getuid()); print(e.pw_dir, e.pw_name, e.pw_shell)"


def _answer(env: dict[str, str]) -> list[str]:
    words = [sys.executable, "-P", "-c", _ASKS]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("given", [None, "/nowhere"])
def test_the_accounts_home_is_the_tests_own(tmp_path: Path, given: str | None) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    env |= {"PYTHONPATH": given} if given else {}
    real = pwd.getpwuid(os.getuid())
    assert _answer(env) == [real.pw_dir, real.pw_name, real.pw_shell]
    changed = with_own_home(env)
    assert changed.get("PYTHONPATH", "").startswith(given or "")
    assert _answer(changed) == [str(tmp_path), real.pw_name, real.pw_shell]


def test_outside_the_tests_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER)
    env = {"HOME": "/home/zoe"}
    assert with_own_home(env) == env
