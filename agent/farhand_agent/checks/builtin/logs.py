"""Checks of what was written down: more errors than usual, and programs that crashed."""

from __future__ import annotations

from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = ["crashes", "log_errors"]

_DAY_S: Final = 86400.0
_MIN_SAMPLES: Final = 24
# Below this many errors a day nothing is many times the usual.
_MIN_MEAN: Final = 10.0


@check(
    "log.errors",
    "More errors in the log than usual",
    unit="times the usual",
    platforms=EVERYWHERE,
    limits={"times": Thresholds(5, 20)},
    advice="look which source writes most of them and since when",
    risk="R0",
    timeout_s=60,
    plain={
        "ok": "This device writes down no more errors than usual.",
        "warning": "This device writes down many more errors than usual. Something does not work "
        "as it should.",
        "critical": "This device writes down far more errors than usual. Something is broken.",
        "unknown": "It takes some days of measuring to know how many errors are usual here.",
    },
)
def log_errors(context: CheckContext) -> Finding:
    """Errors of the last 24 hours against the mean of the seven days before."""
    sources = context.section("log_summary")
    counts = [
        (int(one.get("errors") or 0) + int(one.get("critical") or 0), str(one.get("source")))
        for one in sources
    ]
    total = sum(count for count, _ in counts)
    loudest = max(counts, default=(0, "nobody"))
    now = context.now()
    earlier = [
        value
        for at, value in context.remembered("log.errors", total)
        if now - 8 * _DAY_S <= at <= now - _DAY_S / 24
    ]
    words = f"{total} in 24 h, most by {loudest[1]} ({loudest[0]})"
    if total == 0:
        return Finding(state="ok", summary="none in 24 h", value=0)
    if len(earlier) < _MIN_SAMPLES:
        return unknown(f"{words}; less than a day of history")
    usual = max(sum(earlier) / len(earlier), _MIN_MEAN)
    times = total / usual
    return Finding(
        state=context.limit("times").state(times),
        summary=f"{words}; usual are {usual:.0f}",
        value=round(times, 1),
    )


@check(
    "crash.apps",
    "Programs that crashed",
    unit="count",
    platforms=EVERYWHERE,
    limits={"count": Thresholds(1, 5)},
    advice="collect the dumps with their programs' versions; update or reinstall the program",
    risk="R0",
    timeout_s=30,
    plain={
        "ok": "No program crashed in the last day.",
        "warning": "A program crashed in the last day ({name}).",
        "critical": "Programs keep crashing on this device ({name}).",
        "system": "The system of this device crashed in the last day.",
    },
)
def crashes(context: CheckContext) -> Finding:
    """Crashes of the last 24 hours; one of the system itself is critical."""
    recent, kernel, undated = [], 0, 0
    for one in context.section("crashes"):
        try:
            at = parse_instant(str(one.get("at"))).timestamp()
        except FarhandError:
            undated += 1
            continue
        if context.now() - at <= _DAY_S:
            kernel += one.get("kind") == "kernel"
            recent.append(str(one.get("program") or one.get("kind")))
    often = max(set(recent), key=recent.count, default="")
    state = "critical" if kernel else context.limit("count").state(len(recent))
    words = f"{len(recent)} in 24 h, most often {often}" if recent else "none in 24 h"
    if undated:
        words += f"; {undated} more whose time cannot be read"
        if state == "ok":
            return unknown(words)
    return Finding(
        state=state,
        summary=words,
        value=len(recent),
        fill={"name": often},
        sentence="system" if kernel else None,
    )
