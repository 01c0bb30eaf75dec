"""A screen of its own for a test: Xvfb on a free display, ended by its pid.

with xvfb(1280, 800) as display:
    ...  # DISPLAY=display
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["xvfb"]

_READY_S = 30.0


@contextmanager
def xvfb(width: int = 1280, height: int = 800) -> Iterator[str]:
    """Run Xvfb and yield the name of its display.

    The server picks a number that nobody has, and says it when it takes connections.  Where Xvfb
    is not installed the test skips; on CI that is a failure.
    """
    program = shutil.which("Xvfb")
    if program is None:
        if os.environ.get("FARHAND_CI"):
            pytest.fail("Xvfb is missing; .ci/apt.txt names it")
        pytest.skip("Xvfb is not installed")
    ours, theirs = os.pipe()
    words = [program, "-displayfd", str(theirs), "-screen", "0", f"{width}x{height}x24"]
    server = subprocess.Popen(
        [*words, "-nolisten", "tcp", "-noreset"],
        pass_fds=(theirs,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    try:
        with os.fdopen(ours, "rb") as told:
            number = told.readline().strip().decode()
        assert number, f"Xvfb ended with {server.wait(_READY_S)}"
        yield f":{number}"
    finally:
        server.terminate()
        try:
            server.wait(_READY_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
