"""Checks around starting: how long ago and how long it took, restarts that wait, sudden ends."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.collectors.linux.usage import boot_time
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = [
    "boot_duration",
    "parse_analyze",
    "power_events",
    "reboot_required",
    "uptime",
]

_SPAN: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(ms|min|s|h)")
_UNITS: Final = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_analyze(text: str) -> float | None:
    """Return the seconds that starting took, from `systemd-analyze time`; None where not said."""
    found = re.search(r"(?:= |Startup finished in )([0-9][0-9a-z. ]{0,60})\s*$", text, re.MULTILINE)
    parts = _SPAN.findall(found[1]) if found else []
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None


@check(
    "uptime",
    "Days since the last start",
    unit="days",
    platforms=EVERYWHERE,
    limits={"days": Thresholds(30, 90)},
    advice="restart in agreement with the user",
    risk="R3",
    plain={
        "ok": "This device was started recently enough.",
        "warning": "This device has been running for weeks. A restart would do it good.",
        "critical": "This device has been running for months. Some updates only work after a "
        "restart.",
    },
)
def uptime(context: CheckContext) -> Finding:
    """Days since the last start; many hide updates that never took effect."""
    started: float | None
    if context.platform == "linux":
        started = boot_time(context.files.text("/proc/stat") or "")
    else:
        started = _started_elsewhere(context)
    if started is None:
        return unknown("the system does not say when it was started")
    days = context.days_since(started)
    return Finding(
        state=context.limit("days").state(days), summary=f"up {days:.1f} days", value=round(days, 1)
    )


def _started_elsewhere(context: CheckContext) -> float | None:
    times = [_seconds(item.get("booted_at")) for item in context.section("usage")]
    return next((at for at in times if at is not None), None)


@check(
    "reboot.required",
    "A restart is waiting",
    platforms=EVERYWHERE,
    advice="restart in agreement with the user",
    risk="R3",
    timeout_s=60,
    plain={
        "ok": "This device does not need a restart.",
        "warning": "This device has to be restarted before its updates take effect.",
    },
)
def reboot_required(context: CheckContext) -> Finding:
    """Whether the system waits for a restart and why."""
    known = [one for one in context.section("reboot") if one.get("required") is not None]
    if not known:
        return unknown("no marker, no needrestart, no kernel on disk to compare")
    waiting = [one for one in known if one["required"]]
    if not waiting:
        return Finding(state="ok", summary="no restart required")
    reasons = [str(reason) for one in waiting for reason in one.get("reasons") or ()]
    return Finding(
        state="warning",
        summary=f"restart required: {', '.join(reasons[:6]) or 'no reason given'}",
    )


@check(
    "boot.time",
    "How long starting takes",
    unit="seconds",
    limits={"s": Thresholds(90, 240)},
    advice="list what starts and how long each takes; switch off what is not needed",
    risk="R1",
    plain={
        "ok": "This device starts quickly enough.",
        "warning": "This device takes long to start.",
        "critical": "This device takes very long to start. Something waits or fails meanwhile.",
    },
)
def boot_duration(context: CheckContext) -> Finding:
    """Seconds from the kernel's start to the end of starting, as systemd measured it."""
    if not context.files.path("/run/systemd/system").is_dir():
        return unsupported("systemd does not run here")
    outcome = context.run(["systemd-analyze", "time"])
    seconds = parse_analyze(outcome.text)
    if seconds is None:
        return unknown("systemd-analyze does not say how long starting took")
    return Finding(
        state=context.limit("s").state(seconds),
        summary=f"started in {seconds:.1f} s",
        value=round(seconds, 1),
    )


@check(
    "power.events",
    "Sudden switching off",
    unit="count",
    platforms=EVERYWHERE,
    limits={"count": Thresholds(1, 3)},
    advice="look at power supply, battery and cabling; read the log before the last line",
    risk="R0",
    plain={
        "ok": "This device was always shut down properly of late.",
        "warning": "This device went off without being shut down within the last week.",
        "critical": "This device went off several times this week without being shut down. "
        "Its power supply may be failing.",
    },
)
def power_events(context: CheckContext) -> Finding:
    """Starts of the last seven days that no shutdown came before."""
    starts = context.section("boot")
    if not starts:
        return unknown("no start was written down")
    # The newest comes first: what ended badly ended before the start that follows it.
    sudden = [
        at
        for later, earlier in pairwise(starts)
        if earlier.get("clean") is False
        and (at := _seconds(later.get("booted_at"))) is not None
        and context.days_since(at) < 7
    ]
    days = f", the last {context.days_since(max(sudden)):.1f} days ago" if sudden else ""
    return Finding(
        state=context.limit("count").state(len(sudden)),
        summary=f"{len(sudden)} unclean ends in 7 days{days}",
        value=len(sudden),
    )


def _seconds(text: object) -> float | None:
    try:
        return parse_instant(str(text)).timestamp()
    except FarhandError:
        return None
