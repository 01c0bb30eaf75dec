"""Root acts in an installed agent's home as its owner, and cannot be lured into more."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from farhand_agent.config import Home
from farhand_agent.home_owner import become_owner
from farhand_agent.policy import load_own

OWNER = 65_533
_SHOW = """
import os, sys
from pathlib import Path
from farhand_agent.home_owner import become_owner
print(become_owner(Path(sys.argv[1])), *os.getresuid(), *os.getresgid(), os.getgroups(),
      "XDG_RUNTIME_DIR" in os.environ)
"""
_READ = """
import sys
from farhand_agent.config import Home
from farhand_agent.home_owner import become_owner
from farhand_agent.policy import load_own
from farhand_protocol.errors import FarhandError
home = Home.at(sys.argv[1])
become_owner(home.path)
try:
    print(load_own(home))
except FarhandError as error:
    print(error.code)
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give rights up")


@as_root
def test_roots_rights_are_given_up_for_good(tmp_path: Path) -> None:
    os.chown(tmp_path, OWNER, OWNER)
    done = subprocess.run(
        [sys.executable, "-c", _SHOW, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "XDG_RUNTIME_DIR": "/run/user/0"},
    )  # fmt: skip
    ids = " ".join([str(OWNER)] * 6)
    assert done.stdout == f"True {ids} [] False\n"


@as_root
def test_a_trap_in_the_home_catches_nobody() -> None:
    # Not below pytest's folder, which only root may enter.
    with tempfile.TemporaryDirectory(prefix="farhand-owner-") as folder:
        os.chown(folder, OWNER, OWNER)
        home = Path(folder, "home")
        home.mkdir(mode=0o700)
        os.chown(home, OWNER, OWNER)
        secret = Path(folder, "roots-own")
        secret.write_text("minutes_max = 7\n")
        secret.chmod(0o600)
        # The owner's trap: a file of the home that leads to one of root's.
        (home / "policy.toml").symlink_to(secret)
        as_root_it_is = load_own(Home.at(home))
        done = subprocess.run(
            [sys.executable, "-c", _READ, str(home)],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert as_root_it_is == {"minutes_max": 7}
        assert done.stdout == "policy-malformed\n"


def test_nothing_is_given_up_where_nothing_would_be_gained(tmp_path: Path) -> None:
    assert become_owner(tmp_path) is False
    assert become_owner(tmp_path / "none") is False
