"""How a test makes an agent's or a relay's processes fail: what to put into their environment.

`tests/support/faults/site` holds a sitecustomize that every Python process under test loads; it
does nothing but for the files named here, which a test writes while the processes run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

__all__ = ["MOMENTS", "Moment", "arm", "fault_environment"]

Moment = Literal["before", "inside", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "inside", "after")
SITE = Path(__file__).parent / "site"


def fault_environment(*, kill: Path | None = None, clock: Path | None = None) -> dict[str, str]:
    """Return the variables to add.

    Args:
        kill: a file; while it names a write point (see `arm`) the first process that gets there is
            ended by SIGKILL, and the file is removed.
        clock: a file with the seconds that `time.time` runs ahead.
    """
    given = os.environ.get("PYTHONPATH")
    chosen = {"PYTHONPATH": f"{SITE}{os.pathsep}{given}" if given else str(SITE)}
    if kill is not None:
        chosen["FAULT_KILL"] = str(kill)
    if clock is not None:
        chosen["FAULT_CLOCK"] = str(clock)
    return chosen


def arm(kill: Path, point: str, moment: Moment, module: str = "") -> None:
    """Name the write point whose next passing ends the process.

    Args:
        kill: the file given to `fault_environment`.
        point: one of `farhand_agent.write_points.WRITE_POINTS`, or of `site/relay_points.py`.
        moment: before the transaction, inside it just before COMMIT, or after COMMIT.
        module: only in a process started as this module, else in any.
    """
    beside = kill.with_suffix(".new")
    beside.write_text(f"{point} {moment} {module}")
    beside.replace(kill)
