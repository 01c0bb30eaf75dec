"""Children whose agent was killed before it had asked anything end without a word."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["inventory_report", "standing.turn"])
def test_nothing_was_asked(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"farhand_agent.{module}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
