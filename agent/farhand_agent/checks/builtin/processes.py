"""Check of processes: one that runs wild, zombies, and some that wait for a dead disk."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from farhand_agent.checks.registry import (
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    worst,
)

__all__ = ["Process", "parse_stat", "runaway"]

_STAT: Final = re.compile(r"([0-9]{1,10}) \((.*)\) (\S) (.*)", re.DOTALL)
_PAUSE_S: Final = 1.0
_LONG_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its state letter, and the processor time that it has used."""

    pid: int
    name: str
    state: str
    used_s: float


def parse_stat(text: str, ticks: int) -> Process | None:
    """Return what the text of /proc/PID/stat says, None when it has another shape.

    Args:
        text: the file's.
        ticks: clock ticks in a second.

    Source: proc(5): state is the third field, utime and stime are the 14th and 15th.
    """
    found = _STAT.fullmatch(text.strip())
    fields = found[4].split() if found else []
    if found is None or len(fields) < 12 or not (fields[10].isdigit() and fields[11].isdigit()):
        return None
    used = (int(fields[10][:18]) + int(fields[11][:18])) / ticks
    return Process(int(found[1]), found[2], found[3], used)


@check(
    "proc.runaway",
    "Programs that run wild",
    unit="percent of one processor",
    limits={
        "busy": Thresholds(90, 1_000_000),
        "zombies": Thresholds(20, 1000),
        "stuck": Thresholds(10, 100),
    },
    advice="ask the user what the program does, then end it; look at the disk that others wait for",
    risk="R2",
    plain={
        "ok": "No program runs wild.",
        "warning": "A program keeps this device busy all the time ({name}). "
        "Closing it would make the device faster.",
        "critical": "A program keeps this device busy all the time ({name}). "
        "Closing it would make the device faster.",
        "stuck": "Several programs do not get on, because they wait for a disk or for each other.",
    },
)
def runaway(context: CheckContext) -> Finding:
    """Busiest process that already used ten minutes of a processor; zombies; stuck processes."""
    before = _processes(context)
    context.pause(_PAUSE_S)
    after = _processes(context)
    if not after:
        return unknown("the kernel lists no processes")
    busy, busiest = 0.0, ""
    for pid, one in after.items():
        earlier = before.get(pid)
        if earlier is None or one.used_s < _LONG_S:
            continue
        percent = 100 * max(0.0, one.used_s - earlier.used_s) / _PAUSE_S
        if percent > busy:
            busy, busiest = percent, one.name
    zombies = sum(one.state == "Z" for one in after.values())
    stuck = sum(
        one.state == "D" and before.get(pid, one).state == "D" for pid, one in after.items()
    )
    waiting = worst(context.limit("zombies").state(zombies), context.limit("stuck").state(stuck))
    wild = context.limit("busy").state(busy)
    words = f"busiest {busiest} {busy:.0f} %" if busiest else "none busy for long"
    return Finding(
        state=worst(wild, waiting),
        summary=f"{words}; {zombies} zombies, {stuck} stuck of {len(after)}",
        value=round(busy, 1),
        fill={"name": busiest},
        sentence="stuck" if wild == "ok" and waiting != "ok" else None,
        metrics=(
            context.metric("busiest", round(busy, 1), "percent", "busy"),
            context.metric("zombies", zombies, "count", "zombies"),
            context.metric("stuck", stuck, "count", "stuck"),
        ),
    )


def _processes(context: CheckContext) -> dict[int, Process]:
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for name in context.files.names("/proc"):
        if name.isdigit() and len(name) < 11:
            # None for one that has ended since it was listed.
            one = parse_stat(context.files.text(f"/proc/{name}/stat") or "", ticks)
            if one:
                found[one.pid] = one
    return found
