"""Login shells of tests begin in the tests' own empty home, not in that of the person's account.

A session's shell is a fresh login: it takes its home from the system's table of accounts, whatever
the agent's own environment says, and reads the startup files there.  Those of a developer or of a
CI machine may take seconds, wait for a lock, or print things.  So agents under test get a folder on
their PYTHONPATH whose `sitecustomize` answers HOME for the account that they run as; nothing of the
product knows it.  Only the agents of a stage get it, and only in tests: the demo and the benchmarks
run what a person would run.  An environment with another `sitecustomize` (tests/support/faults)
keeps that one.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.prepared import FOLDER

__all__ = ["with_own_home"]

_SITE = Path(__file__).parent / "site"


def with_own_home(env: dict[str, str]) -> dict[str, str]:
    """Return an agent's environment, with the folder added where this is a test."""
    if FOLDER not in os.environ:
        return env
    given = env.get("PYTHONPATH")
    return env | {"PYTHONPATH": f"{given}{os.pathsep}{_SITE}" if given else str(_SITE)}
