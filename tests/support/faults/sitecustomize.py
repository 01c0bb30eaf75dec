"""Ends an agent process with SIGKILL at a journal write point; put this folder on PYTHONPATH.

FARHAND_TEST_KILL=POINT:before or POINT:after says where, and FARHAND_TEST_KILLED names a file that
is made at that moment; once it is there nothing more is killed. Without the variables this file
does nothing, and the product knows nothing of it.
"""

from __future__ import annotations

import os
import signal
from typing import Any


def _arm(point: str, when: str, mark: str) -> None:
    from farhand_agent.journal import Journal

    real = Journal.commit

    def die() -> None:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def commit(self: Journal, name: str, act: Any) -> Any:
        if name == point and when == "before":
            die()
        outcome = real(self, name, act)
        if name == point and when == "after":
            die()
        return outcome

    setattr(Journal, "commit", commit)  # noqa: B010 - a plain assignment would not type


if "FARHAND_TEST_KILL" in os.environ:
    _point, _, _when = os.environ["FARHAND_TEST_KILL"].partition(":")
    _arm(_point, _when, os.environ["FARHAND_TEST_KILLED"])
